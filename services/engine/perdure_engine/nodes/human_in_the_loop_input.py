"""HUMAN_IN_THE_LOOP INPUT: asks people to fill in a form.

`form` is a JSON Schema of flat fields (texts, numbers, booleans, choices, dates). What they wrote
leaves on `response`; `timeout` has what arrived.

The node waits (WAITING_INPUT) while other branches go on; the execution is WAITING_FOR_HUMAN only
when nothing else can run. The service `hil` asks people and owns the time-out; cancelling the
execution takes its notices back. Where no such service answers, `perdure executions why` says so.
Each item that leaves has `interaction`: `{interaction_id, outcome, by, answered_at}` and what the
service tells beside.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .json_schemas import form_faults
from .people import ASKED, TEXT, TITLE, check, outputs


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from check(parameters)
    yield from form_faults(parameters)


SPECIFICATION = NodeSpecification(
    node_type="HUMAN_IN_THE_LOOP",
    subtype="INPUT",
    summary="Asks people to fill in a form.",
    place="inline",
    files="keep",
    parameters=(
        TITLE,
        TEXT,
        Parameter("form", "object", "JSON Schema of what they write, an object.", optional=False),
        *ASKED,
    ),
    outputs=outputs,
    check=_check,
    handled=True,
    example={
        "title": "Which warehouse has order {{ $json.id }}?",
        "form": {
            "type": "object",
            "properties": {"warehouse": {"type": "string"}, "shelf": {"type": "integer"}},
            "required": ["warehouse"],
        },
    },
    errors=("interaction_failed", "interaction_too_large"),
)
