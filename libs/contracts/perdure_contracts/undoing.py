"""That what a node did was undone. Owner: services/engine; stream: the execution id."""

from .engine import Scope
from .message import message


@message("engine.node-compensated.v1")
class NodeCompensated:
    """The compensation that a node declares was carried out; the node is given up next.

    It was the attempt `token` of the run, about the items `indexes`, as recovery had said about
    `failure_id`. Should the node ever run again, its effects have another idempotency key.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int
    token: str
    failure_id: str
    indexes: tuple[int, ...]
    compensated_at: str
