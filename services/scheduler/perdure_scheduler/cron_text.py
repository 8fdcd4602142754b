"""Cron expressions as text: what may be written, and what to write instead. Pure.

The fields become sets of values here, and from these one plain expression for cronsim, in which
nothing is left to be understood in two ways: `a/n`, a stepped star, names and Sunday's two numbers
mean different things to different crons.
"""

import re
from dataclasses import dataclass

from perdure_common.errors import Told

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
LENGTH_MAX = 255
"""Characters of an expression: it is a key of an index."""

MONTHS = tuple(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
DAYS = tuple(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])

_TERM = re.compile(r"(\*|[A-Z0-9]+)(?:-([A-Z0-9]+))?(?:/([0-9]+))?")
_NTH = re.compile(r"([A-Z0-9]+)#([0-9]+)")


class CronError(Told):
    """An expression that cannot be used; the text says what to write instead.

    `code` is the same thing for a program.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """A field of an expression: its name, its least and greatest value, names of values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    days: bool = False

    def value(self, text: str) -> int:
        """Return the value that a number or a name stands for.

        Raises:
            CronError: It stands for none in this field.
        """
        if text in self.names:
            return self.names.index(text) + self.low
        if not text.isdecimal():
            raise CronError("cron_syntax", f"{text!r} is no {self.name}; {self._range()}")
        number = int(text) if len(text) <= 4 else 10_000
        if self.names == DAYS and number == 7:
            return 7
        if not self.low <= number <= self.high:
            raise CronError("cron_out_of_range", f"{text} is no {self.name}; {self._range()}")
        return number

    def _range(self) -> str:
        more = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"write {self.low} to {self.high}{more}"


SECOND = Kind("second", 0, 59)
MINUTE = Kind("minute", 0, 59)
HOUR = Kind("hour", 0, 23)
DAY = Kind("day of the month", 1, 31, days=True)
MONTH = Kind("month", 1, 12, MONTHS)
WEEKDAY = Kind("day of the week", 0, 6, DAYS, days=True)
KINDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class Written:
    """An expression that was understood.

    `text` is as it was written, with single spaces; `plain` is for cronsim, with six fields.
    `every_hour`: the hour field is exactly `*`. `makes_up`: what falls into a gap of the clocks
    has an hour of its own, so that it is to be made up for.
    """

    text: str
    plain: str
    every_hour: bool
    makes_up: bool


def understand(text: str) -> Written:
    """Return an expression as it is meant.

    Raises:
        CronError: It cannot be used.
    """
    _check_characters(text)
    words = text.split()
    spaced = " ".join(words)
    if spaced.startswith("@"):
        words = _alias(spaced).split()
    fields = [word.upper() for word in words]
    if len(fields) == 7:
        raise CronError(
            "cron_year_field", f"{spaced!r} has a seventh field; there is none for years: leave it"
        )
    if len(fields) not in (5, 6):
        raise CronError(
            "cron_fields",
            f"{spaced!r} has {len(fields)} fields; write five (minute, hour, day of the month, "
            "month, day of the week), or six with the second first",
        )
    six = len(fields) == 6
    fields = fields if six else ["0", *fields]
    plain = " ".join(_field(kind, each) for kind, each in zip(KINDS, fields, strict=True))
    return Written(spaced, plain, fields[2] == "*", not six and not fields[2].startswith("*"))


def _check_characters(text: str) -> None:
    if not text.isascii() or not text.isprintable():
        raise CronError(
            "cron_characters",
            f"{text[:80]!r} has characters that no cron expression has; type it with plain "
            "letters, digits and spaces",
        )
    if not text.strip() or len(text) > LENGTH_MAX:
        raise CronError(
            "cron_fields", f"an expression has 1 to {LENGTH_MAX} characters, such as '0 9 * * 1-5'"
        )


