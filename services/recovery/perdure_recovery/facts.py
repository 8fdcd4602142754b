"""What a decision must know of other streams: modes, patterns, breakers, incidents, allowances."""

from collections.abc import Mapping

from perdure_common.decider import Due, Lookup
from perdure_common.ids import derived
from perdure_contracts.deciding import ExecutionCommand, NoteAnswer, NoteDue, ReleaseAttempt
from perdure_contracts.recovery import NoteEnd, NoteFailure

from .classify import classify
from .experience import EVERYWHERE, limited_of, storm_of
from .families import neighbour_lookups
from .means import dependency_of, means_from
from .state import Episode, Execution, asking, begun_as, parked_as, waking

PATTERN_COLUMNS = (
    "workspace_id",
    "dependency",
    "lesson_successes",
    "lesson_failures",
    "weighed_at",
    "last_tried_at",
)
BREAKER_COLUMNS = ("breaker_id", "dependency", "credential", "state", "until")
ALLOWANCE_COLUMNS = ("tokens", "tokens_at", "month", "month_usd", "recovery_usd")
RECORD_COLUMNS = ("failure_type", "strategy", "tried", "recovered")


def execution_facts(state: Execution, command: ExecutionCommand | Due) -> Mapping[str, Lookup]:
    """Return the lookups for a failure that is to be decided, or an attempt that waited."""
    if isinstance(command, ReleaseAttempt | NoteAnswer | NoteDue | Due):
        episode = _concerned(state, command)
        if episode is None:
            return {}
        return _around_attempt(episode)
    ended_by = _missed(state, command) if isinstance(command, NoteEnd) else None
    if ended_by is not None:
        return _around_attempt(ended_by)
    failure = command.failure if isinstance(command, NoteEnd) else command
    if not isinstance(failure, NoteFailure):
        return {}
    if _is_settled(state, failure):
        return {"modes": _modes(failure.workspace_id)} if failure.asked else {}
    workspace_id, dependency = failure.workspace_id, failure.error.dependency
    means = means_from(failure.means)
    others = [dependency_of(each) for each in means.fallbacks]
    pattern_id = derived("pattern", workspace_id, failure.signature, dependency)
    known = classify(failure.error, means.failure_type)
    kind = known.failure_type
    storm_id = storm_of(pattern_id, limited_of(known, means.credential))
    return {
        "patterns": Lookup(
            "failure_patterns", {"pattern_signature": failure.signature}, PATTERN_COLUMNS
        ),
        "records": Lookup(
            "recovery_records",
            {"workspace_id": workspace_id, "failure_type": kind},
            RECORD_COLUMNS,
        ),
        **_around(workspace_id, storm_id, [dependency, *others]),
        **neighbour_lookups(failure.workspace_id, failure.error, kind),
    }


def _around_attempt(episode: Episode) -> dict[str, Lookup]:
    """Return the lookups for an attempt that was planned before, perhaps with another model."""
    pattern = episode.failure.pattern
    called = [pattern.dependency]
    planned = episode.parked or episode.attempt or episode.missed
    if planned is not None and planned.changed:
        called.append(str(planned.changed.get("to", "")))
    storm_id = storm_of(episode.failure.pattern_id, pattern.credential)
    return _around(pattern.workspace_id, storm_id, called)


def _around(workspace_id: str, storm_id: str, called: list[str]) -> dict[str, Lookup]:
    """Return the lookups of what the guard rails are told."""
    return {
        "modes": _modes(workspace_id),
        "incidents": Lookup(
            "recovery_incidents", {"storm_id": storm_id}, ("storm_id", "gate", "closed_at")
        ),
        "breakers": Lookup(
            "recovery_breakers",
            {"dependency": tuple(sorted({each for each in called if each}))},
            BREAKER_COLUMNS,
        ),
        "allowance": Lookup(
            "recovery_allowances", {"workspace_id": workspace_id}, ALLOWANCE_COLUMNS
        ),
    }


def _modes(workspace_id: str) -> Lookup:
    columns = ("workspace_id", "mode", "sampler", "people")
    return Lookup("recovery_modes", {"workspace_id": (workspace_id, EVERYWHERE)}, columns)


def _missed(state: Execution, command: NoteEnd) -> Episode | None:
    """Return the episode by which an execution has ended and may be made to go on."""
    for episode in state.episodes.values():
        if episode.missed is not None and episode.failure.failure_id == command.failure_id:
            return episode
    return None


def _concerned(
    state: Execution, command: ReleaseAttempt | NoteAnswer | NoteDue | Due
) -> Episode | None:
    """Return the episode whose attempt may begin now, None if none waits."""
    match command:
        case ReleaseAttempt():
            return parked_as(state, command.attempt_id)
        case NoteAnswer():
            return asking(state, command.interaction_id)
        case NoteDue():
            return begun_as(state, command.attempt_id)
        case Due():
            return waking(state)


def _is_settled(state: Execution, failure: NoteFailure) -> bool:
    """Return whether nothing is to be decided about a failure (any more)."""
    decided = failure.failure_id in state.decided
    return decided and (failure.failure_id in state.told or not failure.asked)
