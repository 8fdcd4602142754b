"""What an engine is told that asks about a failure once more. Pure, like `decide`, which calls it.

It was restored from a backup: it makes the same attempts again, which fail under the same ids.
"""

from datetime import datetime

from perdure_common.decider import Facts
from perdure_contracts.recovery import NoteFailure, VerdictRepeated

from .cases import UNDO
from .experience import modes_in
from .guard import doubled, stricter
from .instants import parsed, written
from .state import Execution, place


def asked_again(state: Execution, command: NoteFailure, key: str, now: datetime) -> bool:
    """Return whether a failure was decided and the engine waits all the same.

    Not if its id is that of a failure that is open in another place: ids follow from places.
    """
    elsewhere = any(
        episode.failure.failure_id == command.failure_id
        for other, episode in state.episodes.items()
        if other != key
    )
    return command.failure_id in state.decided and not elsewhere and _still_asked(command, now)


def _still_asked(command: NoteFailure, now: datetime) -> bool:
    """Return whether the engine waits for a verdict: in vain, if it was given before."""
    until = command.verdict_until
    return command.asked and (until is None or now < parsed(until))


def repeated(
    state: Execution, command: NoteFailure, facts: Facts, now: datetime
) -> VerdictRepeated:
    """Return the verdict of before for a failure that the engine tells again.

    A message is heard once, so this is a failure that happened again: to an engine that was
    restored from a backup and makes the same attempts under the same ids. It may have got further
    this time, and recovery may be switched off meanwhile: a retry is not told in spite of that.
    """
    episode = state.episodes.get(place(command.node_id, command.scope))
    mine = episode is not None and episode.failure.failure_id == command.failure_id
    attempt = episode.attempt if episode is not None and mine else None
    open_still = attempt is not None and attempt.succeeded_at is None
    verdict = state.told[command.failure_id]
    undoes = attempt is not None and attempt.strategy == UNDO
    if verdict == "give_up" or not _may_go_on(command, facts, undoes=undoes):
        return VerdictRepeated(
            failure_id=command.failure_id,
            execution_id=command.execution_id,
            node_id=command.node_id,
            verdict="give_up",
            repeated_at=written(now),
        )
    return VerdictRepeated(
        failure_id=command.failure_id,
        execution_id=command.execution_id,
        node_id=command.node_id,
        verdict=verdict,
        repeated_at=written(now),
        overrides=attempt.overrides if attempt is not None else None,
        delay_s=attempt.delay_s if attempt is not None else 0.0,
        # About one that is over nobody can be asked: the engine would wait in vain.
        ask_again=attempt is not None and open_still and attempt.ask_again,
        attempt_id=attempt.attempt_id if attempt is not None and open_still else "",
    )


def _may_go_on(command: NoteFailure, facts: Facts, *, undoes: bool) -> bool:
    """Return whether what was ordered once may be made once more: rails 1 and 4."""
    acts = stricter(*modes_in(facts, command.workspace_id)) in ("auto", "approve")
    return acts and (undoes or doubled(command.effect, command.error.effect_state) is None)
