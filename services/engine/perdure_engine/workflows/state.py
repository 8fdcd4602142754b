"""What must be remembered of a workflow in order to decide about its next version."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from perdure_contracts.scheduler import Status


@dataclass(frozen=True)
class Definition:
    """The newest version (0: none yet), its hash, and how the deployment was noted last.

    `nodes_since` has every node id that any version had, and the first version with it.
    """

    version: int = 0
    sha256: str = ""
    nodes_since: Mapping[str, int] = field(default_factory=dict[str, int])
    deployment_status: Status = "IDLE"
    deployment_version: int | None = None
