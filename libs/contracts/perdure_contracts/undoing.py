"""That what a node did was undone. Owner: services/engine; stream: the execution id."""

from typing import Final

from .engine import EffectState, Scope
from .message import message

BY_REQUEST: Final = "request"
"""Among a node's means: that what it did can be undone before it is given up."""

COMPENSATE: Final = "compensate"
"""The override by which recovery asks for that: `{"compensate": true}`."""

UNDO_STAGE: Final = "compensate"
"""At which stage a failure happened that is one of the compensation itself."""

IN_DOUBT: Final[tuple[EffectState, ...]] = ("unknown", "done")
"""How far an effect must have got to need undoing, or a look before it is repeated."""


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
