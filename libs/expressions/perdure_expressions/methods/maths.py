"""The functions and constants of `Math`. There is no chance in an expression."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Final, TypeAlias

from perdure_expressions.limits import Frame, Value
from perdure_expressions.operators import power
from perdure_expressions.registry import (
    CONSTANTS,
    FUNCTIONS,
    Arguments,
    Method,
    argument,
    function,
)
from perdure_expressions.values import SAFE, double, number, to_number

MathFunction: TypeAlias = Callable[[float], float]


def _of_one(name: str, compute: MathFunction) -> None:
    """Register a function of one number."""
    cost = 100 if name == "cbrt" else 2

    def run(f: Frame, _this: Value, arguments: Arguments) -> Value:
        f.spend(cost)
        amount = double(to_number(f, argument(arguments, 0)))
        if amount != amount:
            return math.nan
        try:
            return number(compute(amount))
        except OverflowError:
            return math.inf if amount > 0 or name == "cosh" else -math.inf
        except ValueError:
            return math.nan

    run.__doc__ = f"As JavaScript's Math.{name}."
    FUNCTIONS[f"Math.{name}"] = Method(run)


def _whole(compute: MathFunction) -> MathFunction:
    """Rounding, which leaves infinity alone."""
    return lambda amount: amount if math.isinf(amount) else float(compute(amount))


def _log(compute: MathFunction) -> MathFunction:
    """A logarithm: of 0 it is minus infinity."""
    return lambda amount: -math.inf if amount == 0 else compute(amount)


def _round(amount: float) -> float:
    """Halves go up."""
    low = math.floor(amount)
    return float(low + 1 if amount - low >= 0.5 else low)


def _cube_root(amount: float) -> float:
    """The nearest double to the cube root, which the C library does not promise."""
    root = math.cbrt(amount)
    if root == 0 or not math.isfinite(root):
        return root
    exact = Fraction(amount)
    near = (root, math.nextafter(root, math.inf), math.nextafter(root, -math.inf))
    return min(near, key=lambda each: abs(Fraction(each) ** 3 - exact))


_OF_ONE: Final[dict[str, MathFunction]] = {
    "abs": abs,
    "floor": _whole(math.floor),
    "ceil": _whole(math.ceil),
    "trunc": _whole(math.trunc),
    "round": _whole(_round),
    "sign": lambda amount: float((amount > 0) - (amount < 0)),
    "sqrt": math.sqrt,
    "cbrt": _cube_root,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": _log(math.log),
    "log2": _log(math.log2),
    "log10": _log(math.log10),
    "log1p": lambda amount: -math.inf if amount == -1 else math.log1p(amount),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
}
for _name, _compute in _OF_ONE.items():
    _of_one(_name, _compute)


@function("Math.pow")
def math_pow(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The first argument to the power of the second."""
    return power(
        double(to_number(f, argument(arguments, 0))), double(to_number(f, argument(arguments, 1)))
    )


@function("Math.atan2")
def math_atan2(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The angle of a point (y, x)."""
    y, x = (double(to_number(f, argument(arguments, place))) for place in (0, 1))
    return number(math.atan2(y, x))


@function("Math.hypot")
def math_hypot(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The square root of the sum of squares."""
    f.spend(len(arguments))
    return number(math.hypot(*(double(to_number(f, each)) for each in arguments)))


def _extreme(f: Frame, arguments: Arguments, largest: bool) -> Value:
    """The largest or smallest argument; NaN if any is."""
    f.spend(len(arguments))
    amounts = [to_number(f, each) for each in arguments]
    if any(amount != amount for amount in amounts):
        return math.nan
    if largest:
        return max(amounts, default=-math.inf)
    return min(amounts, default=math.inf)


@function("Math.max")
@function("$max")
def math_max(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The largest argument."""
    return _extreme(f, arguments, True)


@function("Math.min")
@function("$min")
def math_min(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The smallest argument."""
    return _extreme(f, arguments, False)


CONSTANTS.update(
    {
        "Math.PI": math.pi,
        "Math.E": math.e,
        "Math.LN2": math.log(2),
        "Math.LN10": math.log(10),
        "Math.LOG2E": math.log2(math.e),
        "Math.LOG10E": math.log10(math.e),
        "Math.SQRT2": math.sqrt(2),
        "Math.SQRT1_2": math.sqrt(0.5),
        "Number.MAX_SAFE_INTEGER": SAFE - 1,
        "Number.MIN_SAFE_INTEGER": 1 - SAFE,
        "Number.EPSILON": 2.0**-52,
        "Number.MAX_VALUE": 1.7976931348623157e308,
        "Number.MIN_VALUE": 5e-324,
    }
)
