"""State from events. Pure; a released arm is never edited, only joined by a new one."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    ExecutionEvent,
)
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    FailureNoted,
    VerdictRepeated,
)
from perdure_contracts.telling import EpisodeFixed

from .cases import counts
from .evolve_parking import held_back, parked, released, stopped, uncounted
from .evolve_questions import asked, put_by, settled
from .instants import parsed
from .state import (
    Attempt,
    Episode,
    Execution,
    Lost,
    Missed,
    Verdict,
    day_of,
    episode_of,
    place,
)

GIVE_UP: Final[Verdict] = "give_up"


def evolve(state: Execution, event: ExecutionEvent) -> Execution:
    """Return the execution as it stands after `event`."""
    match event:
        case FailureNoted():
            return _noted(state, event)
        case AttemptOrdered():
            return _ordered(state, event)
        case AttemptRefused():
            if event.answered:
                state = replace(state, told={**state.told, event.failure_id: GIVE_UP})
            if event.ask:
                state = put_by(state, event)
            return _missed(state, event) if event.late else state  # its episode is closed next
        case AttemptSucceeded(attempt_id=attempt_id, succeeded_at=at):
            key, episode, attempt = _holding(state, attempt_id)
            done = replace(attempt, succeeded_at=parsed(at))
            return _with(state, key, replace(episode, attempt=done))
        case AttemptFailed(attempt_id=attempt_id):
            key, episode, attempt = _holding(state, attempt_id)
            if event.held_back and not attempt.by:
                state = uncounted(state, key) if counts(attempt.strategy, attempt.by) else state
                return _with(state, key, held_back(episode))
            return _with(state, key, replace(episode, attempt=None))
        case AttemptParked():
            return parked(state, event)
        case AttemptReleased():
            return released(state, event)
        case AttemptStopped():
            return stopped(state, event)
        case EpisodeClosed(episode_id=episode_id):
            state = _lost(state, event) if event.place else state
            state = _undone(state, event) if event.outcome == "handled" else state
            return replace(state, episodes=_without(state.episodes, episode_id))
        case EpisodeFixed(episode_id=episode_id):
            left = {k: lost for k, lost in state.lost.items() if lost.episode_id != episode_id}
            return replace(state, lost=left)
        case VerdictRepeated(verdict="give_up"):
            return replace(state, told={**state.told, event.failure_id: GIVE_UP})
        case VerdictRepeated():
            return state
        case QuestionAsked():
            return asked(state, event)
        case QuestionSettled():
            return settled(state, event)
        case _:
            assert_never(event)


def _noted(state: Execution, event: FailureNoted) -> Execution:
    key = place(event.node_id, event.scope)
    known = state.episodes.get(key)
    goes_on = known is not None and known.failure.episode_id == event.episode_id
    episode = replace(known, failure=event) if known and goes_on else Episode(event)
    state = replace(state, decided=state.decided | {event.failure_id})
    if key in state.questions and event.run > state.questions[key].failure.run:
        left = {k: asked for k, asked in state.questions.items() if k != key}
        state = replace(state, questions=left)
    if key in state.lost:  # whoever ran it again, it failed again
        state = replace(state, lost={k: lost for k, lost in state.lost.items() if k != key})
    return _with(state, key, episode)


def _lost(state: Execution, event: EpisodeClosed) -> Execution:
    failure = state.episodes[event.place].failure
    at = parsed(failure.first_failed_at) + timedelta(seconds=event.duration_s)
    lost = Lost(event.episode_id, failure.run, at)
    return replace(state, lost={**state.lost, event.place: lost})


def _undone(state: Execution, event: EpisodeClosed) -> Execution:
    """Let an engine that tells the failure again give the node up.

    A `retry` was to undo it. Said once more, without what it changed, it would repeat the effect.
    """
    told = {
        episode.failure.failure_id: GIVE_UP
        for episode in state.episodes.values()
        if episode.failure.episode_id == event.episode_id
    }
    return replace(state, told={**state.told, **told})


def _missed(state: Execution, event: AttemptRefused) -> Execution:
    episode = episode_of(state, event.failure_id)
    missed = Missed(
        attempt_id=event.attempt_id,
        strategy=event.strategy,
        delay_s=event.delay_s,
        drawn_s=event.drawn_s,
        overrides=event.overrides,
        changed=event.changed,
        scores=event.scores,
        propensity=event.propensity,
        helps=event.helps,
    )
    key = place(episode.failure.node_id, episode.failure.scope)
    return _with(state, key, replace(episode, missed=missed))


def _ordered(state: Execution, event: AttemptOrdered) -> Execution:
    episode = episode_of(state, event.failure_id)
    key = place(episode.failure.node_id, episode.failure.scope)
    ordered_at = parsed(event.ordered_at)
    attempt = Attempt(
        attempt_id=event.attempt_id,
        number=event.attempt_number,
        strategy=event.strategy,
        reason=event.reason,
        run=episode.failure.run + event.revives,
        ordered_at=ordered_at,
        overrides=event.overrides,
        changed=event.changed,
        cost=event.cost,
        usd=event.usd,
        probe=event.probe,
        doubtful=event.doubtful,
        turn=event.turn,
        probe_of=event.probe_of,
        by=event.by,
        delay_s=event.delay_s if event.ask_again else 0.0,
        ask_again=event.ask_again,
        scores=event.scores,
        propensity=event.propensity,
        helps=event.helps,
        explores=event.explores,
    )
    state = replace(state, told={**state.told, event.failure_id: "retry"})
    state = _counted(state, key, ordered_at) if counts(event.strategy, event.by) else state
    tried = replace(
        episode,
        retried=episode.retried + (not event.by),
        drawn_s=event.drawn_s,
        attempt=attempt,
        missed=None,
        parked=None,
        tried=(*episode.tried, event.tried_as) if event.tried_as else episode.tried,
    )
    return _with(state, key, tried)


def _counted(state: Execution, key: str, ordered_at: datetime) -> Execution:
    """Count an automatic attempt; those that people asked for do not count."""
    day = day_of(ordered_at)
    return replace(
        state,
        tried={**state.tried, key: state.tried.get(key, 0) + 1},
        day=day,
        tried_today=state.tried_today + 1 if state.day == day else 1,
    )


def _holding(state: Execution, attempt_id: str) -> tuple[str, Episode, Attempt]:
    for key, episode in state.episodes.items():
        if episode.attempt is not None and episode.attempt.attempt_id == attempt_id:
            return key, episode, episode.attempt
    raise LookupError(f"no open episode has the attempt {attempt_id!r}")


def _with(state: Execution, key: str, episode: Episode) -> Execution:
    return replace(state, episodes={**state.episodes, key: episode})


def _without(episodes: Mapping[str, Episode], episode_id: str) -> dict[str, Episode]:
    return {key: e for key, e in episodes.items() if e.failure.episode_id != episode_id}
