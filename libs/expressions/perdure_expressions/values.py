"""JavaScript's conversions and comparisons over plain JSON.

Null and undefined are one value, null, and behave as JavaScript's null. Numbers are IEEE
doubles: integral ones are kept as int within ±2^53, and there is no negative zero. A number
of the data beyond 2^53 passes through unchanged, but is a double as soon as it is computed
with. Sources: ECMA-262, section 7 (abstract operations) and 6.1.6.1 (numbers).
"""

import json
import math
import re
from struct import unpack
from typing import Final

from .errors import ExpressionError
from .limits import DATA_DEPTH_MAX, Frame, Value, kind_of
from .moment import Moment
from .regex import Regex

SAFE: Final = 2**53
WHITE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""JavaScript's white space and line ends, for trim() and numbers."""
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?\Z")
_RADIX: Final = {"0x": 16, "0o": 8, "0b": 2}
_JOIN_COST: Final = 20
"""Units for joining one array, besides its elements."""
FLOAT_COST: Final = 15
"""Units for printing a number that is not whole."""
_DIGITS_MAX: Final = 1_000
"""A longer text of digits is not a number: reading it exactly would take quadratic time."""


def number(value: float) -> int | float:
    """The one form of a number: an int when integral and within ±2^53."""
    if value.is_integer() and -SAFE <= value <= SAFE:
        return int(value)
    return value


def double(value: int | float) -> float:
    """A number as a double; an int too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def text_to_number(text: str) -> int | float:
    """ToNumber of a string: NaN when it is none, 0 when it is blank."""
    text = text.strip(WHITE)
    if not text:
        return 0
    if len(text) > _DIGITS_MAX:
        return math.nan
    if _DECIMAL.match(text):
        return number(float(text))
    if text in ("Infinity", "+Infinity", "-Infinity"):
        return -math.inf if text[0] == "-" else math.inf
    radix = _RADIX.get(text[:2].lower())
    if radix is not None and text[2:].isalnum() and text.isascii():
        try:
            return number(double(int(text[2:], radix)))
        except ValueError:
            return math.nan
    return math.nan


def to_number(f: Frame, value: Value) -> int | float:
    """ToNumber: null is 0, an object NaN, an array the number of its text."""
    kind = kind_of(value)
    if kind is int:
        return value if -SAFE <= value <= SAFE else double(value)
    if kind is float:
        return value
    if value is None:
        return 0
    if kind is bool:
        return 1 if value else 0
    if kind is str:
        f.scan(value)
        f.spend(4)
        return text_to_number(value)
    if kind is Moment:
        return value.millis()
    if kind is list:
        return text_to_number(to_text(f, value))
    return math.nan


def to_integer(f: Frame, value: Value, default: int = 0) -> int:
    """ToIntegerOrInfinity, clamped to ±2^53; `default` for null, 0 for NaN."""
    if kind_of(value) is int:
        return max(-SAFE, min(SAFE, value))
    if value is None:
        return default
    amount = to_number(f, value)
    if amount != amount:
        return 0
    return int(max(-SAFE, min(SAFE, amount)))


def to_int32(f: Frame, value: Value) -> int:
    """ToInt32, for the bitwise operators."""
    amount = to_number(f, value)
    if kind_of(amount) is float and not math.isfinite(amount):
        return 0
    bits = int(amount) & 0xFFFFFFFF
    return bits - 0x100000000 if bits & 0x80000000 else bits


def number_text(value: int | float) -> str:
    """Number::toString: shortest digits, exponent from 1e21 and below 1e-6."""
    if kind_of(value) is int:
        if -(10**21) < value < 10**21:
            return str(value)
        value = double(value)
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    point = len(whole) + int(exponent or 0)
    if whole == "0":
        point -= 1 + len(part) - len(part.lstrip("0"))
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """Digits with the decimal point after `point` of them, as JavaScript prints a number."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    power = point - 1
    head = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{head}e{'+' if power > 0 else '-'}{abs(power)}"


def to_text(f: Frame, value: Value, depth: int = 0) -> str:
    """ToString: null is 'null', an object '[object Object]', an array its joined elements."""
    kind = kind_of(value)
    if kind is str:
        return value
    if kind is int:
        return number_text(value)
    if kind is float:
        f.spend(FLOAT_COST)
        return number_text(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is list:
        return join(f, value, ",", depth)
    if kind is Moment:
        return value.iso()
    if kind is Regex:
        return f"/{value.source}/{value.flags}"
    return "[object Object]"


def join(f: Frame, values: list[Value], separator: str, depth: int = 0) -> str:
    """Array.prototype.join: null elements are empty."""
    if depth > DATA_DEPTH_MAX:
        raise too_deep()
    f.spend(_JOIN_COST + 5 * len(values))
    parts = ["" if each is None else to_text(f, each, depth + 1) for each in values]
    return joined(f, parts, separator)


def joined(f: Frame, parts: list[str], separator: str = "") -> str:
    """The parts as one text, paid for before it is made."""
    length = sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1)
    f.text(length, separator.isascii() and all(map(str.isascii, parts)))
    return separator.join(parts)


