"""A firing as the trigger event that its execution, and the trigger's filter, see. Pure."""

from collections.abc import Mapping

from perdure_contracts.cron import CronFired
from perdure_contracts.message import Json
from perdure_expressions import Scope

from .cron_ids import SOURCE
from .filters import verdict

TYPE = "perdure.trigger.cron"


def payload(event: CronFired) -> Json:
    """Return the data of a firing, as its execution sees it."""
    return {
        "scheduled_at": event.scheduled_at,
        "scheduled_local": event.scheduled_local,
        "timezone": event.timezone,
        "fired_at": event.fired_at,
        "missed_count": event.missed_count,
        "backfill": event.backfill,
    }


def subject(event: CronFired) -> str:
    """Return what a firing is about: its workflow and node."""
    return f"{event.workflow_id}/{event.node_id}"


def attributes(event: CronFired) -> Mapping[str, Json]:
    """Return what a firing says of itself, as a CloudEvent does."""
    return {
        "id": event.fire_id,
        "source": SOURCE,
        "type": TYPE,
        "subject": subject(event),
        "time": event.scheduled_at,
    }


def left_out(event: CronFired, filter_text: str) -> str | None:
    """Return None for a firing that a filter lets pass, "" for another, or what went wrong."""
    return verdict(filter_text, Scope(json=payload(event), event=attributes(event)))
