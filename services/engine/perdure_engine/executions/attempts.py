"""Attempts in the runner: sent, answered or lost, tried again, asked about, given up."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, cast

from perdure_common.ids import derived
from perdure_contracts.engine import ErrorFacts, NodeResult, Scope
from perdure_contracts.executions import AttemptFailed, NodeScheduled, VerdictApplied
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.expressions import ExpressionError
from perdure_engine.nodes.base import Inputs, Item, Outcome, paired
from perdure_engine.nodes.errors import data_error, expression_error

from .finishing import Ended, failure, finish, listed_bytes, scrubbed, stops
from .progress import Progress
from .retries import backoff_s, retry_after_s, tries_again
from .state import Dispatch, Run, place_of
from .views import RunView, gather

TASK_BYTES_MAX = 700_000
"""What a runner may be sent at once, as JSON: parameters and items stand in one record."""

ITEMS_AT_ONCE = 10
"""Items of a task that a runner works on at the same time; an attempt's limit allows for it."""

ATTEMPT_GRACE_S = 15.0
"""What an attempt may take beyond the limits of its items: for queues on the way."""

ATTEMPT_S_MAX = 3_600.0
"""The limit of an attempt where neither its node nor its subtype has one."""


def dispatch(
    progress: Progress,
    node: Node,
    scope: Scope,
    run: int,
    inputs: Inputs,
    edges: tuple[tuple[int, str], ...],
) -> None:
    """Resolve the parameters of each item and send the first attempt of a run."""
    state = progress.state
    view = RunView(state, progress.workflow, scope, inputs, edges, progress.now)
    overrides = state.overrides.get(place_of(node.node_id, scope))
    sets: list[Json] = []
    indexes: list[int] = []
    failed: list[tuple[int, ErrorFacts]] = []
    for index in range(len(inputs.items)):
        try:
            sets.append(overridden(node.resolve(view(index)), overrides))
            indexes.append(index)
        except ExpressionError as error:
            failed.append((index, scrubbed(expression_error(error))))
    size = listed_bytes([*sets, *(item["json"] for item in inputs.items)], TASK_BYTES_MAX)
    if size is None or size > TASK_BYTES_MAX:
        failed = [(index, _too_large(size)) for index in range(len(inputs.items))]
        indexes = []
    if not indexes or (failed and stops(progress.workflow, node)):
        ended = Ended(node, scope, run, inputs, edges)
        finish(progress, ended, Outcome(ports={}, failed=tuple(failed)), view)
        return
    progress.record(
        NodeScheduled(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            attempt=1,
            token=_token(progress, node.node_id, scope, run, 1),
            indexes=tuple(indexes),
            deadline=_deadline(progress, node, len(indexes)),
            scheduled_at=progress.at,
            parameters=sets,
            inputs=edges,
            failed=tuple(failed),
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            effect=node.specification.effect(node.parameters),
            length=node.specification.length(node.parameters, node.timeout_s),
            idempotency_key=_idempotency_key(state.root_execution_id, node, scope),
            max_retries=node.max_retries,
        )
    )


def answered(progress: Progress, place: str, result: NodeResult) -> None:
    """Take the answer to the attempt under way at `place`."""
    run, known = _open(progress, place)
    done, failed = _read(known, result)
    if failed:
        _attempt_failed(progress, run, known, done, failed, result)
        return
    _finish(progress, run, {**known.done, **done}, known.failed)


def lost(progress: Progress, place: str) -> None:
    """Fail the attempt under way at `place` because nothing was heard of it in time."""
    run, known = _open(progress, place)
    error = ErrorFacts(
        type="timeout",
        message="no answer came before the attempt's deadline; raise `timeout_s` of the node "
        "if it needs longer",
        retryable=True,
        stage="attempt",
        effect_state="unknown",
    )
    _attempt_failed(progress, run, known, {}, dict.fromkeys(known.indexes, error), None)


def try_again(progress: Progress, place: str) -> None:
    """Send the next attempt of a run that waited, about the items that failed."""
    run, known = _open(progress, place)
    node = progress.workflow.by_id[run.node_id]
    indexes = tuple(
        int(index)
        for index in sorted(known.failed, key=int)
        if index in known.parameters and (known.asked or known.failed[index].retryable)
    )
    parameters: Json = None
    if known.overrides is not None:
        parameters = [overridden(known.parameters[str(i)], known.overrides) for i in indexes]
    attempt = run.attempt + 1
    progress.record(
        NodeScheduled(
            execution_id=progress.state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            attempt=attempt,
            token=_token(progress, run.node_id, run.scope, run.run, attempt),
            indexes=indexes,
            deadline=_deadline(progress, node, len(indexes)),
            scheduled_at=progress.at,
            parameters=parameters,
        )
    )


