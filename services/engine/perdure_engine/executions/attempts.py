"""What becomes of attempts in the runner: answered or lost, asked about, given up.

How they are sent is in dispatching.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, cast

from msgspec.structs import replace as struct_replace
from perdure_contracts.engine import EffectState, ErrorFacts, NodeResult
from perdure_contracts.executions import AttemptFailed, VerdictApplied
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.nodes.base import MAIN, Item, Outcome, placed, without_source

from .asks import drop_asks
from .files import refer
from .finishing import Ended, failure, finish, stops
from .limits_of_runs import too_late
from .means import means_of
from .progress import Progress
from .retries import REPEATABLE, backoff_s, held_back, retry_after_s, tries_again
from .state import Dispatch, Run, place_of
from .suspending import suspended
from .undoing import note_undone, told_as
from .views import RunView, gather

NONE_FAILED: Mapping[int, ErrorFacts] = {}

FARTHEST: tuple[EffectState, ...] = ("not_sent", "refused", "done", "unknown")
"""How far an effect has got, from what may be repeated to what nobody knows."""


def answered(progress: Progress, place: str, result: NodeResult) -> None:
    """Take the answer to the attempt under way at `place`."""
    run, known = open_run(progress, place)
    if known.undoes:
        _undone(progress, run, known, result)
        return
    items = _all_done(known, result)
    if items is not None:
        for item in items:
            if "binary_ref" in item:
                refer(progress, run, items)
                break
        _end(progress, run, Outcome(ports={MAIN: items}))
        return
    done, failed = _read(known, result)
    refer(progress, run, [each for ports in done.values() for each in ports.values()])
    if result.suspended:
        waiting = {known.indexes[place] for place, _ in result.suspended}
        others = {index: each for index, each in failed.items() if index not in waiting}
        suspended(progress, run, known, result, done, others)
        return
    if failed:
        _attempt_failed(progress, run, known, done, failed, result)
        return
    end_run(progress, run, {**known.done, **done}, known.failed)


def _undone(progress: Progress, run: Run, known: Dispatch, result: NodeResult) -> None:
    """Take the answer to an attempt that undoes what others did: the node is given up."""
    _, failed = _read(known, result)
    if failed:
        _attempt_failed(progress, run, known, {}, failed, result)
        return
    note_undone(progress, run, known)
    end_run(progress, run, known.done, known.failed)


def lost(progress: Progress, place: str) -> None:
    """Fail the attempt under way at `place` because nothing was heard of it in time."""
    run, known = open_run(progress, place)
    error = ErrorFacts(
        type="timeout",
        message="no answer came before the attempt's deadline; raise `timeout_s` of the node "
        "if it needs longer",
        retryable=True,
        stage="attempt",
        effect_state="unknown",
    )
    _attempt_failed(progress, run, known, {}, dict.fromkeys(known.indexes, error), None)


def time_over(progress: Progress, place: str) -> None:
    """End a run because all its attempts together have taken too long (`run_timeout_s`)."""
    run, known = open_run(progress, place)
    if known.token:
        lost(progress, place)  # which comes back here
        return
    if known.asks:
        _end_waiting(progress, run, known)
        return
    if known.verdict_until is not None:
        apply_verdict(progress, place, "give_up", by="clock")
        return
    end_run(progress, run, known.done, too_late(progress, run, known))


def _end_waiting(progress: Progress, run: Run, known: Dispatch) -> None:
    """End a suspended run whose time is over; what it waits for is stopped."""
    drop_asks(progress, run, "the time of the node is over")
    error = ErrorFacts(type="no_answer", message="what it asked for was not answered", stage="run")
    waiting = {str(index): error for index in known.indexes}
    failed = too_late(progress, run, struct_replace(known, failed={**known.failed, **waiting}))
    end_run(progress, run, known.done, failed)


def apply_verdict(
    progress: Progress,
    place: str,
    verdict: Literal["retry", "hold", "give_up"],
    *,
    by: Literal["recovery", "clock"],
    at: str | None = None,
    attempt_id: str = "",
    overrides: Json = None,
    ask_again: bool = False,
) -> None:
    """Let a verdict take effect: the run waits until `at`, or is given up."""
    run, known = open_run(progress, place)
    held_since = known.held_since
    if verdict == "hold" and not held_since:
        held_since = progress.at
    progress.record(
        VerdictApplied(
            execution_id=progress.state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            failure_id=known.failure_id,
            verdict=verdict,
            by=by,
            at=at,
            attempt_id=attempt_id,
            overrides=overrides,
            ask_again=ask_again,
            held_since=held_since,
        )
    )
    if verdict == "give_up":
        end_run(progress, run, known.done, too_late(progress, run, known))


def _attempt_failed(
    progress: Progress,
    run: Run,
    known: Dispatch,
    done: dict[str, dict[str, Json]],
    failed: Mapping[int, ErrorFacts],
    result: NodeResult | None,
) -> None:
    """Record a failed attempt, and what follows: another one, a question, or the end."""
    workflow, state = progress.workflow, progress.state
    node = workflow.by_id[run.node_id]
    first, kept = failed[min(failed)], failed
    retry_at: str | None = None
    if known.undoes:  # the items keep the errors that they have
        first, kept, again = told_as(first), NONE_FAILED, False
    elif held_back(failed):
        again = not workflow.settings.recovery
    else:
        again = tries_again(
            known, run.attempt - known.suspensions, failed, stops=stops(workflow, node)
        )
    if again:
        after_s = retry_after_s(failed)
        wait_s = backoff_s(node.retry_wait_time_s, run.attempt, known.token, after_s)
        retry_at = (progress.now + timedelta(seconds=wait_s)).isoformat()
    progress.record(
        AttemptFailed(
            execution_id=state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            attempt=run.attempt,
            token=known.token,
            error=first,
            failed=tuple(sorted(kept.items(), key=lambda each: each[0])),
            failed_at=progress.at,
            done=done,
            retry_at=retry_at,
            duration_ms=0 if result is None else result.duration_ms,
            runner="" if result is None else result.runner,
        )
    )
    if known.run_until is not None and known.run_until <= progress.now:
        time_over(progress, place_of(run.node_id, run.scope))
        return
    if retry_at is not None:
        return
    if workflow.settings.recovery:
        runner = "" if result is None else result.runner.removeprefix("lost/")
        _ask(progress, state.runs[place_of(run.node_id, run.scope)], node, first, runner)
        return
    run, known = open_run(progress, place_of(run.node_id, run.scope))
    end_run(progress, run, known.done, known.failed)


def _ask(progress: Progress, run: Run, node: Node, error: ErrorFacts, runner: str) -> None:
    """Ask recovery, and hold the node until it answers or the time for that is over."""
    known = run.dispatch
    assert known is not None
    inputs, edges = gather(progress.state, progress.workflow, node, run.scope)
    told = failure(progress, Ended(node, run.scope, run.run, inputs, edges, run), error, asked=True)
    until = progress.now + timedelta(seconds=progress.verdict_wait_s)
    progress.record(
        replace(
            told,
            error=replace(told.error, effect_state=_effect_state(known, told.error)),
            effect=known.effect,
            verdict_until=until.isoformat(),
            means=means_of(progress.workflow, node, known),
            runner=runner,
        )
    )


def _effect_state(known: Dispatch, error: ErrorFacts) -> EffectState:
    """Return how far the effects of a run have got: the farthest of all its items.

    Recovery judges by it whether the node may be run again, perhaps with every item. One that
    was not sent says nothing of its neighbours that were.
    """
    if known.effect in REPEATABLE:
        return error.effect_state
    states: set[EffectState] = {each.effect_state for each in known.failed.values()}
    if known.done:
        states.add("done")
    return max((error.effect_state, *states), key=FARTHEST.index)


def end_run(
    progress: Progress,
    run: Run,
    done: Mapping[str, Mapping[str, Json]],
    failed: Mapping[str, ErrorFacts],
) -> None:
    """End a run with what its attempts did and did not do."""
    ports: dict[str, list[Item]] = {}
    for index in sorted(done, key=int):
        for port, item in done[index].items():
            items = ports.setdefault(port, [])
            items.append(placed(cast("Item", item), int(index), len(items)))
    failures = tuple(sorted((int(i), e) for i, e in failed.items() if i not in done))
    _end(progress, run, Outcome(ports=ports, failed=failures))


def _end(progress: Progress, run: Run, outcome: Outcome) -> None:
    """End a run with what came of all its items."""
    node = progress.workflow.by_id[run.node_id]
    inputs, edges = gather(progress.state, progress.workflow, node, run.scope)
    view = RunView(
        progress.state, progress.workflow, run.scope, inputs, edges, progress.now, run.gathered_in
    )
    ended = Ended(node, run.scope, run.run, inputs, edges, run)
    finish(progress, ended, outcome, view)


def _all_done(known: Dispatch, result: NodeResult) -> list[Item] | None:
    """Return what an attempt made of all items of a run; None where it is not as simple."""
    if result.outcome != "completed" or result.failed or known.done or known.failed:
        return None
    ports = cast("dict[str, Any]", result.ports) if isinstance(result.ports, dict) else {}
    main: Any = ports.get(MAIN)
    found = cast("list[Any]", main) if isinstance(main, list) and len(ports) == 1 else []
    if len(found) != len(known.indexes):
        return None
    items: list[Item] = []
    for index, item in zip(known.indexes, found, strict=True):
        if not isinstance(item, dict) or "json" not in item:
            return None
        items.append(placed(cast("Item", item), index, len(items)))
    return items


def _read(
    known: Dispatch, result: NodeResult
) -> tuple[dict[str, dict[str, Json]], dict[int, ErrorFacts]]:
    """Return what an answer says of the attempt's items: done by index and port, and failed.

    An item of which it says nothing has failed: an answer must account for all of them.
    """
    if result.outcome == "failed" and not result.failed:
        error = result.error or _unreadable("it failed without saying why")
        return {}, dict.fromkeys(known.indexes, error)
    failed = {
        known.indexes[place]: error
        for place, error in result.failed
        if 0 <= place < len(known.indexes)
    }
    done: dict[str, dict[str, Json]] = {}
    ports = cast("dict[str, Any]", result.ports) if isinstance(result.ports, dict) else {}
    for port, value in ports.items():
        items: Sequence[Any] = cast("list[Any]", value) if isinstance(value, list) else []
        for index, item in zip(known.indexes, items, strict=False):
            if index not in failed and isinstance(item, dict) and "json" in item:
                done.setdefault(str(index), {})[port] = without_source(item)
    for index in known.indexes:
        if index not in failed and str(index) not in done:
            failed[index] = _unreadable(f"it says nothing of item {index}")
    return done, failed


def _unreadable(what: str) -> ErrorFacts:
    return ErrorFacts(
        type="bad_result",
        message=f"the runner's answer cannot be used: {what}; this is a defect of the runner",
        stage="run",
        effect_state="unknown",
    )


def open_run(progress: Progress, place: str) -> tuple[Run, Dispatch]:
    """Return an open run in the runner, and what is remembered of it."""
    run = progress.state.runs[place]
    assert run.dispatch is not None
    return run, run.dispatch
