"""What the scheduler must remember about a deployment, and about a trigger event, to decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from msgspec import Struct
from perdure_contracts.deployments import Hook
from perdure_contracts.message import Json
from perdure_contracts.scheduler import DeployedTrigger, LogEntry, Status


class Serving(Struct, frozen=True, omit_defaults=True):
    """The version that serves, with the trigger nodes that a swap takes out again.

    `crons` are those among them that have a stream of their own; `paths` are what it was granted,
    as deployment `attempt`. One from before paths were streams has neither.
    """

    version: int
    sha256: str
    node_ids: tuple[str, ...]
    crons: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    attempt: int = 0


class Served(Struct, frozen=True):
    """A version that served; its hash lets the engine find the very same definition."""

    version: int
    sha256: str


class Pending(Struct, frozen=True, omit_defaults=True):
    """A deployment that waits: for the engine's copy while `sha256` is "", then for `hooks`.

    `rollback_of` is 0 where nothing is rolled back.
    """

    version: int
    action: Literal["DEPLOY", "UPDATE", "ROLLBACK"]
    deployed_by: str
    deadline: datetime
    config: Json = None
    rollback_of: int = 0
    workflow_name: str = ""
    sha256: str = ""
    triggers: tuple[DeployedTrigger, ...] = ()
    hooks: tuple[Hook, ...] = ()
    logs: tuple[LogEntry, ...] = ()
    credentials: Mapping[str, tuple[str, ...]] = {}
    attempt: int = 0


class Deployment(Struct, frozen=True, omit_defaults=True):
    """Where a workflow's deployment stands, and what serves meanwhile.

    `served` are the versions that served, the latest last; `paused` the trigger nodes that rest.
    `attempts` are the deployments that began.
    """

    status: Status = "IDLE"
    serving: Serving | None = None
    served: tuple[Served, ...] = ()
    pending: Pending | None = None
    paused: tuple[str, ...] = ()
    attempts: int = 0


@dataclass(frozen=True)
class Trigger:
    """The executions that a trigger event has started."""

    executions: tuple[str, ...] = ()