def apply_verdict(
    progress: Progress,
    place: str,
    verdict: Literal["retry", "hold", "give_up"],
    *,
    by: Literal["recovery", "clock"],
    at: str | None = None,
    attempt_id: str = "",
    overrides: Json = None,
) -> None:
    """Let a verdict take effect: the run waits until `at`, or is given up."""
    run, known = _open(progress, place)
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
        )
    )
    if verdict == "give_up":
        _finish(progress, run, known.done, known.failed)


def overridden(parameters: Json, overrides: Json) -> Json:
    """Return resolved parameters with those of `overrides` in their places."""
    if overrides is None:
        return parameters
    return {**parameters, **overrides["parameters"]}


def valid_overrides(overrides: Json) -> bool:
    """Return whether overrides are none, or `{"parameters": {name: value}}`."""
    if overrides is None:
        return True
    fields = cast("dict[str, Any]", overrides) if isinstance(overrides, dict) else {}
    return set(fields) == {"parameters"} and isinstance(fields["parameters"], dict)


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
    first = failed[min(failed)]
    retry_at: str | None = None
    if tries_again(known, run.attempt, failed, stops=stops(workflow, node)):
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
            failed=tuple(sorted(failed.items(), key=lambda each: each[0])),
            failed_at=progress.at,
            done=done,
            retry_at=retry_at,
            duration_ms=0 if result is None else result.duration_ms,
            runner="" if result is None else result.runner,
        )
    )
    if retry_at is not None:
        return
    if workflow.settings.recovery:
        _ask(progress, state.runs[place_of(run.node_id, run.scope)], node, first)
        return
    run, known = _open(progress, place_of(run.node_id, run.scope))
    _finish(progress, run, known.done, known.failed)


def _ask(progress: Progress, run: Run, node: Node, error: ErrorFacts) -> None:
    """Ask recovery, and hold the node until it answers or the time for that is over."""
    known = run.dispatch
    assert known is not None
    inputs, edges = gather(progress.state, progress.workflow, node, run.scope)
    told = failure(progress, Ended(node, run.scope, run.run, inputs, edges, run), error, asked=True)
    until = progress.now + timedelta(seconds=progress.verdict_wait_s)
    progress.record(
        replace(
            told,
            effect=known.effect,
            verdict_until=until.isoformat(),
        )
    )


def _finish(
    progress: Progress,
    run: Run,
    done: Mapping[str, Mapping[str, Json]],
    failed: Mapping[str, ErrorFacts],
) -> None:
    """End a run with what its attempts did and did not do."""
    node = progress.workflow.by_id[run.node_id]
    inputs, edges = gather(progress.state, progress.workflow, node, run.scope)
    ports: dict[str, list[Item]] = {}
    for index in sorted(done, key=int):
        for port, item in done[index].items():
            items = ports.setdefault(port, [])
            items.append(paired(item["json"], int(index), len(items)))
    failures = tuple(sorted((int(i), e) for i, e in failed.items() if i not in done))
    view = RunView(progress.state, progress.workflow, run.scope, inputs, edges, progress.now)
    ended = Ended(node, run.scope, run.run, inputs, edges, run)
    finish(progress, ended, Outcome(ports=ports, failed=failures), view)


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
                done.setdefault(str(index), {})[port] = {"json": item["json"]}
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


def _too_large(size: int | None) -> ErrorFacts:
    if size is None:
        return data_error("input_not_json", "the parameters cannot be written as JSON")
    return data_error(
        "input_too_large",
        f"parameters and items have {size:,} bytes or more, at most {TASK_BYTES_MAX:,} can be "
        "sent; split the items, or keep fewer fields",
    )


def _open(progress: Progress, place: str) -> tuple[Run, Dispatch]:
    run = progress.state.runs[place]
    assert run.dispatch is not None
    return run, run.dispatch


def _token(progress: Progress, node_id: str, scope: Scope, run: int, attempt: int) -> str:
    return derived("attempt", progress.state.execution_id, node_id, scope, run, attempt)


def _idempotency_key(root_execution_id: str, node: Node, scope: Scope) -> str:
    """Return the key of a node's effects, the same for every attempt and every run of it.

    A run that a revival makes again has the same key, so that what was done before is not
    done twice. The runner adds the item's index.
    """
    parts = (root_execution_id, node.node_id, str(scope), node.node_subtype)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _deadline(progress: Progress, node: Node, items: int) -> str:
    """Return the instant at which an attempt of `items` items is given up as lost."""
    limit_s = node.timeout_s
    if limit_s is None:
        each_s = node.specification.attempt_timeout_s(node.parameters)
        rounds = -(-items // ITEMS_AT_ONCE)
        limit_s = ATTEMPT_S_MAX if each_s is None else each_s * rounds + ATTEMPT_GRACE_S
    return (progress.now + timedelta(seconds=limit_s)).isoformat()
