"""Firings of the past that are made to happen: those that did not, or all once more. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from perdure_common.decider import Facts, Lookup, Rejected
from perdure_contracts.cron import BackfillCron, CronFired

from .cron_course import Course, before, fired, id_of, is_left_out, queue, schedule_of, settle
from .cron_ids import SOURCE, written
from .cron_state import CronTrigger

BACKFILL_MAX = 1000
"""The firings of one backfill."""

REACH = timedelta(days=30)
"""How far back a backfill knows what has happened; after one day more it is forgotten."""

YEARS = range(1970, 2200)
"""Of which years a backfill may speak: clocks of zones cannot be asked for the ends of time."""

FIRINGS_KEPT = REACH + timedelta(days=1)
"""How long firings are remembered; one is remembered from when it happened, never earlier."""


def backfill_facts(state: CronTrigger, command: BackfillCron) -> Mapping[str, Lookup]:
    """Return the lookup of the firings that have happened, among those that are asked for."""
    firings = _asked(state, command)
    if isinstance(firings, Rejected):
        return {}
    ids = tuple(id_of(state, at, command.force_id) for at in firings)
    return {"happened": Lookup("trigger_deliveries", {"source": SOURCE, "id": ids}, ("id",))}


def backfill(course: Course, command: BackfillCron, facts: Facts) -> Rejected | None:
    """Let firings of the past happen, in their order, those that have happened left out."""
    firings = _asked(course.state, command)
    if isinstance(firings, Rejected):
        return firings
    if datetime.fromisoformat(command.until) > course.now:
        return Rejected(
            f"a backfill ends at the latest now, not at {command.until}; what is to come fires "
            "by itself",
            "backfill_in_future",
        )
    first = datetime.fromisoformat(command.first)
    if first < course.now - REACH and not command.force_id:
        return _too_old(command.first, course.now)
    settle(course, course.now)
    happened = {str(row["id"]) for row in facts.get("happened", ())}
    happened.update(each.fire_id for each in course.events if isinstance(each, CronFired))
    queued = course.state.queued
    for at in firings:
        if id_of(course.state, at, command.force_id) in happened:
            continue
        if not command.force_id and _comes_by_itself(course.state, at):
            continue
        event = fired(course, at, 0, backfill=True, force_id=command.force_id)
        if not is_left_out(course, event):
            course.happen(event)
    if queued is not None and course.state.queued is None:
        # One of the same instant was forced, which is not the one that waits.
        queue(course, queued.scheduled_at, queued.missed_count, cancel=False)
    return None


def _too_old(first: str, now: datetime) -> Rejected:
    since = (now - REACH + timedelta(minutes=1)).isoformat(timespec="minutes")
    return Rejected(
        f"which firings have happened is known for {REACH.days} days; take a beginning from "
        f"{since} on instead of {first}, or `--force`: then all happen, even those that did",
        "backfill_too_old",
    )


def _comes_by_itself(state: CronTrigger, at: datetime) -> bool:
    """Tell whether a firing of the past will happen yet: it waits, or its jitter is not over."""
    if state.queued is not None and state.queued.scheduled_at == at:
        return True
    return not state.paused and state.settled_until is not None and at > state.settled_until


def _asked(state: CronTrigger, command: BackfillCron) -> Sequence[datetime] | Rejected:
    """Return the firings that a backfill asks for."""
    first, until = _typed(command.first), _typed(command.until)
    if first is None or until is None:
        text = (
            "write the beginning and the end of a backfill as 2026-01-31T12:00:00Z, in a year from "
            f"{YEARS.start} to {YEARS.stop - 1}"
        )
        return Rejected(text, "invalid_backfill")
    if first >= until:
        text = f"a backfill ends after it begins, not at {command.until} from {command.first} on"
        return Rejected(text, "invalid_backfill")
    assert state.settings is not None
    schedule = schedule_of(state.settings)
    firings = schedule.between(before(first), before(until), BACKFILL_MAX + 1)
    if len(firings) > BACKFILL_MAX:
        return Rejected(
            f"more than {BACKFILL_MAX:,} firings are due from {command.first} to {command.until}; "
            f"take {written(firings[-1])} as the end, and go on from there",
            "backfill_too_large",
        )
    return firings


def _typed(text: str) -> datetime | None:
    """Return an instant that somebody wrote; None if it has no zone, or is none of `YEARS`."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None and found.year in YEARS else None
    except (ValueError, OverflowError):
        return None
