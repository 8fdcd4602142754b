"""The end of an execution, and its second life."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

import msgspec
from perdure_common.ids import derived
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeCanceled,
)
from perdure_contracts.message import Json

from perdure_engine.definition import Node

from .progress import Progress
from .state import Run, edge_key, place_of

RESULT_BYTES_MAX = 256_000
"""The result that is told with the end of an execution; a longer one stands in rows alone."""

_encode = msgspec.json.Encoder().encode


def stop(
    progress: Progress,
    status: Literal["ERROR", "TIMEOUT"],
    error: ErrorFacts,
    *,
    node_id: str | None = None,
    failure_id: str | None = None,
) -> None:
    """End the execution with an error: cancel what runs, begin nothing (rule 8)."""
    state = progress.state
    reason = "execution_timeout" if status == "TIMEOUT" else "execution_failed"
    cancel_open(progress, reason)
    progress.record(
        ExecutionFailed(
            execution_id=state.execution_id,
            workflow_id=state.workflow_id,
            workspace_id=state.workspace_id,
            status=status,
            error=error,
            node_id=node_id,
            failure_id=failure_id,
            duration_ms=progress.since_ms(state.started_at),
        )
    )


def cancel(progress: Progress, reason: str, asked_by: str) -> None:
    """End the execution because somebody asked for it."""
    state = progress.state
    cancel_open(progress, "execution_canceled")
    progress.record(
        ExecutionCanceled(
            execution_id=state.execution_id,
            workflow_id=state.workflow_id,
            reason=reason,
            asked_by=asked_by,
            duration_ms=progress.since_ms(state.started_at),
            untroubled=not state.troubled,
        )
    )


def cancel_open(progress: Progress, reason: str) -> None:
    """Cancel every run that has not ended, and forget what was ready."""
    progress.queue.clear()
    state = progress.state
    for run in [state.runs[place] for place in state.open]:
        known = run.dispatch
        assert known is not None
        progress.record(
            NodeCanceled(
                execution_id=state.execution_id,
                node_id=run.node_id,
                scope=run.scope,
                run=run.run,
                reason=reason,
                token=known.token,
                claimed=known.claimed,
                node_type=known.node_type,
                node_subtype=known.node_subtype,
                node_name=known.node_name,
            )
        )


def end_if_done(progress: Progress) -> None:
    """End the execution when nothing is left to do: SUCCESS, or ERROR if something is stuck."""
    state = progress.state
    if state.status != "RUNNING" or progress.queue or state.open or state.ready:
        return
    stuck = _stuck(progress)
    if stuck:
        names = ", ".join(repr(node.node_id) for node in stuck[:5])
        text = (
            f"nothing is left to run, but {names} received items and did not end; "
            "this is a defect: report it with the execution's id"
        )
        error = ErrorFacts(type="stalled", message=text, stage="engine")
        failure_id = derived("failure", state.execution_id, "stalled", len(state.runs))
        stop(progress, "ERROR", error, failure_id=failure_id)
        return
    result = list(_result(progress))
    cut = len(_encode(result)) > RESULT_BYTES_MAX
    progress.record(
        ExecutionCompleted(
            execution_id=state.execution_id,
            workflow_id=state.workflow_id,
            result=None if cut else result,
            duration_ms=progress.since_ms(state.started_at),
            result_cut=cut,
            untroubled=not state.troubled,
        )
    )


def timed_out(progress: Progress) -> None:
    """End the execution because its time is over."""
    state = progress.state
    limit = progress.workflow.settings.execution_timeout_s
    text = (
        f"the execution did not end within {limit:g} s; raise settings.execution_timeout, "
        "or find out what it waited for"
        if limit is not None
        else "the execution's deadline has passed"
    )
    error = ErrorFacts(type="execution_timeout", message=text, stage="engine")
    failure_id = derived("failure", state.execution_id, "timeout", progress.at)
    stop(progress, "TIMEOUT", error, failure_id=failure_id)


def new_deadline(progress: Progress) -> str | None:
    """Return the instant at which an execution that begins now must have ended, if there is one."""
    limit = progress.workflow.settings.execution_timeout_s
    return None if limit is None else (progress.now + timedelta(seconds=limit)).isoformat()


def _stuck(progress: Progress) -> list[Node]:
    """Return the nodes that received items and did not end well: there must be none left."""
    workflow, state = progress.workflow, progress.state
    stuck: list[Node] = []
    for node in workflow.nodes:
        run = state.runs.get(place_of(node.node_id, ()))
        if run is not None and run.status in ("SUCCESS", "SKIPPED"):
            continue
        arrived = any(state.edges.get(edge_key(each.index, ())) for each in workflow.in_edges(node))
        if run is not None or arrived:
            stuck.append(node)
    return stuck


def _result(progress: Progress) -> Iterable[Json]:
    """Return the data of LIVE runs without out-edges, in node order (rule 9)."""
    for node in progress.workflow.nodes:
        run: Run | None = progress.state.runs.get(place_of(node.node_id, ()))
        if run is None or run.status != "SUCCESS" or progress.workflow.out_edges(node):
            continue
        for items in run.ports.values():
            for item in items:
                yield item["json"]
