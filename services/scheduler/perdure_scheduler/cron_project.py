"""Rows from what a cron trigger does: its next firing, and the firings that happened. Pure."""

from collections.abc import Mapping

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import sha256_of_json
from perdure_contracts.cron import (
    CronEvent,
    CronFired,
    CronRetired,
    CronServed,
    CronSettled,
    CronSkipped,
    TriggerPaused,
    TriggerResumed,
)

from .cron_event import payload, subject
from .cron_ids import SOURCE
from .cron_state import CronTrigger, due_at, instant

NOTHING: Mapping[str, int] = {}
FIRED: Mapping[str, int] = {"fired_count": 1}


def project_cron(state: CronTrigger, recorded: Recorded[CronEvent]) -> tuple[Upsert, ...]:
    """Return the rows that the event writes, given the state right after it."""
    event = recorded.event
    shown: dict[str, object]
    match event:
        case CronServed():
            assert state.settings is not None
            shown = {
                **_times(state),
                "timezone": state.settings.timezone,
                "is_active": not state.paused,
                "error_message": None,
            }
        case CronSettled():
            if not event.missed:
                return (_row(recorded, event.version, _times(state)),)
            missed = {"missed_count": event.missed}
            row = _row(recorded, event.version, _times(state), missed)
            return (row, _total(recorded, missed))
        case TriggerPaused():
            shown = {"is_active": False, "next_fire_at": None}
        case TriggerResumed():
            shown = {**_times(state), "is_active": True, "error_message": None}
        case CronRetired():
            shown = {"next_fire_at": None}
        case CronSkipped(reason="filter"):
            if not event.message:
                return ()  # nothing is wrong with it
            failed: dict[str, object] = {
                "filter_error": f"{event.message} (firing of {event.scheduled_at})"
            }
            return (_row(recorded, event.version, failed, {"filter_errors": 1}),)
        case CronSkipped():
            shown = {"error_message": _why_skipped(event)}
        case CronFired():
            due = due_at(state, instant(event.scheduled_at))
            # A swap or a pause lets a firing happen before its jitter is over.
            late_s = max(0.0, (instant(event.fired_at) - due).total_seconds())
            happened: dict[str, object] = {
                "error_message": None,
                "last_late_s": None if event.backfill else late_s,
            }
            return (
                _row(recorded, event.version, happened, FIRED),
                _total(recorded, FIRED),
                _delivery(recorded, event),
            )
        case _:
            return ()
    return (_row(recorded, event.version, shown),)


def _times(state: CronTrigger) -> dict[str, object]:
    return {"next_fire_at": state.next_fire_at, "settled_until": state.settled_until}


def _row(
    recorded: Recorded[CronEvent],
    version: int,
    shown: dict[str, object],
    more: Mapping[str, int] = NOTHING,
) -> Upsert:
    event = recorded.event
    key = {
        "workflow_id": event.workflow_id,
        "deployment_version": version,
        "node_id": event.node_id,
    }
    row = {**shown, "updated_at": recorded.recorded_at}
    return Upsert("trigger_index", key, set=row, add=more)


def _total(recorded: Recorded[CronEvent], more: Mapping[str, int]) -> Upsert:
    """Return what is added up over all versions, in a row that all clocks share."""
    key = {"tenant_id": recorded.tenant_id, "trigger_subtype": "CRON"}
    return Upsert("trigger_totals", key, add=more, lazy=True)


def _delivery(recorded: Recorded[CronEvent], event: CronFired) -> Upsert:
    key = {"tenant_id": recorded.tenant_id, "source": SOURCE, "id": event.fire_id}
    row = {
        "subtype": "CRON",
        "subject": subject(event),
        "received_at": recorded.recorded_at,
        "body_sha256": sha256_of_json(payload(event)),
        "executions": [event.execution_id],
        "status": "accepted",
    }
    return Upsert("trigger_deliveries", key, set=row)


def _why_skipped(event: CronSkipped) -> str:
    at = event.scheduled_at
    match event.reason:
        case "overlap":
            return f"{at} was skipped: execution {event.open_execution_id} was still open"
        case "replaced":
            return f"{at} was skipped: a newer firing waits for {event.open_execution_id}"
        case _:
            return f"{at} was skipped: the trigger was {event.reason} while it waited"
