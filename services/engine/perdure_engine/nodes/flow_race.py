"""FLOW RACE: the first branch that arrives goes on, the others are stopped.

What arrives first leaves on `main`. Then everything is cancelled whose every way leads to the
race: what runs, retries or waits, loops as a whole, people's tasks and child executions too.
Nodes from which a way leads somewhere else go on, and what they send here later is recorded as
lost. Where several branches arrive at the same moment, the connection that comes first in the
file (or by `connection_index`) wins. If nothing arrives at all, the race is skipped.
"""

from .base import NodeSpecification

SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="RACE",
    summary="Lets the first branch that arrives go on, and stops the others.",
    place="inline",
    files="keep",
)
