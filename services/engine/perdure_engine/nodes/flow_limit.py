"""FLOW LIMIT: lets the first, or the last, so many items through."""

from collections.abc import Mapping
from typing import Any

from perdure_engine.expressions import Compiled, ExpressionError

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf, paired
from .errors import data_error, expression_error, whole_run


def run(plan: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Keep `count` items of the one end; an expression is asked of the first item."""
    counted, last = plan
    try:
        count: Any = counted.evaluate(scope_of(0))
    except ExpressionError as error:
        return whole_run(inputs, expression_error(error))
    if isinstance(count, bool) or not isinstance(count, int | float) or count < 0 or count % 1:
        text = f"`count` is {str(count)[:80]!r}, it must be a whole number from 0 up"
        return whole_run(inputs, data_error("invalid_input", text))
    items = inputs.items
    start = max(0, len(items) - int(count)) if last else 0
    kept = items[start : start + int(count)]
    out = [paired(item["json"], start + place, place) for place, item in enumerate(kept)]
    return Outcome(ports={"main": out})


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    return compiled["count"], parameters.get("from", "first") == "last"


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="LIMIT",
    summary="Lets so many items through.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("count", "integer", "How many.", optional=False, expressions=True, least=0),
        Parameter("from", "text", "From which end.", default="first", choices=("first", "last")),
    ),
    run=run,
    prepare=_prepare,
    example={"count": 10, "from": "last"},
    errors=("invalid_input",),
)
