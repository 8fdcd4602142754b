"""FLOW SPLIT_OUT: makes an item of each entry of a list; the other fields stay with each.

An item whose field is missing or null gives none; a field that is no list fails the item.
"""

from typing import Any, cast

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from .base import (
    Inputs,
    Item,
    NodeSpecification,
    Outcome,
    Parameter,
    Parameters,
    ScopeOf,
    paired,
)
from .conditions import kind_of
from .errors import bounded, data_error
from .fields import ITEMS_MAX, field, fields_of, too_wide, with_field


@bounded
def run(name: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Put each entry of the list where the list was (rule 31)."""
    del scope_of
    out: list[Item] = []
    failed: list[tuple[int, ErrorFacts]] = []
    fields = 0
    for index, item in enumerate(inputs.items):
        value = field(item["json"], name)
        if value is None:
            continue
        if not isinstance(value, list):
            text = f"`{name}` is {kind_of(value)}, it must be a list; wrap it in one"
            failed.append((index, data_error("not_a_list", text)))
            continue
        entries = cast("list[Any]", value)
        if len(out) + len(entries) > ITEMS_MAX:
            text = f"more than {ITEMS_MAX:,} items would come out; split the work before"
            failed.append((index, data_error("too_many_items", text)))
            continue
        fields += _width(item["json"], name) * len(entries)
        fault = too_wide(fields)
        if fault:
            failed.append((index, data_error("too_many_items", fault)))
            continue
        for entry in entries:
            out.append(paired(with_field(item["json"], name, entry), index, len(out)))
    return Outcome(ports={"main": out}, failed=tuple(failed))


def _width(json: Json, name: str) -> int:
    """Return how many fields are copied for each entry: those of all objects on the way to it."""
    value: Any = fields_of(json)
    width = len(value)
    if name not in value:
        for step in name.split(".")[:-1]:
            value = value[step]
            width += len(value)
    return width


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    return parameters["field"]


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="SPLIT_OUT",
    summary="Makes an item of each entry of a list.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "field", "text", "The field with the list: a name, or a path with dots.", optional=False
        ),
    ),
    run=run,
    prepare=_prepare,
    example={"field": "order.lines"},
    errors=("not_a_list", "too_many_items", "data_too_deep"),
)
