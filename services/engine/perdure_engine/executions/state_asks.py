"""What a suspended agent waits for."""

from datetime import datetime

from msgspec import Struct
from perdure_contracts.agent_asks import AskKind


class Ask(Struct, frozen=True, gc=False):
    """A question of an agent about the item `index`; `request` names its sub-step.

    It `pauses` where people are asked.
    """

    kind: AskKind
    index: int
    request: str
    name: str
    until: datetime | None = None
    pauses: bool = False
