"""Methods of texts. Offsets count UTF-16 units, as in JavaScript.

Not there: what depends on a locale. Null as an argument counts as not given.
"""

import unicodedata
from typing import Final

from perdure_expressions.dates import parse_moment
from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value, kind_of
from perdure_expressions.methods import regexes
from perdure_expressions.regex import Regex
from perdure_expressions.registry import Arguments, argument, method
from perdure_expressions.values import (
    WHITE,
    joined,
    to_integer,
    to_number,
    to_text,
    units,
    whole,
)

_CASE_COST: Final = 3
"""Changing the case of a text that is not ASCII: one unit for 8 characters."""


def _recased(f: Frame, this: str) -> None:
    f.text(len(this), this.isascii())
    if not this.isascii():
        f.spend(len(this) >> _CASE_COST)
        f.hold(8 * len(this))


@method("toUpperCase", str)
@method("toLocaleUpperCase", str)
def upper(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """All letters large."""
    _recased(f, this)
    return this.upper()


@method("toLowerCase", str)
@method("toLocaleLowerCase", str)
def lower(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """All letters small."""
    _recased(f, this)
    return this.lower()


@method("toTitleCase", str)
def title(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Every word with a large first letter."""
    _recased(f, this)
    f.spend(6 * (this.count(" ") + 1))
    f.hold(60 * this.count(" "))
    return " ".join(word[:1].upper() + word[1:].lower() for word in this.split(" "))


def _strip(f: Frame, this: str, stripped: str) -> str:
    f.text(len(stripped), this.isascii())
    return stripped


@method("trim", str)
def trim(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Without white space at both ends."""
    return _strip(f, this, this.strip(WHITE))


@method("trimStart", str)
@method("trimLeft", str)
def trim_start(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Without white space at the beginning."""
    return _strip(f, this, this.lstrip(WHITE))


@method("trimEnd", str)
@method("trimRight", str)
def trim_end(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Without white space at the end."""
    return _strip(f, this, this.rstrip(WHITE))


def cut(f: Frame, coded: str, start: int, end: int) -> str:
    """A piece of a text that is in UTF-16 units."""
    piece = coded[start:end] if start < end else ""
    f.text(len(piece), coded.isascii())
    return whole(f, piece)


def relative(f: Frame, value: Value, length: int, default: int) -> int:
    """An offset that counts from the end when it is negative, within 0 and `length`."""
    offset = to_integer(f, value, default)
    return max(0, length + offset) if offset < 0 else min(offset, length)


def clamped(f: Frame, value: Value, length: int, default: int) -> int:
    """An offset within 0 and `length`."""
    return max(0, min(to_integer(f, value, default), length))


@method("slice", str)
def slice_text(f: Frame, this: Value, arguments: Arguments) -> Value:
    """From an offset to another; negative ones count from the end."""
    coded = units(f, this)
    length = len(coded)
    start = relative(f, argument(arguments, 0), length, 0)
    return cut(f, coded, start, relative(f, argument(arguments, 1), length, length))


@method("substring", str)
def substring(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Between two offsets, in either order; negative ones are 0."""
    coded = units(f, this)
    length = len(coded)
    start = clamped(f, argument(arguments, 0), length, 0)
    end = clamped(f, argument(arguments, 1), length, length)
    return cut(f, coded, min(start, end), max(start, end))


@method("substr", str)
def substr(f: Frame, this: Value, arguments: Arguments) -> Value:
    """From an offset, so many units."""
    coded = units(f, this)
    start = relative(f, argument(arguments, 0), len(coded), 0)
    count = clamped(f, argument(arguments, 1), len(coded) - start, len(coded) - start)
    return cut(f, coded, start, start + count)


@method("at", str)
def at_text(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The unit at an offset, null outside."""
    coded = units(f, this)
    offset = to_integer(f, argument(arguments, 0))
    offset = offset + len(coded) if offset < 0 else offset
    return coded[offset] if 0 <= offset < len(coded) else None


@method("charAt", str)
def char_at(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The unit at an offset, '' outside."""
    coded = units(f, this)
    offset = to_integer(f, argument(arguments, 0))
    return coded[offset] if 0 <= offset < len(coded) else ""


@method("charCodeAt", str)
def char_code_at(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The number of the unit at an offset, NaN outside."""
    coded = units(f, this)
    offset = to_integer(f, argument(arguments, 0))
    return ord(coded[offset]) if 0 <= offset < len(coded) else float("nan")


@method("codePointAt", str)
def code_point_at(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The number of the character at an offset, null outside."""
    coded = units(f, this)
    offset = to_integer(f, argument(arguments, 0))
    return ord(whole(f, coded[offset : offset + 2])[0]) if 0 <= offset < len(coded) else None


def _needle(f: Frame, name: str, arguments: Arguments) -> str:
    """The text that is looked for."""
    value = argument(arguments, 0)
    if kind_of(value) is Regex:
        raise ExpressionError("expression_type", f"{name}() needs a text: use match or test.")
    return to_text(f, value)


@method("includes", str)
def includes(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether a text is in it, from an offset on."""
    return index_of(f, this, arguments) >= 0


@method("indexOf", str)
def index_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Where a text is in it first, -1 if it is not."""
    needle = _searched(f, this, _needle(f, "indexOf", arguments))
    coded = units(f, this)
    return coded.find(needle, clamped(f, argument(arguments, 1), len(coded), 0))


def _searched(f: Frame, text: str, needle: str) -> str:
    """Pay for a search; gives the needle in units.

    CPython searches short texts naively (see its fastsearch.h), long ones in linear time.
    """
    f.scan(text)
    f.scan(needle)
    if len(text) < 30_000:
        f.spend(len(text) * min(len(needle), 100) >> 7)
    return units(f, needle)


@method("lastIndexOf", str)
def last_index_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Where a text is in it last, -1 if it is not."""
    needle = _needle(f, "lastIndexOf", arguments)
    coded, needle = units(f, this), units(f, needle)
    f.spend(1 + (len(coded) * min(len(needle), 64) >> 6))
    if len(needle) > 64:
        f.spend(len(coded) * len(needle) >> 6)
    last = clamped(f, argument(arguments, 1), len(coded), len(coded))
    return coded.rfind(needle, 0, last + len(needle))


@method("startsWith", str)
def starts_with(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether a text stands at its beginning, or at an offset."""
    needle = units(f, _needle(f, "startsWith", arguments))
    f.scan(needle)
    coded = units(f, this)
    return coded.startswith(needle, clamped(f, argument(arguments, 1), len(coded), 0))


@method("endsWith", str)
def ends_with(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether a text stands at its end, or before an offset."""
    needle = units(f, _needle(f, "endsWith", arguments))
    f.scan(needle)
    coded = units(f, this)
    end = clamped(f, argument(arguments, 1), len(coded), len(coded))
    return coded[max(0, end - len(needle)) : end] == needle


@method("repeat", str)
def repeat(f: Frame, this: Value, arguments: Arguments) -> Value:
    """So many times after itself."""
    count = to_integer(f, argument(arguments, 0))
    if count < 0:
        raise ExpressionError("expression_range", "repeat() needs a count of 0 or more.")
    f.text(len(this) * count, this.isascii())
    return this * count


def _padding(f: Frame, this: str, arguments: Arguments) -> str:
    """What has to be added to reach a length."""
    coded = units(f, this)
    filler = argument(arguments, 1)
    filler = " " if filler is None else units(f, to_text(f, filler))
    missing = to_integer(f, argument(arguments, 0)) - len(coded)
    if missing <= 0 or not filler:
        return ""
    f.text(2 * missing + len(filler), filler.isascii())
    return whole(f, (filler * (missing // len(filler) + 1))[:missing])


@method("padStart", str)
def pad_start(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Filled up to a length at the beginning."""
    return joined(f, [_padding(f, this, arguments), this])


@method("padEnd", str)
def pad_end(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Filled up to a length at the end."""
    return joined(f, [this, _padding(f, this, arguments)])


@method("concat", str)
def concat(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With the arguments' texts behind it."""
    return joined(f, [this, *(to_text(f, each) for each in arguments)])


@method("toString", str)
@method("valueOf", str)
def itself(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The text."""
    return this


@method("normalize", str)
def normalize(f: Frame, this: Value, arguments: Arguments) -> Value:
    """In a Unicode normalization form, NFC by default."""
    form = argument(arguments, 0) or "NFC"
    if form not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise ExpressionError("expression_range", "normalize() knows NFC, NFD, NFKC and NFKD.")
    f.spend(len(this))
    f.hold(72 * len(this))
    return unicodedata.normalize(form, this)


@method("localeCompare", str)
def locale_compare(f: Frame, this: Value, arguments: Arguments) -> Value:
    """-1, 0 or 1 by the root collation's first two steps: letters first, then small ones."""
    other = to_text(f, argument(arguments, 0))
    f.spend(len(this) + len(other))
    keys = [unicodedata.normalize("NFKD", text) for text in (this, other)]
    left, right = ((key.casefold(), key.swapcase()) for key in keys)
    return (left > right) - (left < right)


@method("split", str)
def split(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The pieces between a separator."""
    separator = argument(arguments, 0)
    limit = to_integer(f, argument(arguments, 1), 2**32 - 1) % 2**32
    if separator is None:
        return [this][:limit]
    if kind_of(separator) is Regex:
        return regexes.split(f, this, separator, limit)
    separator = _searched(f, this, to_text(f, separator))
    coded = units(f, this)
    count = coded.count(separator) + 1 if separator else len(coded)
    f.array(count)
    f.hold(len(coded) * (1 if this.isascii() else 4) + 60 * count)
    if not separator:
        return list(coded)[:limit]
    return [whole(f, piece) for piece in coded.split(separator)][:limit]


def _replacement(f: Frame, this: str, needle: str, by: Value, at: int) -> str:
    """What stands in for one occurrence."""
    if callable(by):
        return to_text(f, by(needle, at, this))
    if "$" not in by:
        return by
    return regexes.expanded(f, by, [needle], this[:at], this[at + len(needle) :], {})


@method("replace", str, callback=1)
def replace(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With the first occurrence replaced, by a text or a function's result."""
    what, by = argument(arguments, 0), argument(arguments, 1)
    by = by if callable(by) else to_text(f, by)
    if kind_of(what) is Regex:
        return regexes.replace(f, this, what, by)
    needle = to_text(f, what)
    _searched(f, this, needle)
    at = this.find(needle)
    if at < 0:
        return this
    f.text(2 * len(this))
    made = _replacement(f, this, needle, by, at)
    return joined(f, [this[:at], made, this[at + len(needle) :]])


@method("replaceAll", str, callback=1)
def replace_all(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With every occurrence replaced, by a text or a function's result."""
    what, by = argument(arguments, 0), argument(arguments, 1)
    by = by if callable(by) else to_text(f, by)
    if kind_of(what) is Regex:
        return regexes.replace(f, this, regexes.wanted("replaceAll", what, everywhere=True), by)
    needle = to_text(f, what)
    _searched(f, this, needle)
    count = this.count(needle)
    if not callable(by) and "$" not in by:
        f.spend(count)
        f.text(len(this) + count * max(0, len(by) - len(needle)))
        return this.replace(needle, by)
    f.array(count)
    f.text(2 * len(this))
    parts: list[str] = []
    done = 0
    at = this.find(needle)
    while at >= 0:
        f.text(len(this))
        parts += (this[done:at], _replacement(f, this, needle, by, at))
        done = at + len(needle)
        at = this.find(needle, done if needle else at + 1) if at < len(this) else -1
    return joined(f, [*parts, this[done:]])


@method("isEmpty", str)
def is_empty(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether it has no characters."""
    return not this


@method("toNumber", str)
@method("toFloat", str)
def as_number(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """As Number() reads it."""
    return to_number(f, this)


@method("toDateTime", str)
def as_moment(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The moment that an ISO 8601 text names."""
    f.scan(this)
    return parse_moment(this)
