"""What the scheduler must remember about a deployment, and about a trigger event, to decide."""

from dataclasses import dataclass

from msgspec import Struct
from perdure_contracts.scheduler import Status


class Serving(Struct, frozen=True, omit_defaults=True):
    """The version that serves, with the trigger nodes that a swap takes out again.

    `crons` are those among them that have a stream of their own.
    """

    version: int
    sha256: str
    node_ids: tuple[str, ...]
    crons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """Where a workflow's deployment stands, and what serves meanwhile."""

    status: Status = "IDLE"
    serving: Serving | None = None


@dataclass(frozen=True)
class Trigger:
    """The executions that a trigger event has started."""

    executions: tuple[str, ...] = ()
