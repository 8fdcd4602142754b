"""ACTION SET: computes fields of each item, and says which of the others stay.

All expressions see the item as it came: none sees what another one computes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, ExpressionError, Scope

from .base import (
    Fault,
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
from .each import ItemFault, pay
from .errors import data_error, expression_error

NO_OBJECT = "invalid_parameters"
"""The type of the error that one expression for all fields gave no object."""

FEW = 100
"""Fields that an item may be given without paying for them."""

ENTRY_BYTES = 60
"""What a field of an object takes, in bytes, beside its name and its value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The computed fields, and the names that stay: None is all of them.

    `fixed` has the fields where no expression is among them.
    """

    values: Compiled
    keep: frozenset[str] | None
    fixed: Mapping[str, Json] | None


def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Give each item its fields; all expressions see the item as it came (rule 29)."""
    out: list[Item] = []
    failed: list[tuple[int, ErrorFacts]] = []
    for index, item in enumerate(inputs.items):
        try:
            values = plan.fixed or plan.values.evaluate(scope_of(index))
        except ExpressionError as error:
            failed.append((index, expression_error(error)))
            continue
        if not isinstance(values, dict):
            failed.append((index, data_error(NO_OBJECT, _no_object(values))))
            continue
        count = len(cast("dict[str, Json]", values))
        if count > FEW:
            try:
                pay(scope_of(index), count >> 2, count * ENTRY_BYTES)
            except ItemFault as fault:
                failed.append((index, data_error(fault.code, str(fault))))
                continue
        out.append(paired({**_kept(item["json"], plan.keep), **values}, index, len(out)))
    return Outcome(ports={"main": out}, failed=tuple(failed))


def each(parameters: Mapping[str, Any], json: Json) -> Json:
    """Return an item with its fields, which the engine has computed.

    Raises:
        ItemFault: They are no object.
    """
    values = parameters["values"]
    if not isinstance(values, dict):
        raise ItemFault(NO_OBJECT, _no_object(values))
    return {**_kept(json, _names(parameters)), **cast("dict[str, Json]", values)}


def _no_object(values: object) -> str:
    return f"`values` is {kind_of(values)}; give an object of fields, such as {{name: value}}"


def _kept(json: Json, keep: frozenset[str] | None) -> Mapping[str, Json]:
    fields = cast("dict[str, Json]", json) if isinstance(json, dict) else {"value": json}
    if keep is None:
        return fields
    return {name: value for name, value in fields.items() if name in keep}


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    values = compiled["values"]
    fixed = values.evaluate(Scope()) if values.is_constant else None
    return Plan(values=values, keep=_names(parameters), fixed=fixed)


def _names(parameters: Parameters) -> frozenset[str] | None:
    """Return the names of the fields that stay, None for all of them."""
    keep = parameters.get("keep", "all")
    return None if keep == "all" else frozenset(() if keep == "none" else keep)


def _check(parameters: Parameters) -> Iterable[Fault]:
    keep: Any = parameters.get("keep", "all")
    names = cast("list[Any]", keep) if isinstance(keep, list) else []
    listed = isinstance(keep, list) and all(isinstance(name, str) for name in names)
    if keep not in ("all", "none") and not listed:
        yield Fault(
            "invalid_parameter",
            "keep",
            "`keep` must be `all`, `none`, or a list of the names of fields that stay",
        )


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="SET",
    summary="Computes fields of each item.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "values",
            "object",
            "The fields: `{name: value or expression}`, or one expression that gives all.",
            optional=False,
            expressions=True,
        ),
        Parameter("keep", "any", "Which other fields stay: all, none, or names.", default="all"),
    ),
    run=run,
    each=each,
    prepare=_prepare,
    check=_check,
    errors=(NO_OBJECT, "input_too_large"),
    example={"values": {"total": "{{ $json.price * $json.count }}"}, "keep": ["id"]},
)
