"""The operators, as functions of a frame and their operands' values."""

import math
from collections.abc import Callable
from typing import Final

from .access import index_of
from .errors import ExpressionError
from .limits import Frame, Value, kind_of
from .moment import Moment
from .values import (
    SAFE,
    described,
    double,
    equal,
    joined,
    less,
    number,
    primitive,
    same,
    to_int32,
    to_number,
    to_text,
    truthy,
    type_name,
)


def add(f: Frame, left: Value, right: Value) -> Value:
    """`+`: joins if either side is text after conversion, else adds."""
    if kind_of(left) is str and kind_of(right) is str:
        return joined(f, [left, right])
    f.spend(4)
    left, right = primitive(f, left), primitive(f, right)
    if kind_of(left) is str or kind_of(right) is str:
        return joined(f, [to_text(f, left), to_text(f, right)])
    return _settled(to_number(f, left) + to_number(f, right))


def _settled(result: int | float) -> int | float:
    """A result in the one form of numbers."""
    if kind_of(result) is int:
        return result if -SAFE <= result <= SAFE else double(result)
    return number(result)


def subtract(f: Frame, left: Value, right: Value) -> Value:
    """`-`."""
    return _settled(to_number(f, left) - to_number(f, right))


def multiply(f: Frame, left: Value, right: Value) -> Value:
    """`*`."""
    return _settled(to_number(f, left) * to_number(f, right))


def divide(f: Frame, left: Value, right: Value) -> Value:
    """`/`, with infinity and NaN for division by zero."""
    top, bottom = double(to_number(f, left)), double(to_number(f, right))
    if bottom == 0:
        return math.nan if top == 0 or top != top else math.copysign(math.inf, top)
    return number(top / bottom)


def remainder(f: Frame, left: Value, right: Value) -> Value:
    """`%`, with the sign of the dividend."""
    top, bottom = double(to_number(f, left)), double(to_number(f, right))
    if bottom == 0 or math.isinf(top):
        return math.nan
    return number(math.fmod(top, bottom))


def raise_power(f: Frame, left: Value, right: Value) -> Value:
    """`**` on doubles."""
    return power(double(to_number(f, left)), double(to_number(f, right)))


def power(base: float, exponent: float) -> int | float:
    """Number::exponentiate."""
    if exponent != exponent or (abs(base) == 1 and math.isinf(exponent)):
        return math.nan
    try:
        return number(math.pow(base, exponent))
    except OverflowError:
        odd = exponent.is_integer() and math.fmod(exponent, 2) != 0
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def less_or_equal(f: Frame, left: Value, right: Value) -> bool:
    """`<=`: not the reverse of `>`, as NaN is neither."""
    if kind_of(left) in _PLAIN and kind_of(right) in _PLAIN:
        return left <= right
    return less(f, left, right) or _as_equal(f, left, right)


def _as_equal(f: Frame, left: Value, right: Value) -> bool:
    """Whether two values that `<` compares are equal for it."""
    left = left if kind_of(left) is Moment else primitive(f, left)
    right = right if kind_of(right) is Moment else primitive(f, right)
    if kind_of(left) is str and kind_of(right) is str:
        return same(f, left, right)
    return to_number(f, left) == to_number(f, right)


def contains_key(f: Frame, key: Value, of: Value) -> bool:
    """`in`: a key of an object, an index of an array."""
    if kind_of(of) is dict:
        return to_text(f, key) in of
    if kind_of(of) is list:
        text = to_text(f, key)
        return text == "length" or 0 <= index_of(text) < len(of)
    raise ExpressionError(
        "expression_type",
        f"'in' needs an object or an array on its right, but got {described(of)}.",
    )


def shift_left(f: Frame, left: Value, right: Value) -> Value:
    """`<<`."""
    return to_int32(f, to_int32(f, left) << (to_int32(f, right) & 31))


def shift_right(f: Frame, left: Value, right: Value) -> Value:
    """`>>`."""
    return to_int32(f, left) >> (to_int32(f, right) & 31)


def shift_right_unsigned(f: Frame, left: Value, right: Value) -> Value:
    """`>>>`."""
    return (to_int32(f, left) & 0xFFFFFFFF) >> (to_int32(f, right) & 31)


_PLAIN: Final = frozenset({int, float})

BINARY: Final[dict[str, Callable[[Frame, Value, Value], Value]]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "**": raise_power,
    "===": same,
    "!==": lambda f, left, right: not same(f, left, right),
    "==": equal,
    "!=": lambda f, left, right: not equal(f, left, right),
    "<": less,
    ">": lambda f, left, right: less(f, right, left),
    "<=": less_or_equal,
    ">=": lambda f, left, right: less_or_equal(f, right, left),
    "in": contains_key,
    "&": lambda f, left, right: to_int32(f, left) & to_int32(f, right),
    "|": lambda f, left, right: to_int32(f, left) | to_int32(f, right),
    "^": lambda f, left, right: to_int32(f, left) ^ to_int32(f, right),
    "<<": shift_left,
    ">>": shift_right,
    ">>>": shift_right_unsigned,
}

UNARY: Final[dict[str, Callable[[Frame, Value], Value]]] = {
    "!": lambda _f, value: not truthy(value),
    "-": lambda f, value: _settled(-to_number(f, value)),
    "+": lambda f, value: to_number(f, value),
    "~": lambda f, value: ~to_int32(f, value),
    "typeof": lambda _f, value: type_name(value),
}
