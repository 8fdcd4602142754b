"""HUMAN_IN_THE_LOOP REVIEW: lets people edit something, and approve or reject it.

What arrived goes on with the edited `payload` in its place, on `approved`, `rejected` or `timeout`.

The node waits (WAITING_INPUT) while other branches go on; the execution is WAITING_FOR_HUMAN only
when nothing else can run. The service `hil` asks people and owns the time-out; cancelling the
execution takes its notices back. Where no such service answers, `perdure executions why` says so.
Each item that leaves has `interaction`: `{interaction_id, outcome, by, answered_at}` and what the
service tells beside.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .json_schemas import form_faults
from .people import ASKED, RULE, TEXT, TITLE, check, outputs


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from check(parameters)
    yield from form_faults(parameters)


SPECIFICATION = NodeSpecification(
    node_type="HUMAN_IN_THE_LOOP",
    subtype="REVIEW",
    summary="Lets people edit something, and approve or reject it.",
    place="inline",
    files="keep",
    parameters=(
        TITLE,
        TEXT,
        Parameter("payload", "any", "What may be edited.", optional=False, expressions=True),
        Parameter("form", "object", "JSON Schema of the payload, an object."),
        RULE,
        *ASKED,
    ),
    outputs=outputs,
    check=_check,
    handled=True,
    example={
        "title": "Is this answer good?",
        "payload": {"answer": "{{ $json.answer }}"},
        "form": {"type": "object", "properties": {"answer": {"type": "string"}}},
    },
    errors=("interaction_failed", "interaction_too_large"),
)
