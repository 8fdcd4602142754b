"""Rows of what nodes stand still for: people, an instant, an event, an error that recovery holds.

A row is active from when its node begins to wait until it waits no more, whatever ends that. The
rows of operators' pauses are in project_control.py.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import derived
from perdure_contracts.control import NodeMarked
from perdure_contracts.engine import NodeCanceled
from perdure_contracts.executions import VerdictApplied
from perdure_contracts.flow import WaitBegun, WaitEnded
from perdure_contracts.suspending import AskAnswered, AskDropped, RunSuspended

from .instants import instant
from .project_control import PAUSES
from .state import place_of

Reason: TypeAlias = Literal["human_interaction", "timeout", "error", "event"]

REASONS: Mapping[str, Reason] = {
    "person": "human_interaction",
    "time": "timeout",
    "event": "event",
    "webhook": "event",
}
"""Why a node stands still, by what it waits for. What machines answer is no pause."""

Seen: TypeAlias = Recorded[Any]


def begun(recorded: Seen, event: WaitBegun | RunSuspended | VerdictApplied) -> Iterable[Upsert]:
    """Return the rows of pauses that begin with an event."""
    match event:
        case WaitBegun() if event.kind in REASONS:
            named = {"event": {"event": event.name, "key": event.key}, "webhook": {"webhook": True}}
            asked = event.wait_id if event.kind == "person" else None
            conditions = {**named.get(event.kind, {}), "until": event.until}
            yield _begins(recorded, event.wait_id, REASONS[event.kind], conditions, asked)
        case RunSuspended() if event.pauses:
            untils = event.untils or (None,) * len(event.asks)
            for (_, ask_id, ask), until in zip(event.asks, untils, strict=True):
                if ask.kind == "approval":
                    conditions = {"tool": ask.name, "until": until}
                    yield _begins(recorded, ask_id, "human_interaction", conditions, ask_id)
        case VerdictApplied() if event.verdict == "hold" and event.held_since:
            conditions = {"failure_id": event.failure_id, "until": event.at}
            since = instant(event.held_since)
            yield _begins(recorded, _hold(event), "error", conditions, since=since)
        case _:
            pass


def over(
    recorded: Seen,
    event: WaitEnded | AskAnswered | AskDropped | VerdictApplied | NodeCanceled | NodeMarked,
) -> Iterable[Upsert]:
    """Return the row of the pause that ends with an event, if one does."""
    match event:
        case WaitEnded() if event.kind in REASONS:
            yield _ends(recorded, event.wait_id, REASONS[event.kind], event.by)
        case AskAnswered() if event.paused:
            yield _ends(recorded, event.ask_id, "human_interaction", "answer")
        case AskDropped() if event.paused:
            yield _ends(recorded, event.ask_id, "human_interaction", "canceled")
        case VerdictApplied() if event.held_since and event.verdict != "hold":
            by = "timeout" if event.by == "clock" else "recovery"
            yield _ends(recorded, _hold(event), "error", by)
        case NodeMarked() if event.held_since:
            yield _ends(recorded, _hold(event), "error", "operator")
        case NodeCanceled() if event.held_since:
            yield _ends(recorded, _hold(event), "error", "canceled")
        case _:
            pass


def _hold(event: VerdictApplied | NodeCanceled | NodeMarked) -> str:
    """Return the key of a hold: a run may be held more than once."""
    return f"{place_of(event.node_id, event.scope)}#{event.run}/{event.held_since}"


def _begins(
    recorded: Seen,
    key: str,
    reason: Reason,
    conditions: dict[str, Any],
    asked: str | None = None,
    since: datetime | None = None,
) -> Upsert:
    return _row(
        recorded,
        key,
        reason,
        {
            "paused_at": since or recorded.recorded_at,
            "resume_conditions": conditions,
            "interaction_id": asked,
            "resumed_at": None,
            "resume_trigger": None,
            "status": "active",
            "created_at": since or recorded.recorded_at,
        },
    )


def _ends(recorded: Seen, key: str, reason: Reason, trigger: str) -> Upsert:
    return _row(
        recorded,
        key,
        reason,
        {
            "resumed_at": recorded.recorded_at,
            "resume_trigger": trigger,
            "status": "timeout" if trigger == "timeout" else "resumed",
        },
    )


def _row(recorded: Seen, key: str, reason: Reason, row: dict[str, object]) -> Upsert:
    named = {
        "tenant_id": recorded.tenant_id,
        "execution_id": recorded.stream,
        "paused_node_id": recorded.event.node_id,
        "pause_reason": reason,
        "updated_at": recorded.recorded_at,
    }
    return Upsert(PAUSES, {"id": derived("pause", recorded.stream, key)}, set={**named, **row})
