"""HUMAN_IN_THE_LOOP APPROVAL: asks people to approve or reject.

`payload` is shown with the question; what arrived goes on, on `approved`, `rejected` or `timeout`.

The node waits (WAITING_INPUT) while other branches go on; the execution is WAITING_FOR_HUMAN only
when nothing else can run. The service `hil` asks people and owns the time-out; cancelling the
execution takes its notices back. Where no such service answers, `perdure executions why` says so.
Each item that leaves has `interaction`: `{interaction_id, outcome, by, answered_at}` and what the
service tells beside.
"""

from .base import NodeSpecification, Parameter
from .people import ASKED, RULE, TEXT, TITLE, check, outputs

SPECIFICATION = NodeSpecification(
    node_type="HUMAN_IN_THE_LOOP",
    subtype="APPROVAL",
    summary="Asks people to approve or reject.",
    place="inline",
    files="keep",
    parameters=(
        TITLE,
        TEXT,
        Parameter("payload", "any", "What is to be approved.", expressions=True),
        RULE,
        *ASKED,
    ),
    outputs=outputs,
    check=check,
    handled=True,
    example={
        "title": "Refund order {{ $json.id }}?",
        "payload": "{{ $json }}",
        "assignees": ["support-leads"],
        "timeout_s": 86_400,
    },
    errors=("interaction_failed", "interaction_too_large"),
)
