"""ACTION PLACEHOLDER: stands for a node of another system that has no counterpart here.

An import (`perdure workflow import`) makes them: `kind` is what the node was, `kept` its parameters
as JSON. The workflow can be looked at, saved and deployed; where a placeholder comes to its turn,
it fails and says what is to be put in its place. In a test run it can be pinned (`pin_data`) like
any other node. Its outputs are `main`, `output2`, `output3` and so on.
"""

from collections.abc import Mapping

from perdure_engine.expressions import Compiled

from .base import MAIN, Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .errors import data_error, whole_run

OUTPUTS_MAX = 100


def run(kind: str, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Fail all items: nobody knows what the node did."""
    del scope_of
    text = (
        f"{kind!r} has no counterpart here; put a node in the placeholder's place that does the "
        "same, or pin what it emits in a test run"
    )
    return whole_run(inputs, data_error("node_type_not_supported", text))


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del compiled
    return str(parameters["kind"])


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    count = parameters.get("outputs")
    more = min(count, OUTPUTS_MAX) if isinstance(count, int) else 1
    return (MAIN, *(f"output{number}" for number in range(2, more + 1)))


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="PLACEHOLDER",
    summary="Stands for a node of another system that has no counterpart here.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("kind", "code", "What the node was.", optional=False),
        Parameter("kept", "code", "Its parameters as they were, as JSON."),
        Parameter(
            "outputs", "integer", "How many outputs it has.", default=1, least=1, most=OUTPUTS_MAX
        ),
    ),
    outputs=_outputs,
    run=run,
    prepare=_prepare,
    example={"kind": "n8n-nodes-base.telegram", "kept": '{"chatId": "1", "text": "hello"}'},
    errors=("node_type_not_supported",),
)
