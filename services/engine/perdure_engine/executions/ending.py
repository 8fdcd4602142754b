"""The end of an execution, and its second life."""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal

import msgspec
from perdure_common.ids import derived
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeCanceled,
    Scope,
)
from perdure_contracts.executions import IterationFailed
from perdure_contracts.files import FilesByItem
from perdure_contracts.flow import WaitEnd, WaitEnded
from perdure_contracts.message import Json

from perdure_engine.definition import Node, Workflow
from perdure_engine.definition.region import TOP
from perdure_engine.nodes.base import ERROR

from .asks import drop_asks
from .files_of_items import files_by_item
from .progress import Progress
from .state import Execution, Rounds, Run, edge_key, place_of, raced

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
            error_workflow="" if state.handles else state.error_workflow,
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


def fail_iteration(progress: Progress, scope: Scope, node_id: str, error: ErrorFacts) -> bool:
    """Fail the nearest FOREACH iteration around `scope`; return False if there is none (24)."""
    for depth in range(len(scope), 0, -1):
        name, k = scope[depth - 1]
        rounds = progress.state.rounds.get(place_of(name, scope[: depth - 1]))
        if rounds is not None and rounds.kind == "foreach":
            close_iteration(progress, rounds, k, node_id, error)
            return True
    return False


def close_iteration(
    progress: Progress, rounds: Rounds, k: int, failed_node_id: str, error: ErrorFacts
) -> None:
    """Let an iteration of a FOREACH be over: what runs in it is cancelled."""
    inner = rounds.iteration(k)
    cancel_open(progress, "iteration_failed", inner)
    progress.record(
        IterationFailed(
            execution_id=progress.state.execution_id,
            node_id=rounds.node_id,
            scope=rounds.scope,
            iteration=k,
            failed_node_id=failed_node_id,
            error=error,
        )
    )
    progress.look_at(rounds.node_id, rounds.scope)


def cancel_open(progress: Progress, reason: str, within: Scope = ()) -> None:
    """Cancel every run in a scope that has not ended, and forget what was ready there."""
    progress.forget(within)
    state = progress.state
    for place, rounds in state.rounds.items():
        inside = rounds.scope[: len(within)] == within
        if inside and place in state.runs and state.runs[place].status == "RUNNING":
            cancel_run(progress, place, reason)
    for place in list(state.open):
        if state.runs[place].scope[: len(within)] == within:
            cancel_run(progress, place, reason)


def cancel_run(
    progress: Progress,
    place: str,
    reason: str,
    *,
    node: Node | None = None,
    scope: Scope = (),
    run: int = 0,
    dead: tuple[int, ...] | None = None,
) -> None:
    """Cancel a run that has not ended.

    With `dead` a race did so: these edges are DEAD, and the run, `run` of `node` in `scope`,
    may not have begun.
    """
    state = progress.state
    begun = state.runs.get(place) if place in state.open or place in state.rounds else None
    if begun is not None:
        node, scope, run = progress.workflow.by_id[begun.node_id], begun.scope, begun.run
    assert node is not None
    if state.flow is not None and place in state.flow.waits:
        end_wait(progress, place, "canceled")
    if begun is not None and begun.dispatch is not None and begun.dispatch.asks:
        drop_asks(progress, begun, reason)
    known = None if begun is None else begun.dispatch
    progress.record(
        NodeCanceled(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            reason=reason,
            token="" if known is None else known.token,
            claimed=known is not None and known.claimed,
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            max_retries=0 if known is None else known.max_retries,
            raced=dead is not None,
            dead=dead or (),
            held_since="" if known is None else known.held_since,
        )
    )


def end_wait(progress: Progress, place: str, by: WaitEnd, *, signal_id: str = "") -> None:
    """Let a run wait no more; what becomes of it follows."""
    state = progress.state
    assert state.flow is not None
    run, waiting = state.runs[place], state.flow.waits[place]
    progress.record(
        WaitEnded(
            execution_id=state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            kind=waiting.kind,
            wait_id=waiting.wait_id,
            by=by,
            signal_id=signal_id,
            name=waiting.name,
            key=waiting.key,
            child=waiting.child,
            registered=waiting.registered,
        )
    )


def end_if_done(progress: Progress) -> None:
    """End the execution when nothing is left to do: SUCCESS, or ERROR if something is stuck."""
    state = progress.state
    if state.status != "RUNNING" or progress.queue or state.open or state.ready:
        return
    if progress.checks:
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
    result, cut, files = result_of(state, progress.workflow)
    progress.record(
        ExecutionCompleted(
            execution_id=state.execution_id,
            workflow_id=state.workflow_id,
            result=result,
            duration_ms=progress.since_ms(state.started_at),
            result_cut=cut,
            untroubled=not state.troubled,
            files=files,
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
    stuck = [workflow.by_id[rounds.node_id] for rounds in state.rounds.values()]
    for node in workflow.nodes:
        if workflow.regions.runs_in[node.position] != TOP:
            continue  # its region counts its runs
        run = state.runs.get(node.node_id)
        if run is not None and run.status in ("SUCCESS", "SKIPPED"):
            continue
        if raced(state, node.node_id):
            continue
        arrived = any(state.edges.get(edge_key(each.index, ())) for each in workflow.in_edges(node))
        if run is not None or arrived:
            stuck.append(node)
    return stuck


def result_of(state: Execution, workflow: Workflow) -> tuple[Json, bool, FilesByItem | None]:
    """Return what an execution came to, None where it was cut, whether it was, and its files."""
    items = list(_result(state, workflow))
    result = [item["json"] for item in items]
    files = files_by_item(items) if state.files else None
    if len(_encode(result)) + (len(_encode(files)) if files else 0) > RESULT_BYTES_MAX:
        return None, True, None
    return result, False, files


def _result(state: Execution, workflow: Workflow) -> Iterable[Any]:
    """Return the items of LIVE runs without out-edges, in node order (rule 9).

    Those of one run come in the order of its ports, whichever was filled first.
    """
    last = _last_nodes(workflow)
    runs: dict[str, list[Run]] = {}
    for run in state.runs.values():
        if run.node_id in last and run.status == "SUCCESS" and not in_failed_iteration(state, run):
            runs.setdefault(run.node_id, []).append(run)
    for node in workflow.nodes:
        found = runs.get(node.node_id, [])
        ports = (*node.end_outputs, ERROR) if found else ()
        for run in sorted(found, key=lambda run: [k for _, k in run.scope]):
            for port in ports:
                yield from run.ports.get(port, ())


@lru_cache(maxsize=200)
def _last_nodes(workflow: Workflow) -> frozenset[str]:
    """Return the ids of the nodes behind which nothing comes."""
    return frozenset(node.node_id for node in workflow.nodes if not workflow.out_edges(node))


def in_failed_iteration(state: Execution, run: Run) -> bool:
    """Tell whether a run belongs to an iteration that failed: nothing of it counts."""
    for depth, (name, k) in enumerate(run.scope):
        place = place_of(name, run.scope[:depth])
        over, rounds = state.over.get(place), state.rounds.get(place)
        if (over is not None and k in over.failed) or (rounds is not None and k in rounds.failed):
            return True
    return False
