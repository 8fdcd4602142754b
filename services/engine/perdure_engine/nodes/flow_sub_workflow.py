"""FLOW SUB_WORKFLOW: runs another workflow, as an execution of its own.

`workflow` is its name or id; without `version` the deployed version runs, else the newest. It
starts at its only MANUAL trigger, or its first one, with `input` as its data (all items, if it
is left out), exactly once for each run of this node. What its last nodes emitted leaves here on
`main`. With `wait: false` nobody waits for it: one item with its `execution_id` leaves at once.

A child that fails is retried and recovered in itself; only when it has ended without success
does this node fail, with an error that names it. Cancelling this execution cancels the child,
and so does the node's `timeout_s`. Workflows may call each other 16 deep.
"""

from collections.abc import Mapping

from perdure_engine.expressions import Compiled

from .base import NodeSpecification, Parameter, Parameters


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del parameters
    return compiled


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="SUB_WORKFLOW",
    summary="Runs another workflow, and goes on with its result.",
    place="inline",
    parameters=(
        Parameter(
            "workflow", "text", "The workflow's name or id.", optional=False, expressions=True
        ),
        Parameter("version", "integer", "Which frozen version of it.", expressions=True, least=1),
        Parameter("input", "any", "The data that it starts with.", expressions=True),
        Parameter("wait", "boolean", "Whether its end is waited for.", default=True),
    ),
    prepare=_prepare,
    handled=True,
    example={"workflow": "charge", "input": {"order": "{{ $json.order }}"}},
    errors=(
        "invalid_sub_workflow",
        "sub_workflow_failed",
        "sub_workflow_depth",
        "child_input_too_large",
        "child_result_too_large",
        "timeout",
    ),
)
