"""State from the events of attempts that wait. Like `evolve`, whose arms these are."""

from dataclasses import replace

from perdure_contracts.deciding import AttemptParked, AttemptReleased, AttemptStopped

from .instants import parsed
from .state import Attempt, Episode, Execution, Missed, Parked, episode_of, place


def parked(state: Execution, event: AttemptParked) -> Execution:
    """Let an attempt wait; one that had been ordered is not open meanwhile."""
    episode = episode_of(state, event.failure_id)
    waiting = Parked(
        attempt_id=event.attempt_id,
        number=event.attempt_number,
        strategy=event.strategy,
        cause=event.cause,
        reason=event.reason,
        until=parsed(event.until),
        line=event.line,
        interaction_id=event.request.interaction_id if event.request is not None else "",
        wake_at=parsed(event.wake_at) if event.wake_at is not None else None,
        drawn_s=event.drawn_s,
        probe=event.probe,
        overrides=event.overrides,
        changed=event.changed,
        counted=event.counted,
        approved=event.approved,
        cost=event.cost,
        usd=event.usd,
        request=event.request,
        planned=event.planned,
        before=event.before,
        since=parsed(event.parked_at),
        doubtful=event.doubtful,
        scores=event.scores,
        propensity=event.propensity,
        helps=event.helps,
        explores=event.explores,
    )
    return _with(state, replace(episode, parked=waiting, attempt=None))


def released(state: Execution, event: AttemptReleased) -> Execution:
    """Let an attempt that counts already be open (again)."""
    episode = episode_of(state, event.failure_id)
    if episode.attempt is not None:
        again = replace(
            episode.attempt,
            probe_of=event.probe_of or episode.attempt.probe_of,
            delay_s=0.0,
            ask_again=False,
        )
        return _with(state, replace(episode, attempt=again))
    waiting = episode.parked
    assert waiting is not None
    attempt = Attempt(
        attempt_id=waiting.attempt_id,
        number=waiting.number,
        strategy=waiting.strategy,
        reason=event.reason or waiting.reason,
        run=episode.failure.run,
        ordered_at=parsed(event.released_at),
        overrides=waiting.overrides,
        changed=waiting.changed,
        cost=waiting.cost,
        usd=waiting.usd,
        probe=waiting.probe,
        doubtful=waiting.doubtful,
        probe_of=event.probe_of,
        turn=event.turn,
        scores=waiting.scores,
        propensity=waiting.propensity,
        helps=waiting.helps,
        explores=waiting.explores,
    )
    return _with(state, replace(episode, parked=None, attempt=attempt))


def stopped(state: Execution, event: AttemptStopped) -> Execution:
    """Forget an attempt that is not made; one that came too late may yet revive the execution."""
    episode = episode_of(state, event.failure_id)
    missed = episode.missed
    attempt = episode.attempt
    if attempt is not None and event.status == "refused" and not event.answered:
        missed = Missed(
            attempt_id=event.attempt_id,
            strategy=attempt.strategy,
            delay_s=0.0,
            drawn_s=0.0,
            overrides=attempt.overrides,
            changed=attempt.changed,
            scores=attempt.scores,
            propensity=attempt.propensity,
            helps=attempt.helps,
            explores=attempt.explores,
        )
    if event.answered:
        state = replace(state, told={**state.told, event.failure_id: "give_up"})
    return _with(state, replace(episode, attempt=None, parked=None, missed=missed))


def held_back(episode: Episode) -> Episode:
    """Forget an attempt of which nothing was sent: a breaker was open."""
    return replace(episode, attempt=None, retried=episode.retried - 1, tried=episode.tried[:-1])


def uncounted(state: Execution, key: str) -> Execution:
    """Take back what an attempt counted."""
    return replace(
        state,
        tried={**state.tried, key: state.tried.get(key, 0) - 1},
        tried_today=max(0, state.tried_today - 1),
    )


def _with(state: Execution, episode: Episode) -> Execution:
    key = place(episode.failure.node_id, episode.failure.scope)
    return replace(state, episodes={**state.episodes, key: episode})
