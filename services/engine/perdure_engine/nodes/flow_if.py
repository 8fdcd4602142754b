"""FLOW IF: each item leaves on `true` or on `false`.

A condition that gives no boolean fails its item; write `!!` before a value to turn it into one.
"""

from collections.abc import Mapping

from perdure_engine.expressions import Compiled

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .conditions import parted


def run(condition: Compiled, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Send each item to the port that its condition says."""
    return parted(condition, inputs, scope_of, "true", "false")


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del parameters
    return compiled["condition"]


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    del parameters
    return ("true", "false")


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="IF",
    summary="Sends each item to `true` or `false`.",
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
    regular_error_port="false",
    run=run,
    prepare=_prepare,
    example={"condition": "{{ $json.issue.labels.some(l => l.name === 'bug') }}"},
    errors=("condition_not_boolean",),
)
