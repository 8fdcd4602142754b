"""Who owns a path of the HTTP listener. Pure.

Deployments of two workflows are decided in two shards, which cannot see each other. So each path
is a stream: a deployment asks it and serves only when it has been granted. Its owner gives it back
when it serves there no more, or did not come to serve.

The rows of trigger_index are asked too. What serves has its path, whether it was granted or is
from the time before paths were streams; and who has neither a row that serves nor one that waits
does not need it any more, even if his word of it is still on its way.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias, assert_never

from msgspec import Struct
from perdure_common.decider import Facts, Lookup, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import derived
from perdure_contracts.deployments import SettleHook
from perdure_contracts.paths import (
    ClaimPath,
    PathClaim,
    PathCommand,
    PathEvent,
    PathGranted,
    PathRefused,
    PathReleased,
    ReleasePath,
)

from .cron_route import OWN
from .hook_rules import common_methods
from .hook_settings import methods_of

CLAIMS = (
    *("workflow_id", "workflow_name", "node_id", "trigger_subtype", "trigger_config"),
    "deployment_status",
)
"""What must be known of the triggers that listen under a path."""


class Holder(Struct, frozen=True):
    """A deployment that has the path, for some of its nodes."""

    workflow_id: str
    workflow_name: str
    attempt: int
    nodes: tuple[PathClaim, ...]


class Path(Struct, frozen=True):
    """Who has a path; the key is the workflow with the number of its deployment.

    A workflow that is being updated has it twice: for what serves, and for what is to.
    """

    holders: Mapping[str, Holder] = {}


Listening: TypeAlias = tuple[str, str, PathClaim]
"""A node that has a path: the workflow, its name, the claim."""


def path_id(tenant_id: str, path: str) -> str:
    """Return the stream of a path."""
    return derived("path", tenant_id, path)


def stream_of_path(command: PathCommand) -> str:
    """Return the stream that a command is about."""
    return command.path_id


def path_facts(state: Path, command: PathCommand) -> Mapping[str, Lookup]:
    """Return the lookup of the triggers that listen under a path, or are about to."""
    del state
    if not isinstance(command, ClaimPath):
        return {}
    where = {"path": command.path, "deployment_status": ("active", "pending")}
    return {"rows": Lookup("trigger_index", where, CLAIMS)}


def decide_path(
    state: Path, command: PathCommand, facts: Facts, now: datetime
) -> tuple[PathEvent, ...] | Rejected:
    """Return who gets a path, or gives it back."""
    del now  # who comes first is decided by the order of the stream
    match command:
        case ClaimPath():
            return (_claimed(state, command, facts["rows"]),)
        case ReleasePath():
            if _key(command.workflow_id, command.attempt) not in state.holders:
                return ()
            return (
                PathReleased(
                    path_id=command.path_id,
                    path=command.path,
                    workflow_id=command.workflow_id,
                    attempt=command.attempt,
                ),
            )


def _claimed(state: Path, command: ClaimPath, rows: Iterable[Mapping[str, Any]]) -> PathEvent:
    others = [row for row in rows if str(row["workflow_id"]) != command.workflow_id]
    there = {str(row["workflow_id"]) for row in others}
    rivals = [each for each in state.holders.values() if each.workflow_id != command.workflow_id]
    gone = [each for each in rivals if each.workflow_id not in there]
    has = [
        *(_serving(row) for row in others if row["deployment_status"] == "active"),
        *(
            (each.workflow_id, each.workflow_name, node)
            for each in rivals
            if each.workflow_id in there
            for node in each.nodes
        ),
    ]
    again = _key(command.workflow_id, command.attempt) in state.holders
    for node in command.nodes if not again else ():
        for listening in has:
            methods = common_methods(node, listening[2])
            if methods:
                return _refused(command, node, listening, methods)
    return PathGranted(
        path_id=command.path_id,
        path=command.path,
        workflow_id=command.workflow_id,
        workflow_name=command.workflow_name,
        version=command.version,
        attempt=command.attempt,
        nodes=command.nodes,
        dropped=() if again else tuple((each.workflow_id, each.attempt) for each in gone),
        again=again,
    )


def _serving(row: Mapping[str, Any]) -> Listening:
    claim = PathClaim(
        node_id=row["node_id"],
        subtype=row["trigger_subtype"],
        methods=methods_of(row["trigger_config"]),
    )
    return str(row["workflow_id"]), str(row["workflow_name"]), claim


def _refused(
    command: ClaimPath, node: PathClaim, listening: Listening, methods: Iterable[str]
) -> PathRefused:
    workflow_id, name, other = listening
    return PathRefused(
        path_id=command.path_id,
        path=command.path,
        workflow_id=command.workflow_id,
        version=command.version,
        attempt=command.attempt,
        node_id=node.node_id,
        reason=(
            f"{', '.join(methods)} {command.path} belongs to node {other.node_id!r} "
            f"({other.subtype}) of {name} ({workflow_id}); choose another path, or undeploy "
            "that workflow"
        ),
    )


def evolve_path(state: Path, event: PathEvent) -> Path:
    """Return who has the path after `event`."""
    match event:
        case PathGranted(again=True) | PathRefused():
            return state
        case PathGranted():
            left = _without(state, event.dropped)
            holder = Holder(event.workflow_id, event.workflow_name, event.attempt, event.nodes)
            return Path({**left, _key(event.workflow_id, event.attempt): holder})
        case PathReleased():
            return Path(_without(state, [(event.workflow_id, event.attempt)]))
        case _:
            assert_never(event)


def _without(state: Path, gone: Iterable[tuple[str, int]]) -> dict[str, Holder]:
    keys = {_key(workflow_id, attempt) for workflow_id, attempt in gone}
    return {key: holder for key, holder in state.holders.items() if key not in keys}


def _key(workflow_id: str, attempt: int) -> str:
    return f"{workflow_id}/{attempt}"


def project_path(state: Path, recorded: Recorded[PathEvent]) -> tuple[Upsert, ...]:
    """Return the rows that show who has which path, and had it."""
    del state  # the event says enough
    event, at = recorded.event, recorded.recorded_at
    match event:
        case PathGranted(again=False):
            row = {
                "workflow_name": event.workflow_name,
                "deployment_version": event.version,
                "nodes": [
                    {"node_id": n.node_id, "subtype": n.subtype, "methods": list(n.methods)}
                    for n in event.nodes
                ],
                "granted_at": at,
                "released_at": None,
            }
            own = _grant(recorded, event.workflow_id, event.attempt)
            gone = (_grant(recorded, *each) for each in event.dropped)
            return (
                Upsert("path_grants", own, set=row),
                *(Upsert("path_grants", each, set={"released_at": at}) for each in gone),
            )
        case PathReleased():
            key = _grant(recorded, event.workflow_id, event.attempt)
            return (Upsert("path_grants", key, set={"released_at": at}),)
        case _:
            return ()


def _grant(recorded: Recorded[PathEvent], workflow_id: str, attempt: int) -> dict[str, object]:
    return {
        "tenant_id": recorded.tenant_id,
        "path": recorded.event.path,
        "workflow_id": workflow_id,
        "attempt": attempt,
    }


def route_path(state: Path, recorded: Recorded[PathEvent]) -> tuple[Outgoing, ...]:
    """Return what a deployment is answered: once for each of its nodes, or why not."""
    del state  # the event says enough
    event = recorded.event
    match event:
        case PathGranted():
            told = [
                SettleHook(
                    workflow_id=event.workflow_id,
                    version=event.version,
                    node_id=node.node_id,
                    ok=True,
                    message=f"path {event.path} is granted",
                    attempt=event.attempt,
                )
                for node in event.nodes
            ]
        case PathRefused():
            told = [
                SettleHook(
                    workflow_id=event.workflow_id,
                    version=event.version,
                    node_id=event.node_id,
                    ok=False,
                    message=event.reason,
                    code="path_taken",
                    attempt=event.attempt,
                )
            ]
        case _:
            return ()
    return tuple(Outgoing(OWN, event.workflow_id, each) for each in told)


class PathJudge:
    """Sees the events of one path, for `perdure verify` (I14): nobody gets what another has."""

    def __init__(self) -> None:
        self._has: dict[tuple[str, int], tuple[PathClaim, ...]] = {}

    def see(self, event: PathEvent) -> Iterable[tuple[str, str, str]]:
        """Return what the next event breaks."""
        if isinstance(event, PathRefused):
            return
        own = (event.workflow_id, event.attempt)
        if isinstance(event, PathReleased):
            if self._has.pop(own, None) is None:
                yield "I14", f"path {event.path}", f"{own[0]} gave back what it had not"
            return
        if event.again:
            if own not in self._has:
                yield "I14", f"path {event.path}", f"{own[0]} was told of a path that it has not"
            return
        for gone in event.dropped:
            self._has.pop(gone, None)
        for (workflow_id, _), nodes in self._has.items():
            both = [m for a in event.nodes for b in nodes for m in common_methods(a, b)]
            if workflow_id != event.workflow_id and both:
                text = f"{own[0]} was granted {', '.join(both)}, which {workflow_id} has"
                yield "I14", f"path {event.path}", text
        self._has[own] = event.nodes