def _alias(text: str) -> str:
    found = ALIASES.get(text.lower())
    if found is not None:
        return found
    if text.lower() == "@reboot":
        raise CronError(
            "cron_alias",
            "@reboot names no instant: the platform runs on while its parts start anew; name a "
            "time, or start the workflow from the outside",
        )
    known = ", ".join(ALIASES)
    raise CronError("cron_alias", f"there is no {text!r}; there are {known}")


def _field(kind: Kind, text: str) -> str:
    """Return a field as cronsim is to read it: `*`, or a list of values."""
    if text == "*" or (kind.days and text == "?"):
        return "*"
    _refuse_foreign(kind, text)
    values: set[int] = set()
    special: dict[str, None] = {}
    for term in text.split(","):
        if kind.days and "L" in term and (found := _last(kind, term)) is not None:
            special[found] = None
        elif kind is WEEKDAY and "#" in term:
            special[_nth(kind, term)] = None
        else:
            values.update(_values(kind, term))
    return ",".join([*map(str, sorted(values)), *special])


def _refuse_foreign(kind: Kind, text: str) -> None:
    """Refuse what other crons know and this one does not."""
    if kind is DAY and re.search(r"(^|,)(\d+|L)W", text):
        raise CronError(
            "cron_nearest_weekday",
            f"{text!r}: W, the nearest weekday, is not known; write the days, such as 14-16, and "
            "ask for the weekday in an IF node",
        )
    if "+" in text:
        raise CronError("cron_plus", f"{text!r}: + is not known; write the values themselves")
    if kind is DAY and re.search(r"(^|,)L-", text):
        raise CronError(
            "cron_before_last",
            f"{text!r}: days before the last are not known; write L, or days such as 26-28",
        )


def _last(kind: Kind, term: str) -> str | None:
    """Return `L`, or the last of a weekday in a month; None if L is a letter of a name."""
    if kind is DAY:
        return "L" if term == "L" else None
    if term.endswith("L") and (day := term[:-1].removesuffix("#")):
        return f"{kind.value(day) % 7}L"
    return None


def _nth(kind: Kind, term: str) -> str:
    found = _NTH.fullmatch(term)
    if found is None or not 1 <= int(found[2][:4]) <= 5:
        raise CronError("cron_syntax", f"{term!r}: write the first to fifth as FRI#1 to FRI#5")
    return f"{kind.value(found[1]) % 7}#{int(found[2])}"


def _values(kind: Kind, term: str) -> set[int]:
    found = _TERM.fullmatch(term)
    if found is None or (found[1] == "*" and found[2]):
        raise CronError(
            "cron_syntax", f"{term!r} is no {kind.name}; write 5, 1-5, 1,3,5, */5 or 10-50/5"
        )
    first, last, step = found.groups()
    if first == "*":
        low, high = kind.low, kind.high
    else:
        low = kind.value(first)
        high = kind.value(last) if last else kind.high if step else low
    if kind is WEEKDAY and low == 7:
        low, high = 0, high % 7 if last or not step else 6
    if low > high:
        raise _wrapped(kind, term, low, high)
    width = _step(kind, term, step)
    return {value % 7 if kind is WEEKDAY else value for value in range(low, high + 1, width)}


def _wrapped(kind: Kind, term: str, low: int, high: int) -> CronError:
    around = f"{low}-{kind.high},{kind.low}-{high}"
    better = f"{low}-7" if kind is WEEKDAY and high == 0 else around
    return CronError("cron_wrapped_range", f"{term!r} runs backwards; write {better}")


def _step(kind: Kind, term: str, step: str | None) -> int:
    if step is None:
        return 1
    width = int(step) if len(step) <= 4 else 10_000
    if width == 0:
        raise CronError("cron_step", f"{term!r}: a step is at least 1")
    if width > kind.high - kind.low:
        raise CronError(
            "cron_step",
            f"{term!r}: no step of {width} fits into the field of the {kind.name}, which ends at "
            f"{kind.high}; write the values themselves, such as {kind.low}",
        )
    return width
