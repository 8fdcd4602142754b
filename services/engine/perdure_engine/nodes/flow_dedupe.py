"""FLOW DEDUPE: of items that are alike the first stays.

Alike are items whose keys have the same JSON values: 1 and 1.0 are the same, 1 and "1" are
not; missing and null are. Without `keys` the whole data is compared.
"""

from typing import Any

from .base import Inputs, Item, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf, paired
from .errors import bounded, data_error, whole_run
from .fields import field, key_of, too_many_compared


@bounded
def run(keys: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Pass on the first of each kind (rule 31)."""
    del scope_of
    fault = too_many_compared(1 if keys is None else len(keys), len(inputs.items))
    if fault:
        return whole_run(inputs, data_error("too_many_items", fault))
    seen: set[bytes] = set()
    out: list[Item] = []
    for index, item in enumerate(inputs.items):
        json = item["json"]
        key = key_of([json] if keys is None else [field(json, name) for name in keys])
        if key not in seen:
            seen.add(key)
            out.append(paired(json, index, len(out)))
    return Outcome(ports={"main": out})


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    return parameters.get("keys")


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="DEDUPE",
    summary="Drops items that are like an earlier one.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "keys",
            "list",
            "What is compared; none: the whole data.",
            of="text",
            least=1,
        ),
    ),
    run=run,
    prepare=_prepare,
    example={"keys": ["email"]},
    errors=("too_many_items", "data_too_deep"),
)
