"""FLOW SUMMARIZE: one item for each group, with what is measured of its items.

Groups come in the order of their first items, and have the fields they are grouped by.
`count` counts items, or with a field those in which it is not null. `sum` and `mean` take
numbers, `min` and `max` numbers, texts or booleans, one kind at a time; null and missing
values are left out by all but `list`. Of no values the sum is 0, the rest null.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from perdure_contracts.message import Json

from .base import (
    Fault,
    Inputs,
    Item,
    NodeSpecification,
    Outcome,
    Parameter,
    Parameters,
    ScopeOf,
)
from .errors import bounded, data_error, whole_run
from .fields import field, key_of, one_rank, too_many_compared

EXACT_MAX = 2**53
"""The largest whole number up to which a float has every one."""

FUNCTIONS = ("count", "sum", "min", "max", "mean", "first", "last", "list")


class _Unfit(Exception):
    """The values cannot be measured so: a typed code and a sentence."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is computed of which field, and the name of the result."""

    function: str
    field: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The fields of the groups, and what is measured of each."""

    group_by: tuple[str, ...]
    measures: tuple[Measure, ...]


@bounded
def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Make an item of each group; it comes from all of its items (rule 31)."""
    del scope_of
    fault = too_many_compared(len(plan.group_by) + len(plan.measures), len(inputs.items))
    if fault:
        return whole_run(inputs, data_error("too_many_items", fault))
    groups: dict[bytes, list[int]] = {}
    jsons = [item["json"] for item in inputs.items]
    for index, json in enumerate(jsons):
        key = key_of(field(json, name) for name in plan.group_by)
        groups.setdefault(key, []).append(index)
    out: list[Item] = []
    for places in groups.values():
        made: dict[str, Json] = {name: field(jsons[places[0]], name) for name in plan.group_by}
        for measure in plan.measures:
            try:
                made[measure.name] = _measured(measure, [jsons[place] for place in places])
            except _Unfit as fault:
                code, text = fault.args
                return whole_run(inputs, data_error(code, text))
        out.append({"json": made, "source": places})
    return Outcome(ports={"main": out})


def _measured(measure: Measure, jsons: Sequence[Json]) -> Json:
    if measure.field is None:
        return len(jsons)
    values = [field(json, measure.field) for json in jsons]
    if measure.function == "list":
        return cast("Json", values)
    return MEASURES[measure.function]([each for each in values if each is not None], measure.field)


def _sum(values: Sequence[Any], name: str) -> int | float:
    """Return the sum: exact of whole numbers, else rounded once."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            text = f"`{name}` has a value that is no number; turn it into one, or filter it out"
            raise _Unfit("not_numeric", text)
    if all(isinstance(value, int) for value in values):
        return sum(values)
    try:
        if any(isinstance(value, int) and abs(value) > EXACT_MAX for value in values):
            return float(sum(map(Fraction, values)))
        return math.fsum(values)
    except OverflowError:
        raise _Unfit("not_a_number", f"the sum of `{name}` is too large for a number") from None


def _mean(values: Sequence[Any], name: str) -> int | float | None:
    total = _sum(values, name)
    try:
        return total / len(values) if values else None
    except OverflowError:
        raise _Unfit("not_a_number", f"the mean of `{name}` is too large for a number") from None


def _extreme(values: Sequence[Any], name: str, pick: Callable[[Sequence[Any]], Any]) -> Json:
    fault = one_rank(values)
    if fault:
        raise _Unfit("mixed_types", f"`{name}` has no least and no greatest value: {fault}")
    return pick(values) if values else None


MEASURES: Mapping[str, Callable[[Sequence[Any], str], Json]] = {
    "count": lambda values, name: len(values),
    "sum": _sum,
    "mean": _mean,
    "min": lambda values, name: _extreme(values, name, min),
    "max": lambda values, name: _extreme(values, name, max),
    "first": lambda values, name: values[0] if values else None,
    "last": lambda values, name: values[-1] if values else None,
}
"""What each function makes of the values that are not null, and the field's name."""


def _names(measures: Iterable[Any]) -> list[str]:
    """Return what the results of the measures are called."""
    return [
        each.get("as") or "_".join(filter(None, (each["function"], each.get("field"))))
        for each in measures
    ]


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    measures: Any = parameters["measures"]
    return Plan(
        group_by=tuple(parameters.get("group_by") or ()),
        measures=tuple(
            Measure(each["function"], each.get("field"), name)
            for each, name in zip(measures, _names(measures), strict=True)
        ),
    )


def _check(parameters: Parameters) -> Iterable[Fault]:
    value: Any = parameters.get("measures")
    measures = cast("list[Any]", value) if isinstance(value, list) else []
    for each in measures:
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        if entry.get("function") not in FUNCTIONS:
            return  # noted already
    for at, each in enumerate(measures):
        if each["function"] != "count" and not each.get("field"):
            text = f"`{each['function']}` needs a `field`; only `count` does without"
            yield Fault("missing_parameter", f"measures[{at}].field", text)
    group_by: Any = parameters.get("group_by")
    taken: list[Any] = list(cast("list[Any]", group_by)) if isinstance(group_by, list) else []
    for at, name in enumerate(_names(measures)):
        if name in taken:
            text = f"two results are called {str(name)!r}; give one another name with `as`"
            yield Fault("invalid_parameter", f"measures[{at}].as", text)
        taken.append(name)


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="SUMMARIZE",
    summary="Measures groups of items: counts, sums, extremes.",
    place="inline",
    parameters=(
        Parameter(
            "group_by",
            "list",
            "The fields whose values make a group; none: all items are one.",
            of="text",
        ),
        Parameter(
            "measures",
            "list",
            "What is measured of each group.",
            optional=False,
            entries=(
                Parameter("function", "text", "How.", optional=False, choices=FUNCTIONS),
                Parameter("field", "text", "Of which field; `count` does without."),
                Parameter("as", "text", "The result's name; by default `function_field`."),
            ),
            least=1,
            most=100,
        ),
    ),
    run=run,
    prepare=_prepare,
    check=_check,
    example={
        "group_by": ["country"],
        "measures": [
            {"function": "count", "as": "orders"},
            {"function": "sum", "field": "total", "as": "revenue"},
        ],
    },
    errors=("mixed_types", "not_numeric", "not_a_number", "too_many_items", "data_too_deep"),
)
