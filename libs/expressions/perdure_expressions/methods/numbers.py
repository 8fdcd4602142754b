"""Methods of numbers, and the functions that read, print and round them."""

import math
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Final

from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value, kind_of
from perdure_expressions.registry import (
    Arguments,
    argument,
    function,
    method,
)
from perdure_expressions.values import (
    SAFE,
    WHITE,
    double,
    number,
    number_text,
    to_int32,
    to_integer,
    to_number,
    to_text,
    truthy,
)

_EXACT: Final = Context(prec=1_200, rounding=ROUND_HALF_UP)
"""Enough digits for every double: the smallest has 1,074 after the point."""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def _places(f: Frame, name: str, value: Value, low: int) -> int:
    """An argument that counts digits."""
    places = to_integer(f, value)
    if not low <= places <= 100:
        raise ExpressionError("expression_range", f"{name}() needs a number of digits up to 100.")
    f.spend(100)
    return places


@method("toFixed", int, float)
def to_fixed(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With so many digits after the point; halves away from zero, on the exact value."""
    places = _places(f, "toFixed", argument(arguments, 0), 0)
    amount = double(this)
    if not math.isfinite(amount) or abs(amount) >= 1e21:
        return number_text(amount)
    text = format(Decimal(amount).quantize(Decimal(1).scaleb(-places), context=_EXACT), "f")
    return text[1:] if text.startswith("-") and amount == 0 else text


@method("toPrecision", int, float)
def to_precision(f: Frame, this: Value, arguments: Arguments) -> Value:
    """With so many digits in all."""
    if argument(arguments, 0) is None or not math.isfinite(double(this)):
        return number_text(this)
    places = _places(f, "toPrecision", argument(arguments, 0), 1)
    if this == 0:
        return "0" if places == 1 else f"0.{'0' * (places - 1)}"
    exact = Context(prec=places, rounding=ROUND_HALF_UP).create_decimal(Decimal(double(this)))
    digits = "".join(map(str, exact.as_tuple().digits)).ljust(places, "0")
    power_of_ten = exact.adjusted()
    sign = "-" if this < 0 else ""
    if power_of_ten < -6 or power_of_ten >= places:
        head = digits[0] + ("." + digits[1:] if places > 1 else "")
        return f"{sign}{head}e{'+' if power_of_ten >= 0 else '-'}{abs(power_of_ten)}"
    if power_of_ten < 0:
        return f"{sign}0.{'0' * (-power_of_ten - 1)}{digits}"
    head, tail = digits[: power_of_ten + 1], digits[power_of_ten + 1 :]
    return f"{sign}{head}{'.' + tail if tail else ''}"


@method("toExponential", int, float)
def to_exponential(f: Frame, this: Value, arguments: Arguments) -> Value:
    """One digit, so many behind the point (by default all there are), and an exponent."""
    amount = double(this)
    if not math.isfinite(amount):
        return number_text(amount)
    asked = argument(arguments, 0)
    places = 0 if asked is None else _places(f, "toExponential", asked, 0)
    exact = Decimal(repr(amount)).normalize() if asked is None else Decimal(amount)
    if asked is not None and amount:
        exact = Context(prec=places + 1, rounding=ROUND_HALF_UP).create_decimal(exact)
    digits = "".join(map(str, exact.as_tuple().digits)).ljust(places + 1, "0")
    power = exact.adjusted() if amount else 0
    head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{'-' if amount < 0 else ''}{head}e{'+' if power >= 0 else '-'}{abs(power)}"


@method("toString", int, float)
def text_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """As text, in a radix from 2 to 36."""
    radix = to_integer(f, argument(arguments, 0), 10)
    if not 2 <= radix <= 36:
        raise ExpressionError("expression_range", "toString() needs a radix from 2 to 36.")
    if radix == 10 or not math.isfinite(double(this)):
        return number_text(this)
    f.spend(60)
    text = _in_radix(double(this), radix)
    f.spend(4 * len(text))
    return text


def _in_radix(value: float, radix: int) -> str:
    """Digits in a radix: the whole part exactly, the fraction until it tells the double."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    rest = math.floor(value)
    fraction = value - rest
    gap = max(0.5 * (math.nextafter(value, math.inf) - value), math.nextafter(0.0, 1.0))
    part: list[int] = []
    if fraction >= gap:
        while True:
            fraction *= radix
            gap *= radix
            digit = int(fraction)
            part.append(digit)
            fraction -= digit
            up = fraction > 0.5 or (fraction == 0.5 and digit & 1)
            if up and fraction + gap > 1:
                rest += _carried(part, radix)
                break
            if fraction < gap:
                break
    whole = _whole_digits(float(rest), radix)
    tail = "".join(_DIGITS[digit] for digit in part)
    return f"{sign}{whole}{'.' + tail if tail else ''}"


def _whole_digits(rest: float, radix: int) -> str:
    """The digits of a whole number; zeros where a double has no more precision, as in V8."""
    digits: list[str] = []
    while rest >= SAFE:
        rest /= radix
        digits.append("0")
    while rest > 0 or not digits:
        digit = math.fmod(rest, radix)
        digits.append(_DIGITS[int(digit)])
        rest = (rest - digit) / radix
    return "".join(reversed(digits))


def _carried(part: list[int], radix: int) -> int:
    """Round the fraction's digits up; gives what is carried into the whole part."""
    while part:
        if part[-1] + 1 < radix:
            part[-1] += 1
            return 0
        part.pop()
    return 1


@method("toLocaleString", int, float)
def grouped(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """With commas between thousands and at most three decimals, as in en-US."""
    f.spend(20)
    if not math.isfinite(double(this)):
        return number_text(this)
    exact = Decimal(repr(double(this))).quantize(
        Decimal("0.001"), rounding=ROUND_HALF_EVEN, context=_EXACT
    )
    text = format(exact, ",f").rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@method("valueOf", int, float, bool)
def itself(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The number or boolean."""
    return this


@method("toString", bool)
def boolean_text(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """'true' or 'false'."""
    return to_text(f, this)


@function("Number")
def to_number_of(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The argument as a number, 0 without one."""
    return to_number(f, argument(arguments, 0))


@function("String")
def to_text_of(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The argument as text, '' without one."""
    return to_text(f, arguments[0]) if arguments else ""


@function("Boolean")
def to_boolean(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument counts as true."""
    return truthy(argument(arguments, 0))


@function("parseFloat")
@function("Number.parseFloat")
def parse_float(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The number at the beginning of a text, or NaN."""
    text = to_text(f, argument(arguments, 0)).lstrip(WHITE)[:400]
    f.spend(2 + (len(text) >> 1))
    for sign, amount in (("", 1.0), ("+", 1.0), ("-", -1.0)):
        if text.startswith(sign + "Infinity"):
            return amount * math.inf
    end = _numeric_prefix(text)
    return number(float(text[:end])) if end else math.nan


def _numeric_prefix(text: str) -> int:
    """How many characters of the text are a decimal number."""
    at = 1 if text[:1] in ("+", "-") else 0
    begin = at
    at = _digits_end(text, at)
    count = at - begin
    if text[at : at + 1] == ".":
        end = _digits_end(text, at + 1)
        if count + end - at - 1:
            count, at = count + end - at - 1, end
    if not count:
        return 0
    if text[at : at + 1] in ("e", "E"):
        first = at + (2 if text[at + 1 : at + 2] in ("+", "-") else 1)
        end = _digits_end(text, first)
        at = end if end > first else at
    return at


def _digits_end(text: str, at: int) -> int:
    """Where the decimal digits from `at` on end."""
    while at < len(text) and text[at] in "0123456789":
        at += 1
    return at


@function("parseInt")
@function("Number.parseInt")
def parse_int(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The whole number at the beginning of a text, in a radix, or NaN."""
    text = to_text(f, argument(arguments, 0)).lstrip(WHITE)[:400]
    radix = to_int32(f, argument(arguments, 1))
    sign = -1 if text.startswith("-") else 1
    text = text[1:] if text[:1] in ("+", "-") else text
    if radix in (0, 16) and text[:2].lower() == "0x":
        text, radix = text[2:], 16
    radix = radix or 10
    if not 2 <= radix <= 36:
        return math.nan
    allowed = _DIGITS[:radix]
    end = 0
    while end < len(text) and text[end].lower() in allowed and text[end].isascii():
        end += 1
    f.spend(end)
    return number(double(sign * int(text[:end], radix))) if end else math.nan


@function("isNaN")
def is_nan(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument as a number is NaN."""
    amount = to_number(f, argument(arguments, 0))
    return amount != amount


@function("isFinite")
def is_finite(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument as a number is finite."""
    return math.isfinite(double(to_number(f, argument(arguments, 0))))


def _is_number(value: Value) -> bool:
    return kind_of(value) is int or kind_of(value) is float


@function("Number.isNaN")
def number_is_nan(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument is NaN."""
    value = argument(arguments, 0)
    return _is_number(value) and value != value


@function("Number.isFinite")
def number_is_finite(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument is a finite number."""
    value = argument(arguments, 0)
    return _is_number(value) and math.isfinite(double(value))


@function("Number.isInteger")
def number_is_integer(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument is a whole number."""
    value = argument(arguments, 0)
    return _is_number(value) and double(value).is_integer()


@function("Number.isSafeInteger")
def number_is_safe(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument is a whole number within ±(2^53 - 1)."""
    value = argument(arguments, 0)
    return _is_number(value) and double(value).is_integer() and abs(value) < SAFE
