"""FLOW FILTER: items for which the condition holds leave on `main`, the others on `discarded`.

A condition that gives no boolean fails its item; null is no boolean.
"""

from collections.abc import Mapping

from perdure_engine.expressions import Compiled

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .conditions import parted


def run(condition: Compiled, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Keep the items for which the condition holds."""
    return parted(condition, inputs, scope_of, "main", "discarded")


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del parameters
    return compiled["condition"]


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    del parameters
    return ("main", "discarded")


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="FILTER",
    summary="Keeps the items for which a condition holds.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "condition",
            "condition",
            "Asked of each item.",
            optional=False,
            expressions=True,
        ),
    ),
    outputs=_outputs,
    run=run,
    prepare=_prepare,
    example={"condition": "{{ $json.total >= 100 }}"},
    errors=("condition_not_boolean",),
)
