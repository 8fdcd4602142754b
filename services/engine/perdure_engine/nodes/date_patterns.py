"""Reading dates by a pattern of letters, such as `dd.MM.yyyy HH:mm`: what `format` prints.

The letters are those of the expressions' `toFormat` (Unicode's): yyyy yy MMMM MMM MM M dd d
HH H hh h mm m ss s SSS a ZZ ZZZ x X; text in '…' stands for itself. One letter reads one or
two digits, spaces stand for any number of spaces, names of months are English.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from perdure_expressions.moment import Moment, from_millis

from .each import ItemFault
from .zones import settled

PATTERN_LENGTH_MAX = 200
TEXT_LENGTH_MAX = 500

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)

READS: Mapping[str, tuple[str, str]] = {
    "yyyy": ("year", r"\d{4}"),
    "yy": ("short_year", r"\d{2}"),
    "MMMM": ("month_name", "|".join(MONTHS)),
    "MMM": ("month_name", "|".join(name[:3] for name in MONTHS)),
    "MM": ("month", r"\d{2}"),
    "M": ("month", r"\d{1,2}"),
    "dd": ("day", r"\d{2}"),
    "d": ("day", r"\d{1,2}"),
    "HH": ("hour", r"\d{2}"),
    "H": ("hour", r"\d{1,2}"),
    "hh": ("half_hour", r"\d{2}"),
    "h": ("half_hour", r"\d{1,2}"),
    "mm": ("minute", r"\d{2}"),
    "m": ("minute", r"\d{1,2}"),
    "ss": ("second", r"\d{2}"),
    "s": ("second", r"\d{1,2}"),
    "SSS": ("millisecond", r"\d{3}"),
    "a": ("half", "am|pm"),
    "ZZ": ("offset", r"[+-]\d\d:\d\d|z"),
    "ZZZ": ("offset", r"[+-]\d{4}|z"),
    "x": ("millis", r"-?\d{1,15}"),
    "X": ("seconds", r"-?\d{1,12}"),
}
"""What each run of letters reads: the name of the part, and the texts it may be."""

WORD = re.compile(r"'([^']*)'|([A-Za-z])\2*|\s+|[^A-Za-z'\s]+|'")


class PatternError(ValueError):
    """A pattern cannot be read by; the text says why."""


@lru_cache(maxsize=256)
def reader_of(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern; it is linear: nothing in it repeats.

    Raises:
        PatternError: A letter reads nothing, or a part comes twice.
    """
    if len(pattern) > PATTERN_LENGTH_MAX:
        raise PatternError(f"a pattern has at most {PATTERN_LENGTH_MAX} characters")
    parts: list[str] = []
    names: set[str] = set()
    for match in WORD.finditer(pattern):
        word = match.group()
        if match.group(1) is not None:
            parts.append(re.escape(match.group(1)))
        elif not match.group(2):
            parts.append(r"\s+" if word.isspace() else re.escape(word))
        elif word not in READS:
            raise PatternError(f"{word!r} reads nothing; known are {', '.join(READS)}")
        else:
            name, texts = READS[word]
            if name in names:
                raise PatternError(f"{word!r} reads the {name.replace('_', ' ')} a second time")
            names.add(name)
            parts.append(f"(?P<{name}>{texts})")
    return re.compile("".join(parts), re.IGNORECASE | re.ASCII)


def parsed(text: str, pattern: str, zone: tzinfo) -> Moment:
    """Return the moment that a text names by a pattern, shown in `zone`.

    Without an offset the text is meant in `zone`; what the pattern does not read is the
    beginning: 1 January 1970, 0 o'clock.

    Raises:
        ItemFault: `invalid_date`.
        PatternError: As `reader_of`.
    """
    match = reader_of(pattern).fullmatch(text.strip()) if len(text) <= TEXT_LENGTH_MAX else None
    if match is None:
        raise ItemFault("invalid_date", f"{text[:80]!r} is no date of the form {pattern!r}")
    found = {name: each for name, each in match.groupdict().items() if each is not None}
    try:
        if "millis" in found or "seconds" in found:
            millis = int(found.get("millis") or 0) or 1000 * int(found.get("seconds") or 0)
            return Moment(from_millis(millis).at.astimezone(zone))
        at = datetime(
            _year(found),
            _month(found),
            int(found.get("day", 1)),
            _hour(found),
            int(found.get("minute", 0)),
            int(found.get("second", 0)),
            int(found.get("millisecond", 0)) * 1000,
            tzinfo=_offset(found["offset"]) if "offset" in found else zone,
        )
        return Moment(at.astimezone(zone)) if "offset" in found else settled(at)
    except (ValueError, OverflowError) as error:
        raise ItemFault("invalid_date", f"{text[:80]!r} is no date: {error}") from None


def _year(found: Mapping[str, str]) -> int:
    """Return the year; two digits are from 1970 to 2069."""
    if "short_year" not in found:
        return int(found.get("year", 1970))
    short = int(found["short_year"])
    return short + (1900 if short >= 70 else 2000)


def _month(found: Mapping[str, str]) -> int:
    if "month_name" not in found:
        return int(found.get("month", 1))
    name = found["month_name"].lower()
    return next(at for at, each in enumerate(MONTHS, 1) if each.startswith(name))


def _hour(found: Mapping[str, str]) -> int:
    if "half_hour" not in found:
        return int(found.get("hour", 0))
    hour = int(found["half_hour"])
    if not 1 <= hour <= 12:
        raise ValueError("hours of half a day are from 1 to 12")
    return hour % 12 + (12 if found.get("half", "am").lower() == "pm" else 0)


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-away if text[0] == "-" else away)