def too_deep() -> ExpressionError:
    """The error for data nested deeper than may be printed or handed out."""
    return ExpressionError(
        "expression_depth",
        f"The data is nested deeper than {DATA_DEPTH_MAX} levels: build it flatter.",
    )


def truthy(value: Value) -> bool:
    """ToBoolean: null, false, 0, NaN and '' are false, all else is true."""
    kind = kind_of(value)
    if kind is bool:
        return value
    if kind is str or kind is int:
        return bool(value)
    if value is None:
        return False
    if kind is float:
        return not (value == 0 or value != value)
    return True


def type_name(value: Value) -> str:
    """What `typeof` says of a value that is there."""
    kind = kind_of(value)
    if kind is str:
        return "string"
    if kind is bool:
        return "boolean"
    return "number" if kind is int or kind is float else "object"


def described(value: Value) -> str:
    """What an error message calls a value."""
    kind = kind_of(value)
    if value is None:
        return "null"
    names: dict[type[object], str] = {
        list: "an array",
        dict: "an object",
        Moment: "a date",
        Regex: "a regular expression",
    }
    return names.get(kind) or f"a {type_name(value)}"


def primitive(f: Frame, value: Value) -> Value:
    """ToPrimitive with the default hint: arrays, objects and dates become text."""
    kind = kind_of(value)
    if kind is list or kind is dict or kind is Moment or kind is Regex:
        return to_text(f, value)
    return value


def same(f: Frame, left: Value, right: Value) -> bool:
    """`===`: arrays and objects are equal to themselves only, dates by their instant."""
    kind = kind_of(left)
    other = kind_of(right)
    if kind is str:
        if other is not str or len(left) != len(right):
            return False
        f.scan(left)
        return left == right
    if kind is int or kind is float:
        return (other is int or other is float) and left == right
    if kind is Moment:
        return other is Moment and left.at == right.at
    return left is right


def equal(f: Frame, left: Value, right: Value) -> bool:
    """`==`: null equals only null; numbers, texts and booleans are compared as numbers."""
    if left is None or right is None:
        return left is right
    kind = kind_of(left)
    other = kind_of(right)
    kind = int if kind is float else kind
    other = int if other is float else other
    objects = (list, dict, Moment, Regex)
    if kind is other or (kind in objects and other in objects):
        return same(f, left, right)
    if kind in objects:
        return equal(f, primitive(f, left), right)
    if other in objects:
        return equal(f, left, primitive(f, right))
    return to_number(f, left) == to_number(f, right)


def order_key(text: str) -> bytes:
    """A key that sorts a text by UTF-16 code units, as JavaScript does."""
    return text.encode("utf-16-be", "surrogatepass")


def less(f: Frame, left: Value, right: Value) -> bool:
    """`<`: texts by code unit, all else as numbers; NaN is never less."""
    if kind_of(left) is not Moment:
        left = primitive(f, left)
    if kind_of(right) is not Moment:
        right = primitive(f, right)
    if kind_of(left) is str and kind_of(right) is str:
        shorter = left if len(left) < len(right) else right
        f.scan(shorter)
        if left.isascii() and right.isascii():
            return left < right
        f.text(2 * (len(left) + len(right)))
        return order_key(left) < order_key(right)
    return to_number(f, left) < to_number(f, right)


def units(f: Frame, text: str) -> str:
    """A text as UTF-16 code units: one character for each unit. The same if none is astral."""
    if text.isascii():
        return text
    f.spend(len(text) >> 3)
    if max(text) <= "\uffff":
        return text
    f.spend(len(text) >> 1)
    f.hold(8 * len(text))
    coded = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, unpack(f"<{len(coded) // 2}H", coded)))


def whole(f: Frame, text: str) -> str:
    """The opposite of `units`: surrogate pairs become characters again."""
    if text.isascii():
        return text
    f.spend(len(text) >> 3)
    return paired(text)


def paired(text: str) -> str:
    """Surrogate pairs as characters; a lone surrogate stays as it is."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


_LONE: Final = re.compile("[\ud800-\udfff]")
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False).encode


def quoted(text: str) -> str:
    """A text as JSON writes it; half a surrogate pair is escaped."""
    made = _PLAIN(text)
    if not made.isascii() and _LONE.search(made):
        return _LONE.sub(lambda found: f"\\u{ord(found.group()):04x}", made)
    return made
