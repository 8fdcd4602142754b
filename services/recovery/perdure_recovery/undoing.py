"""What came of a compensation: the node's effects are undone, and it is given up. Pure."""

from datetime import datetime
from typing import Final

from perdure_contracts.deciding import ExecutionEvent, NoteCompensated
from perdure_contracts.recovery import AttemptSucceeded, EpisodeClosed

from .explain import explain_outcome
from .instants import parsed, seconds_between, written
from .state import Execution

UNDO: Final = "skip_compensate"
"""The strategy that undoes what a node did, where it is an attempt of its own."""


def compensated(
    state: Execution, command: NoteCompensated, now: datetime
) -> tuple[ExecutionEvent, ...]:
    """Close the episode: what was ordered is done, and nothing more is tried."""
    for episode in state.episodes.values():
        attempt, failure = episode.attempt, episode.failure
        if attempt is None or failure.failure_id != command.failure_id or attempt.strategy != UNDO:
            continue
        at = min(now, parsed(command.compensated_at))
        spent_s = seconds_between(failure.first_failed_at, at)
        explanation = explain_outcome(
            failure, attempt.number, attempt.reason, "compensated", spent_s
        )
        done = AttemptSucceeded(
            attempt_id=attempt.attempt_id,
            pattern_id=failure.pattern_id,
            teaches=False,
            succeeded_at=written(at),
            resolution_s=spent_s,
            explanation=explanation,
            probe_of=attempt.probe_of,
            episode_id=failure.episode_id,
        )
        closed = EpisodeClosed(
            episode_id=failure.episode_id,
            attempt_id=attempt.attempt_id,
            outcome="handled",
            attempts=episode.retried,
            duration_s=spent_s,
            explanation=explanation,
            shown=failure.shown,
            workspace_id=failure.pattern.workspace_id,
        )
        return done, closed
    return ()
