"""Rows of recovery_episodes: a node's failures from the first until recovered or given up.

The unit in which recovery is measured (measures.py). Written from the same events as the
attempts; each says what it knows, so a row is never read before it is written.
"""

from datetime import timedelta

from perdure_common.decider import Recorded, Upsert
from perdure_contracts.deciding import AttemptParked, ExecutionEvent
from perdure_contracts.questions import QuestionSettled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    FailureNoted,
)
from perdure_contracts.telling import EpisodeFixed

from .cases import counts
from .experience import kind_of
from .retention import FOREVER, LONG
from .state import Execution, by_person, episode_of
from .strategy import AUTOMATIC, UNCHANGED

EPISODES = "recovery_episodes"


def episode_rows(state: Execution, recorded: Recorded[ExecutionEvent]) -> tuple[Upsert, ...]:
    """Return what the event writes about its episode, given the state right after it."""
    event, at = recorded.event, recorded.recorded_at
    match event:
        case FailureNoted() if event.shown:
            return (_noted(recorded, event),)
        case AttemptOrdered():
            return (_ordered(state, recorded, event),)
        case AttemptParked() if (
            event.strategy in AUTOMATIC and event.cause != "person" and not event.explores
        ):
            failure = episode_of(state, event.failure_id).failure
            waits = {"eligible": True, "last_strategy": event.strategy, "updated_at": at}
            return (Upsert(EPISODES, {"id": failure.episode_id}, waits),)
        case AttemptRefused() if event.shown:
            failure = episode_of(state, event.failure_id).failure
            row = {"last_strategy": event.strategy, "refused_by": event.rail, "updated_at": at}
            return (Upsert(EPISODES, {"id": failure.episode_id}, row),)
        case AttemptSucceeded() | AttemptFailed():
            return (_answered(state, recorded, event),) if event.episode_id else ()
        case QuestionSettled() if event.reopens:
            again = {"outcome": "open", "closed_at": None, "kept_until": FOREVER, "updated_at": at}
            return (Upsert(EPISODES, {"id": event.reopens}, again),)
        case EpisodeClosed() if event.shown:
            return (_closed(recorded, event),)
        case EpisodeFixed():
            fixed = {"missed": True, "fixed_at": event.fixed_at, "updated_at": at}
            return (Upsert(EPISODES, {"id": event.episode_id}, fixed),)
        case _:
            return ()


def _noted(recorded: Recorded[ExecutionEvent], failure: FailureNoted) -> Upsert:
    """Return the row; what is the same for all failures of an episode is said each time."""
    pattern, at = failure.pattern, recorded.recorded_at
    row: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "workspace_id": pattern.workspace_id,
        "workflow_id": failure.workflow_id,
        "execution_id": failure.execution_id,
        "node_id": failure.node_id,
        "node_type": failure.node_type,
        "scope": failure.scope,
        "run": failure.run,
        "pattern_signature": pattern.signature,
        "failure_type": pattern.failure_type,
        "dependency": pattern.dependency,
        "dependency_class": kind_of(pattern.dependency),
        "first_failed_at": failure.first_failed_at,
        "last_failed_at": failure.failed_at,
        "outcome": "open",
        "closed_at": None,
        "kept_until": FOREVER,
        "updated_at": at,
    }
    return Upsert(EPISODES, {"id": failure.episode_id}, row, add={"failures": 1})


def _ordered(state: Execution, recorded: Recorded[ExecutionEvent], event: AttemptOrdered) -> Upsert:
    failure = episode_of(state, event.failure_id).failure
    row: dict[str, object] = {
        "last_strategy": event.strategy,
        "updated_at": recorded.recorded_at,
    }
    tries = counts(event.strategy, event.by)
    if event.explores and not event.by:
        row["explored"] = True
    elif tries:
        row["eligible"] = True
    if event.strategy in UNCHANGED and failure.transient is not False and not event.probe:
        row["judged_transient"] = True
    if event.strategy == "fallback_model":
        row["fallback"] = True
    return Upsert(EPISODES, {"id": failure.episode_id}, row, add={"attempts": int(tries)})


def _answered(
    state: Execution, recorded: Recorded[ExecutionEvent], event: AttemptSucceeded | AttemptFailed
) -> Upsert:
    """Return what came of an attempt; what a person's own try mended was missed by recovery."""
    row: dict[str, object] = {"updated_at": recorded.recorded_at}
    if isinstance(event, AttemptSucceeded):
        row |= {"completed_at": event.succeeded_at, "cured_unchanged": event.teaches}
        if by_person(state, event.attempt_id):
            row |= {"missed": True, "fixed_at": event.succeeded_at}
    elif event.outcome == "relapsed":
        row |= {"completed_at": None, "cured_unchanged": False}
    elif event.outcome == "superseded":
        row["obsolete"] = True
    uncounts = isinstance(event, AttemptFailed) and event.uncounts
    add = {"attempts": -1} if uncounts else {}
    return Upsert(EPISODES, {"id": event.episode_id}, row, add=add)


def _closed(recorded: Recorded[ExecutionEvent], event: EpisodeClosed) -> Upsert:
    at = recorded.recorded_at
    row: dict[str, object] = {
        "outcome": event.outcome,
        "closed_at": at,
        "duration_s": event.duration_s,
        "resolution_time": timedelta(seconds=event.duration_s),
        "kept_until": at + LONG,
        "updated_at": at,
    }
    return Upsert(EPISODES, {"id": event.episode_id}, row)
