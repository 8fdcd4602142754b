"""Who owns a path of the HTTP listener: what deployments ask of a path, and what it decides.

Owner: services/scheduler. Stream: the id of the path in its tenant. It answers a deployment by
`scheduler.settle-hook.v1`, which stands in `deployments`.
"""

from dataclasses import dataclass
from typing import TypeAlias

from .message import message


@dataclass(frozen=True, slots=True, kw_only=True)
class PathClaim:
    """A trigger node that is to listen under a path, with the methods that it takes."""

    node_id: str
    subtype: str
    methods: tuple[str, ...]


# Commands ---------------------------------------------------------------------------


@message("scheduler.claim-path.v1")
class ClaimPath:
    """A deployment asks for a path, for all of its nodes that are to listen there.

    `attempt` counts the deployments of the workflow: an answer to an earlier one says nothing.
    """

    path_id: str
    path: str
    workflow_id: str
    workflow_name: str
    version: int
    attempt: int
    nodes: tuple[PathClaim, ...]


@message("scheduler.release-path.v1")
class ReleasePath:
    """What a deployment was granted, or may be, it needs no more."""

    path_id: str
    path: str
    workflow_id: str
    attempt: int


# Events -----------------------------------------------------------------------------


@message("scheduler.path-granted.v1")
class PathGranted:
    """A deployment has the path.

    `dropped` are (workflow, attempt)s that have it no more: none of their rows serves or waits.
    `again` says that it had it already and is only told once more.
    """

    path_id: str
    path: str
    workflow_id: str
    workflow_name: str
    version: int
    attempt: int
    nodes: tuple[PathClaim, ...]
    dropped: tuple[tuple[str, int], ...] = ()
    again: bool = False


@message("scheduler.path-refused.v1")
class PathRefused:
    """A deployment does not get the path; `node_id` is its node that cannot listen there."""

    path_id: str
    path: str
    workflow_id: str
    version: int
    attempt: int
    node_id: str
    reason: str


@message("scheduler.path-released.v1")
class PathReleased:
    """A deployment has the path no more."""

    path_id: str
    path: str
    workflow_id: str
    attempt: int


PathCommand: TypeAlias = ClaimPath | ReleasePath
PathEvent: TypeAlias = PathGranted | PathRefused | PathReleased
