"""The second life of an ended execution: which runs go on, and from where. Pure.

What ran in a region that is over, or in an iteration that has failed, is not wanted by anybody any
more: its outcome has been folded into the region's. So it does not go on by itself; the region's
own node does, from its beginning, where it failed.
"""

from datetime import timedelta

from perdure_common.decider import Rejected
from perdure_contracts.engine import ExecutionRevived, RetryNode, Scope
from perdure_contracts.executions import ExecutionYielded
from perdure_contracts.message import Json

from .ending import new_deadline
from .files import refer_files
from .overriding import bad_overrides
from .progress import Progress
from .state import Execution, Rounds, edge_key, is_open, place_of, raced

DELAY_S_MAX = 366 * 86_400.0
"""The longest wait before a node runs again: a year, in seconds."""

ENDED_BADLY = ("ERROR", "CANCELED")


def open_again(state: Execution, node_id: str, scope: Scope) -> tuple[str, Scope]:
    """Return the run that goes on in place of one: itself, or the outermost region that is over."""
    for depth, (region, iteration) in enumerate(scope):
        rounds = state.rounds.get(place_of(region, scope[:depth]))
        if rounds is None or iteration in rounds.failed:
            return region, scope[:depth]
    return node_id, scope


def reopened(state: Execution, node_id: str, scope: Scope) -> tuple[tuple[str, Scope], ...]:
    """Return the runs that go on when one is asked for: it, and what stopped with it."""
    found = {open_again(state, node_id, scope): None}
    for run in state.runs.values():
        at = (run.node_id, run.scope)
        if again_at(state, place_of(*at)) and open_again(state, *at) == at:
            found[at] = None
    return tuple(found)


def again_at(state: Execution, place: str) -> bool:
    """Tell whether the run at a place ended in a way that lets it run again."""
    run = state.runs.get(place)
    return run is not None and run.status in ENDED_BADLY and not raced(state, place)


def bad_retry(state: Execution, command: RetryNode) -> Rejected | None:
    """Return why a node of the execution cannot be run again, None if it can."""
    if is_open(state):
        return Rejected(
            f"execution {command.execution_id!r} is {state.status}; wait for its end or cancel it",
            "execution_open",
        )
    node_id, at = chosen(state, command)
    run = state.runs.get(place_of(node_id, at))
    if run is None or run.status not in ENDED_BADLY:
        status = "has no run" if run is None else f"ended with {run.status}"
        what = f"node {node_id!r} {status}" if node_id else "no node of it failed"
        return Rejected(
            f"{what}; only a node that ended with ERROR or CANCELED can be run again",
            "not_retryable",
        )
    if raced(state, place_of(node_id, at)):
        return Rejected(
            f"node {node_id!r} was stopped because a race was won by another branch; only "
            "what did not end well can be run again",
            "not_retryable",
        )
    region, scope = open_again(state, node_id, at)
    if not again_at(state, place_of(region, scope)):
        return Rejected(
            f"node {node_id!r} failed in an iteration of {region!r} that is over; only "
            "what did not end well can be run again",
            "not_retryable",
        )
    if not 0 <= command.delay_s <= DELAY_S_MAX:
        return Rejected(
            f"delay_s is {command.delay_s}; give seconds from 0 to {DELAY_S_MAX:,.0f}",
            "invalid_delay",
        )
    return bad_overrides(command.overrides)


def chosen(state: Execution, command: RetryNode) -> tuple[str, Scope]:
    """Return the node that a command means: the one it names, or the one that failed."""
    if command.node_id:
        return command.node_id, command.scope
    for status in ENDED_BADLY:
        for run in state.runs.values():
            at = (run.node_id, run.scope)
            again = run.status == status and again_at(state, place_of(*at))
            if again and open_again(state, *at) == at:
                return at
    return "", ()


def retry(progress: Progress, command: RetryNode) -> None:
    """Let an ended execution go on at a node, at once or after a while."""
    node_id, scope = chosen(progress.state, command)
    at: str | None = None
    if command.delay_s:
        at = (progress.now + timedelta(seconds=command.delay_s)).isoformat()
    revive(progress, node_id, scope, command.asked_by, command.overrides, not_before=at)
    if command.overrides is not None:
        refer_files(progress, node_id, command.overrides.get("files"))


def revive(
    progress: Progress,
    node_id: str,
    scope: Scope,
    asked_by: str,
    overrides: Json = None,
    *,
    without: str = "",
    not_before: str | None = None,
) -> None:
    """Let an ended execution go on: the node, what its stop cancelled, what was ready then.

    `without` is a place that is not to run: it is settled otherwise.
    """
    state, workflow = progress.state, progress.workflow
    again = reopened(state, node_id, scope)
    progress.record(
        ExecutionRevived(
            execution_id=state.execution_id,
            node_id=node_id,
            scope=scope,
            reopened=again,
            revived_at=progress.at,
            asked_by=asked_by,
            deadline=new_deadline(progress),
            overrides=overrides,
            not_before=not_before,
        )
    )
    for each, where in again:
        place = place_of(each, where)
        # A loop that is open is looked at below: in the queue it would begin once more when
        # what ends first closes it.
        if place != without and place not in progress.state.rounds:
            progress.enqueue(workflow.by_id[each], where)
    for place, run in list(progress.state.runs.items()):
        at = (run.node_id, run.scope)
        ended = run.status in ("SUCCESS", "SKIPPED") or raced(state, place)
        if ended and open_again(progress.state, *at) == at:
            progress.resolved(workflow.by_id[run.node_id], run.scope)
    for over in progress.state.over.values():
        at = (over.node_id, over.scope)
        region = workflow.region_of(workflow.by_id[over.node_id])
        if region is None or open_again(progress.state, *at) != at:
            continue  # what led on from there belongs to an iteration that is over
        for index in region.outward:
            progress.reach(workflow.edges[index], over.scope)
    for rounds in progress.state.rounds.values():
        _begin_again(progress, rounds)
        progress.look_at(rounds.node_id, rounds.scope)
    for node in workflow.unreachable:
        if place_of(node.node_id, ()) not in progress.state.runs:
            progress.enqueue(node, ())
    if not_before is not None:
        _wait(progress, not_before)


def _begin_again(progress: Progress, rounds: Rounds) -> None:
    """Enqueue what an iteration begins with, where the stop came before it ran."""
    node = progress.workflow.by_id[rounds.node_id]
    region = progress.workflow.region_of(node)
    assert region is not None
    for k in rounds.pending:
        inner = rounds.iteration(k)
        if not region.body:
            if place_of(node.node_id, inner) not in progress.state.runs:
                progress.enqueue(node, inner)
            continue
        for edge in progress.workflow.out_edges_of_port(node, region.body):
            if edge_key(edge.index, inner) in progress.state.edges:
                progress.reach(edge, inner)


def _wait(progress: Progress, not_before: str) -> None:
    """Keep what is to run again for its time; a look at a loop can be had then as well."""
    ready = {place_of(node.node_id, scope): (node.node_id, scope) for node, scope in progress.queue}
    ready.update(progress.checks)
    progress.queue.clear()
    progress.checks.clear()
    progress.record(
        ExecutionYielded(
            execution_id=progress.state.execution_id,
            ready=tuple(ready.values()),
            yielded_at=not_before,
        )
    )
