"""What the scheduler must remember about a deployment, and about a trigger event, to decide."""

from dataclasses import dataclass

from perdure_contracts.scheduler import Status


@dataclass(frozen=True)
class Serving:
    """The version that serves, with the trigger nodes that a swap takes out again."""

    version: int
    sha256: str
    node_ids: tuple[str, ...]


@dataclass(frozen=True)
class Deployment:
    """Where a workflow's deployment stands, and what serves meanwhile."""

    status: Status = "IDLE"
    serving: Serving | None = None


@dataclass(frozen=True)
class Trigger:
    """The executions that a trigger event has started."""

    executions: tuple[str, ...] = ()
