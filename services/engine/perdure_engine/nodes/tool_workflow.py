"""TOOL WORKFLOW: lets an agent run a workflow, with arguments that the model gives.

Connect it to an agent by AI_TOOL. `workflow` is the name or the id; without `version` its deployed
version runs, else the newest. The child execution begins with the arguments as its data. The
agent's runner is free meanwhile: when the child has ended, the agent goes on with its result (the
only item, or a list), or is told how it failed. A call is made once, whatever dies on the way: what
the model asked for stands in the execution's journal, and its answer in the agent's sub-steps. If
the agent is cancelled, so is the child.
"""

from .base import NodeSpecification, Parameter
from .tools import SEEN, check_seen

SPECIFICATION = NodeSpecification(
    node_type="TOOL",
    subtype="WORKFLOW",
    summary="Lets an agent run a workflow, with arguments that the model gives.",
    place="attached",
    parameters=(
        *SEEN,
        Parameter(
            "workflow", "text", "The workflow's name or id.", optional=False, expressions=True
        ),
        Parameter("version", "integer", "Which version; by default the deployed one.", least=1),
    ),
    inputs=(),
    outputs=lambda parameters: (),
    check=check_seen,
    example={
        "name": "refund",
        "description": "Refunds an order; answers how much was paid back.",
        "arguments": {
            "type": "object",
            "properties": {"order": {"type": "string"}},
            "required": ["order"],
        },
        "workflow": "refund an order",
        "approval": {"assignees": ["billing"], "timeout_s": 86_400},
    },
)
