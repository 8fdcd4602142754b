"""FLOW SORT: puts items in order, by one field or several; equal ones stay as they came.

Numbers, texts (by their characters' code points) and booleans (false before true) are in
order among themselves. Null and missing fields stand last, whichever the order.
"""

from typing import Any

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf, paired
from .errors import data_error, whole_run
from .fields import field, one_rank, too_many_compared


def run(plan: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Sort by the last field first: each sort keeps what the one before it did."""
    del scope_of
    fault = too_many_compared(len(plan), len(inputs.items))
    if fault:
        return whole_run(inputs, data_error("too_many_items", fault))
    order: list[int] = list(range(len(inputs.items)))
    fields: list[tuple[str, bool]] = plan
    for name, descending in reversed(fields):
        values = [field(item["json"], name) for item in inputs.items]
        fault = one_rank(values)
        if fault:
            text = f"`{name}` cannot be sorted by: {fault}; make the values alike before"
            return whole_run(inputs, data_error("mixed_types", text))
        there = sorted(
            (index for index in order if values[index] is not None),
            key=values.__getitem__,
            reverse=descending,
        )
        order = there + [index for index in order if values[index] is None]
    jsons = [item["json"] for item in inputs.items]
    items = [paired(jsons[index], index, place) for place, index in enumerate(order)]
    return Outcome(ports={"main": items})


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    return [(each["field"], each.get("order", "asc") == "desc") for each in parameters["by"]]


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="SORT",
    summary="Puts items in order.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "by",
            "list",
            "The fields to sort by, the most important first.",
            optional=False,
            entries=(
                Parameter("field", "text", "A name, or a path with dots.", optional=False),
                Parameter("order", "text", "By default `asc`.", choices=("asc", "desc")),
            ),
            least=1,
            most=20,
        ),
    ),
    run=run,
    prepare=_prepare,
    example={"by": [{"field": "priority", "order": "desc"}, {"field": "created_at"}]},
    errors=("mixed_types", "too_many_items"),
)
