"""ACTION RENAME: gives fields other names; everything else stays.

All names are those of the item as it came, so two fields may change places. A field that is
not there is passed over; one that has the new name already is replaced.
"""

from collections.abc import Iterable
from typing import Any, cast

from perdure_contracts.message import Json

from perdure_engine.expressions import Scope

from .base import Fault, Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .each import each
from .fields import field, fields_of, has_field, with_field, without_field


def run(fields: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Rename the fields of each item."""

    def renamed(index: int, json: Json, scope: Scope) -> Json:
        del index, scope
        there = {old: new for old, new in fields.items() if has_field(json, old)}
        made = fields_of(json)
        if all(old in made and "." not in new for old, new in there.items()):
            taken = set(there.values())
            return {  # each at its place
                there.get(name, name): value
                for name, value in made.items()
                if name in there or name not in taken
            }
        for old in there:
            made = without_field(made, old)
        for old, new in there.items():
            made = with_field(made, new, field(json, old))
        return made

    return each(inputs, scope_of, renamed)


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    return parameters["fields"]


def _check(parameters: Parameters) -> Iterable[Fault]:
    value: Any = parameters.get("fields")
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    taken: set[str] = set()
    for old, new in fields.items():
        if not isinstance(new, str) or not new:
            yield Fault("invalid_parameter", f"fields.{old}", "the new name must be a text")
        elif new in taken:
            text = f"two fields would be called {new!r}; give one another name"
            yield Fault("invalid_parameter", f"fields.{old}", text)
        else:
            taken.add(new)


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="RENAME",
    summary="Gives fields other names.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "fields",
            "object",
            "`{old name: new name}`; both may be paths with dots.",
            optional=False,
        ),
    ),
    run=run,
    prepare=_prepare,
    check=_check,
    example={"fields": {"customer.mail": "email", "qty": "quantity"}},
    errors=("data_too_deep",),
)
