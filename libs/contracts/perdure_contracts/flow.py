"""What the engine says and hears of races, waits, signals, child executions and answers.

Owner: services/engine. Stream: the execution id.
"""

from .engine import Scope
from .message import message

# Races ------------------------------------------------------------------------------


@message("engine.race-lost.v1")
class RaceLost:
    """Items arrived at a race that another branch had won; `edges` brought them, by index."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    edges: tuple[int, ...]
    node_type: str = ""
    node_name: str = ""
