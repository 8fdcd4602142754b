"""What calls and spreads do at run time: bind arguments, take elements, name the fault."""

from collections.abc import Callable

from .access import Run, computed
from .errors import ExpressionError
from .limits import Frame, Value, kind_of
from .registry import FUNCTIONS, Callback
from .syntax import FunctionName, Pattern
from .values import described


def bind(f: Frame, pattern: Pattern, value: Value) -> None:
    """Put an argument into its slots."""
    if pattern.slot >= 0:
        f.slots[pattern.slot] = value
        return
    for key, part in pattern.parts:
        bind(f, part, computed(f, value, key))


def named_function(node: FunctionName) -> Run:
    """A known function as an argument."""
    found = FUNCTIONS[node.name]

    def make(f: Frame) -> Callback:
        def call(*values: Value) -> Value:
            f.spend(1)
            return found.call(f, None, values)

        return call

    return make


def elements(f: Frame, value: Value) -> list[Value]:
    """What a spread in an array takes: an array's elements, a text's characters.

    Raises:
        ExpressionError: `expression_type` for anything else.
    """
    if kind_of(value) is list:
        f.spend(len(value))
        return value
    if kind_of(value) is str:
        f.array(len(value))
        return list(value)
    raise ExpressionError(
        "expression_type", f"'...' needs an array here, but got {described(value)}: add ?? []."
    )


def spread_into(f: Frame, made: dict[str, Value], value: Value) -> None:
    """What a spread in an object takes: the entries of objects, arrays and texts."""
    if kind_of(value) is dict:
        f.object(len(value))
        made.update(value)
    elif kind_of(value) is list or kind_of(value) is str:
        f.object(2 * len(value))
        made.update((str(place), each) for place, each in enumerate(value))


def wrong_type(name: str, this: Value, at: int) -> ExpressionError:
    """The error for a method on a value that does not have it."""
    if this is None:
        message = (
            f"{name}() was called on null: the value is missing; write ?.{name}(…) to allow it."
        )
    else:
        message = f"{described(this).capitalize()} has no method {name}()."
    return ExpressionError("expression_type", message, at)


def placed(error: ExpressionError, at: int) -> ExpressionError:
    """An error with its place, unless a place further inside is known already."""
    if error.position is None:
        error.position = at
    return error


def single(
    operator: str, apply: Callable[[Frame, Value, Value], Value], left: Run, right: Run
) -> Run:
    """One operator. `===` and `!==` have a short way for texts that are no longer than names."""
    if operator in ("===", "!=="):
        wanted = operator == "==="

        def compare(f: Frame) -> Value:
            a, b = left(f), right(f)
            if kind_of(a) is str and kind_of(b) is str and len(a) < 100:
                return (a == b) is wanted
            return apply(f, a, b)

        return compare
    return lambda f: apply(f, left(f), right(f))
