"""Nodes that make one item of each: what an item makes, or why it cannot, and nothing else."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, ExpressionError, Scope

from .base import Fault, Inputs, Item, Outcome, Parameter, Parameters, ScopeOf, paired
from .conditions import kind_of
from .errors import data_error, expression_error
from .fields import with_field

TEXT_LENGTH_MAX = 600_000
"""Characters of a text that an inline node reads: about what one event may carry."""

READ_BYTES = 24
"""What a character of a text takes at most, in bytes, when the text has been read into data."""

DEPTH_MAX = 100
"""Levels of objects and lists in what a text is read into."""


class ItemFault(Exception):
    """An item cannot be worked on: a typed code, and a sentence that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


Make: TypeAlias = Callable[[int, Json, Scope], Json]
"""Makes the data of item number n from its data and scope; raises `ItemFault`."""


def each(inputs: Inputs, scope_of: ScopeOf, make: Make) -> Outcome:
    """Return what `make` makes of each item; those that it cannot work on fail by themselves."""
    out: list[Item] = []
    failed: list[tuple[int, ErrorFacts]] = []
    for index, item in enumerate(inputs.items):
        made = attempted(lambda at=index, json=item["json"]: make(at, json, scope_of(at)))
        if isinstance(made, ErrorFacts):
            failed.append((index, made))
        else:
            out.append(paired(made, index, len(out)))
    return Outcome(ports={"main": out}, failed=tuple(failed))


def attempted(make: Callable[[], Any]) -> Any | ErrorFacts:
    """Return what `make` makes, or the facts of the item's failure."""
    try:
        return make()
    except ItemFault as fault:
        return data_error(fault.code, str(fault))
    except ExpressionError as error:
        return expression_error(error)
    except RecursionError:
        text = "the item's data is nested too deep for this node; pass on only what is needed"
        return data_error("data_too_deep", text)


AS = Parameter("as", "text", "The field that takes the result: a name, or a path with dots.")
"""The parameter that nearly all of these nodes have."""


def put(json: Json, name: str, value: Json, scope: Scope | None = None) -> Json:
    """Return the item's data with a result in its field; with a scope, a new text is paid for.

    Raises:
        ItemFault: `input_too_large`, as `pay` says.
    """
    if scope is not None and isinstance(value, str):
        pay(scope, held=len(value))
    return with_field(json, name, value)


def text_of(compiled: Compiled, scope: Scope, name: str, most: int = TEXT_LENGTH_MAX) -> str:
    """Return a parameter that must give a text.

    Raises:
        ItemFault: `invalid_input` for anything else, `input_too_large` for a long one.
    """
    value = compiled.evaluate(scope)
    if not isinstance(value, str):
        raise ItemFault("invalid_input", f"`{name}` gave {kind_of(value)}, it must give a text")
    if len(value) > most:
        text = f"`{name}` has {len(value):,} characters, at most {most:,} are read; take a part"
        raise ItemFault("input_too_large", text)
    pay(scope, len(value) >> 3)
    return value


def pay(scope: Scope, work: int = 0, held: int = 0) -> None:
    """Pay for work (units of 100 ns) and memory (bytes) of an item, into the meter of its run.

    Raises:
        ItemFault: `input_too_large` where the items before it have used up what all of them may.
    """
    meter = scope.meter
    if meter is None:
        return
    if meter.is_empty:
        text = "the items of this node are too much together; pass on fewer, or smaller ones"
        raise ItemFault("input_too_large", text)
    meter.work -= work
    meter.held -= held


def needs(
    parameters: Parameters, wanted: Mapping[str, Iterable[str]], key: str = "operation"
) -> Iterable[Fault]:
    """Yield a fault for each parameter that the operation needs and does not have."""
    operation = cast("Any", parameters.get(key))
    for name in wanted.get(operation, ()) if isinstance(operation, str) else ():
        if parameters.get(name) is None:
            text = f"`{key}: {operation}` needs `{name}`"
            yield Fault("missing_parameter", name, text)


def too_deep(value: Any, most: int = DEPTH_MAX) -> bool:
    """Tell whether objects and lists are nested deeper than `most`; looks without recursion."""
    level: list[Any] = [value]
    for _ in range(most + 1):
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (
                cast("dict[str, Any]", one).values()
                if isinstance(one, dict)
                else cast("list[Any]", one)
            )
        ]
        if not level:
            return False
    return True
