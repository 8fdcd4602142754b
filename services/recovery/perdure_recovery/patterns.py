"""Patterns: which failures came how often, and what unchanged retries taught about them.

A stream of its own for each (workspace, signature, dependency), told by commands of this
same service. Small enough for one file: state, decide, evolve, project. When many come within a
minute it tells the stream of their incidents; of those it counts no more than it must.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from perdure_common.breaking import OPEN_CODE
from perdure_common.decider import Facts, Outgoing, Recorded, Upsert
from perdure_contracts.patterns import (
    FailureType,
    NoteOccurrence,
    PatternCommand,
    PatternEvent,
    PatternFacts,
    PatternSeen,
    PatternTaught,
)

from .experience import FAILURES_MIN, STORM_S
from .families import branch, prior_type
from .incidents import count_of
from .instants import parsed
from .retention import FOREVER, SHORT
from .transience import Lessons, believe, taught, weights

TABLE = "failure_patterns"
REMEMBERED_MAX = 50
"""How many of the latest failures and attempts are remembered, so that none counts twice."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """How often a pattern occurred, since when, what it was taught, and by what lately.

    `failure_type` is the one whose prior is believed, `recent` when the latest failures came (Unix
    seconds), as many as make a storm, and `recent_of` the executions of the last of those.
    """

    failure_type: FailureType = "unknown"
    occurrences: int = 0
    lessons: Lessons = field(default_factory=Lessons)
    counted: tuple[str, ...] = ()
    first_seen: str = ""
    last_tried: str = ""
    recent: tuple[float, ...] = ()
    recent_of: tuple[str, ...] = ()


def stream_of(command: PatternCommand) -> str:
    """Return the stream of a pattern."""
    return command.pattern_id


def decide(
    state: Pattern, command: PatternCommand, facts: Facts, now: datetime
) -> tuple[PatternEvent, ...]:
    """Return that the pattern occurred or was taught; each failure and attempt counts once."""
    del facts, now  # a pattern knows only what it is told
    if isinstance(command, NoteOccurrence):
        if command.failure_id in state.counted:
            return ()
        alike = _alike(state, parsed(command.seen_at).timestamp())
        sent = command.pattern.error_type != OPEN_CODE  # else a breaker held it: that is no storm
        told = sent and (command.counts or alike >= FAILURES_MIN)
        seen = PatternSeen(
            pattern_id=command.pattern_id,
            failure_id=command.failure_id,
            pattern=command.pattern,
            seen_at=command.seen_at,
            tried=command.tried,
            alike=alike,
            execution_id=command.execution_id if told else "",
            of=command.execution_id,
        )
        return (seen,)
    lesson = PatternTaught(
        pattern_id=command.pattern_id,
        attempt_id=command.attempt_id,
        succeeded=command.succeeded,
        learnt_at=command.learnt_at,
    )
    return () if command.attempt_id in state.counted else (lesson,)


def evolve(state: Pattern, event: PatternEvent) -> Pattern:
    """Return the pattern as it stands after `event`."""
    if isinstance(event, PatternSeen):
        return replace(
            state,
            failure_type=prior_type(event.pattern.failure_type, event.pattern.pattern_source),
            first_seen=state.first_seen or event.seen_at,
            last_tried=event.seen_at if event.tried else state.last_tried,
            occurrences=state.occurrences + 1,
            counted=_remembered(state, event.failure_id),
            recent=_recent(state, event),
            recent_of=(*state.recent_of, event.of)[-FAILURES_MIN:] if event.of else (),
        )
    at = parsed(event.learnt_at).timestamp()
    return replace(
        state,
        lessons=taught(state.lessons, succeeded=event.succeeded, at=at),
        counted=_remembered(state, event.attempt_id),
    )


def project(state: Pattern, recorded: Recorded[PatternEvent]) -> tuple[Upsert, ...]:
    """Return the pattern's row: counted up, and with what is believed of it now."""
    event, at = recorded.event, recorded.recorded_at
    counts = weights(state.lessons)
    belief = believe(state.failure_type, counts, (), at.timestamp())
    row: dict[str, object] = {
        "is_transient": belief.transient,
        "confidence_score": belief.confidence,
        "lesson_successes": counts.successes,
        "lesson_failures": counts.failures,
        "updated_at": at,
    }
    if counts.at:
        row["weighed_at"] = datetime.fromtimestamp(counts.at, tz=at.tzinfo)
    key = {"id": event.pattern_id}
    if isinstance(event, PatternTaught):
        return (Upsert(TABLE, key, row),)
    single = state.occurrences == 1
    row |= _columns(event.pattern)
    row |= {  # said anew each time: a row that was forgotten comes back whole
        "tenant_id": recorded.tenant_id,
        "occurrence_count": state.occurrences,
        "first_detected_at": state.first_seen,
        "last_detected_at": event.seen_at,
        "last_tried_at": state.last_tried or None,
        "kept_until": parsed(event.seen_at) + SHORT if single else FOREVER,
        "created_at": state.first_seen,
    }
    return (Upsert(TABLE, key, row),)


def route(state: Pattern, recorded: Recorded[PatternEvent]) -> tuple[Outgoing, ...]:
    """Return what tells the stream of incidents of a failure that is one of many."""
    event = recorded.event
    if not isinstance(event, PatternSeen) or not event.execution_id:
        return ()
    return (
        count_of(
            event.pattern_id,
            event.pattern,
            event.failure_id,
            event.execution_id,
            event.seen_at,
            event.alike,
            _executions(state, parsed(event.seen_at).timestamp()),
        ),
    )


def _recent(state: Pattern, event: PatternSeen) -> tuple[float, ...]:
    if not event.alike:  # of before this was counted
        return state.recent
    return (*state.recent, parsed(event.seen_at).timestamp())[-FAILURES_MIN:]


def _alike(state: Pattern, at: float) -> int:
    """Return how many failures came within a minute of an instant, the one at it with them."""
    return 1 + sum(abs(at - each) < STORM_S for each in state.recent)


def _executions(state: Pattern, at: float) -> tuple[str, ...]:
    """Return the executions of the failures that came within a minute of an instant."""
    latest = zip(reversed(state.recent), reversed(state.recent_of), strict=False)
    return tuple(sorted({name for each, name in latest if abs(at - each) < STORM_S}))


def _columns(pattern: PatternFacts) -> dict[str, object]:
    return {
        "workspace_id": pattern.workspace_id,
        "pattern_signature": pattern.signature,
        "dependency": pattern.dependency,
        "failure_type": pattern.failure_type,
        "error_message_hash": pattern.error_message_hash,
        "error_message": pattern.error_message,
        "error_type": pattern.error_type,
        "root_cause_category": pattern.root_cause_category,
        "pattern_source": pattern.pattern_source,
        "execution_stage": pattern.execution_stage,
        "context_metadata": pattern.context,
        "family_branch": branch(pattern.error_message),
    }


def _remembered(state: Pattern, name: str) -> tuple[str, ...]:
    return (*state.counted, name)[-REMEMBERED_MAX:]
