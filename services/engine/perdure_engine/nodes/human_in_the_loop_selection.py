"""HUMAN_IN_THE_LOOP SELECTION: asks people to choose an option.

The option's value leaves on `response` as `{value, label}`; `timeout` has what arrived.

The node waits (WAITING_INPUT) while other branches go on; the execution is WAITING_FOR_HUMAN only
when nothing else can run. The service `hil` asks people and owns the time-out; cancelling the
execution takes its notices back. Where no such service answers, `perdure executions why` says so.
Each item that leaves has `interaction`: `{interaction_id, outcome, by, answered_at}` and what the
service tells beside.
"""

from .base import NodeSpecification, Parameter
from .people import ASKED, TEXT, TITLE, check, outputs

SPECIFICATION = NodeSpecification(
    node_type="HUMAN_IN_THE_LOOP",
    subtype="SELECTION",
    summary="Asks people to choose an option.",
    place="inline",
    files="keep",
    parameters=(
        TITLE,
        TEXT,
        Parameter(
            "options",
            "list",
            "What may be chosen.",
            optional=False,
            expressions=True,
            entries=(
                Parameter("value", "text", "What it stands for.", optional=False, expressions=True),
                Parameter("label", "text", "What people read.", expressions=True),
            ),
            least=2,
            most=50,
        ),
        *ASKED,
    ),
    outputs=outputs,
    check=check,
    handled=True,
    example={
        "title": "Who takes ticket {{ $json.id }}?",
        "options": [{"value": "ann"}, {"value": "bob", "label": "Bob (on call)"}],
    },
    errors=("interaction_failed", "interaction_too_large"),
)
