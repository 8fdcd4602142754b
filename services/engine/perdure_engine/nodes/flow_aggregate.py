"""FLOW AGGREGATE: brings all items together into one, with a list of what each has.

The list has an entry for each item, in order, null where the field is missing. Without
`field` the entries are the items' whole data.
"""

from typing import Any

from perdure_contracts.message import Json

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .fields import field

WHOLE = "items"
"""The list's name where neither `field` nor `as` gives one."""


def run(plan: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Make one item of all (rule 31); it comes from each of them."""
    del scope_of
    name, into = plan
    values: list[Json] = [
        item["json"] if name is None else field(item["json"], name) for item in inputs.items
    ]
    return Outcome(ports={"main": [{"json": {into: values}, "source": [*range(len(values))]}]})


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    name = parameters.get("field")
    return name, parameters.get("as") or name or WHOLE


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="AGGREGATE",
    summary="Brings all items together into one with a list.",
    place="inline",
    files="collect",
    parameters=(
        Parameter("field", "text", "Whose values the list has; without it, the whole items."),
        Parameter("as", "text", f"The list's name: by default the field's, or `{WHOLE}`."),
    ),
    run=run,
    prepare=_prepare,
    example={"field": "email", "as": "recipients"},
)
