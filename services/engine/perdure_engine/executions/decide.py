"""What happens next in an execution. Pure: `decide` returns events and changes nothing.

`act` decides the same, but lets each event happen as it is made instead of collecting them: an
execution may be large, so neither is it copied nor is an event folded twice.

Everything that can run inline runs to its end within one call, as far as the fuel goes.
What waits (for a runner, an instant, a verdict) is in the state, which says when to wake.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from perdure_common.decider import Due, Facts, Rejected
from perdure_contracts.engine import (
    CancelExecution,
    ExecutionRevived,
    ExecutionStarted,
    NodeResult,
    RecoveryVerdict,
    RetryNode,
    StartExecution,
)
from perdure_contracts.executions import ExecutionCommand, ExecutionEvent
from perdure_contracts.flow import NoteChildEnd, ResumeWait, SignalExecution, StartChild
from perdure_contracts.message import Json

from perdure_engine.definition import InvalidDefinition, Workflow, kept, load
from perdure_engine.definition.graph import reached_from
from perdure_engine.nodes.base import Inputs, Item
from perdure_engine.nodes.errors import Arranged

from .attempts import answered, apply_verdict, lost, try_again, valid_overrides
from .children import accept, canceled_before, cannot_start, child_place, note_end, start_of
from .ending import cancel, end_if_done, new_deadline, timed_out
from .evolve import evolve
from .finishing import Ended, complete
from .instants import text_of
from .items import as_items
from .progress import Progress
from .resuming import ResumeUrls, make_url
from .revival import open_again, reopened
from .running import advance
from .signals import signal_refusal, take
from .state import Execution, due, place_of, raced
from .waiting import time_up

HOLD_S = 24 * 3600.0
"""How long a node is held where the verdict does not say, in seconds."""

ID_LENGTH_MAX = 255
"""Characters of an execution's id; it is a key of tables."""

VERDICT_WAIT_S = 10.0
"""How long recovery is waited for where nobody says otherwise, in seconds."""

Decided: TypeAlias = tuple[ExecutionEvent, ...] | Rejected
Happen: TypeAlias = Callable[[ExecutionEvent], Execution]


def decide(
    state: Execution,
    command: ExecutionCommand | Due,
    facts: Facts,
    now: datetime,
    verdict_wait_s: float = VERDICT_WAIT_S,
    urls: ResumeUrls | None = None,
) -> Decided:
    """Return what follows from `command`, or why nothing does."""
    events: list[ExecutionEvent] = []
    tried = state.scratch()

    def happen(event: ExecutionEvent) -> Execution:
        nonlocal tried
        events.append(event)
        tried = evolve(tried, event)
        return tried

    refused = act(tried, command, facts, now, happen, verdict_wait_s, urls)
    return tuple(events) if refused is None else refused


def act(
    state: Execution,
    command: ExecutionCommand | Due,
    facts: Facts,
    now: datetime,
    happen: Happen,
    verdict_wait_s: float = VERDICT_WAIT_S,
    urls: ResumeUrls | None = None,
) -> Rejected | None:
    """Let what follows from `command` happen, or return why nothing does.

    `happen` takes an event and returns the state after it; what comes next sees that state.
    """
    if isinstance(command, StartExecution):
        return _start(state, command, facts, now, happen, verdict_wait_s, urls)
    if isinstance(command, StartChild):
        return accept(state, command, facts, text_of(now), happen)
    if not state.execution_id:
        execution_id = "" if isinstance(command, Due) else command.execution_id
        return Rejected(
            f"there is no execution {execution_id!r}; `perdure executions list` shows those there "
            "are",
            "execution_not_found",
        )
    if state.status == "NEW":
        return _before_start(state, command, facts, now, happen, verdict_wait_s, urls)
    refused = _refusal(state, command)
    if refused is not None:
        return refused
    workflow = _pinned(state, facts)
    if isinstance(workflow, Rejected):
        return workflow
    progress = Progress(state, workflow, now, verdict_wait_s, happen)
    for node_id, scope in state.ready.values():
        progress.enqueue(workflow.by_id[node_id], scope)
    match command:
        case NodeResult():
            answered(progress, state.tokens[command.token], command)
        case RecoveryVerdict():
            _verdict(progress, command)
        case RetryNode():
            _revive(progress, command)
        case CancelExecution():
            cancel(progress, command.reason, command.asked_by)
        case SignalExecution() | ResumeWait():
            take(progress, command)
        case NoteChildEnd():
            note_end(progress, child_place(state, command) or "", command)
        case Due():
            _let_time_pass(progress)
    _carry_on(progress)
    return None


def _before_start(
    state: Execution,
    command: ExecutionCommand | Due,
    facts: Facts,
    now: datetime,
    happen: Happen,
    verdict_wait_s: float,
    urls: ResumeUrls | None,
) -> Rejected | None:
    """Let a child that was accepted begin, or be stopped before it does."""
    if isinstance(command, CancelExecution):
        happen(canceled_before(state, command))
    elif isinstance(command, Due):
        start = start_of(state)
        refused = _start(state, start, facts, now, happen, verdict_wait_s, urls)
        if refused is not None:
            happen(cannot_start(state, refused))
    else:
        return Rejected(
            f"execution {command.execution_id!r} has not begun yet; try again", "not_begun"
        )
    return None


def _carry_on(progress: Progress) -> None:
    """Run what is ready, and end the execution if nothing is left."""
    if progress.state.status == "RUNNING":
        advance(progress)
    end_if_done(progress)


def _let_time_pass(progress: Progress) -> None:
    """Act on every instant of the state that is not after now.

    Only a wake does so: it comes when every answer that was there before has been heard.
    """
    now = progress.now
    if progress.state.status != "RUNNING":
        return
    if progress.state.deadline is not None and progress.state.deadline <= now:
        timed_out(progress)
        return
    for place in due(progress.state, now):
        known = progress.state.runs[place].dispatch
        if place not in progress.state.open:
            continue  # an earlier one has ended the execution
        if known is None:
            time_up(progress, place)
        elif known.deadline is not None:
            lost(progress, place)
        elif known.retry_at is not None:
            try_again(progress, place)
        else:
            apply_verdict(progress, place, "give_up", by="clock")


# Beginning ------------------------------------------------------------------------------


def _start(
    state: Execution,
    command: StartExecution,
    facts: Facts,
    now: datetime,
    happen: Happen,
    verdict_wait_s: float,
    urls: ResumeUrls | None,
) -> Rejected | None:
    if state.execution_id and state.status != "NEW":
        return Rejected(
            f"execution {command.execution_id!r} has begun already and is {state.status}",
            "duplicate",
        )
    if not 0 < len(command.execution_id) <= ID_LENGTH_MAX or "\0" in command.execution_id:
        return Rejected(
            f"an execution's id must have 1 to {ID_LENGTH_MAX} characters and no NUL",
            "invalid_execution_id",
            dead_letter=True,
        )
    rows = facts.get("version", ())
    if not rows:
        return Rejected(
            f"there is no version {command.version} of workflow {command.workflow_id!r}; "
            "save the workflow first",
            "workflow_not_found",
            dead_letter=True,
        )
    row = rows[0]
    try:
        workflow = load(row["definition"], row["sha256"])
    except InvalidDefinition as error:
        return Rejected(str(error), "invalid_definition", dead_letter=True)
    trigger = workflow.by_id.get(command.node_id)
    if state.status == "NEW" and not command.node_id:
        trigger = workflow.trigger_to_run()
    if trigger is None or trigger not in workflow.triggers:
        known = ", ".join(repr(node.node_id) for node in workflow.triggers) or "none"
        return Rejected(
            f"{command.node_id!r} is no trigger of {workflow.name!r} version {command.version} "
            f"that can fire; there are: {known}",
            "trigger_not_found",
            dead_letter=True,
        )
    progress = Progress(state, workflow, now, verdict_wait_s, happen)
    unfired = [node for node in workflow.all_triggers if node is not trigger]
    dead = [edge.index for node in unfired for edge in workflow.out_edges(node)]
    progress.record(
        ExecutionStarted(
            execution_id=command.execution_id,
            root_execution_id=state.root_execution_id or command.execution_id,
            workflow_id=command.workflow_id,
            workflow_name=workflow.name,
            workflow_version=command.version,
            sha256=workflow.sha256,
            workspace_id=str(row["workspace_id"]),
            node_id=trigger.node_id,
            mode=command.mode,
            triggered_by=command.triggered_by,
            trigger=command.trigger,
            started_at=progress.at,
            steps_total=_steps_total(workflow, trigger.node_id),
            dead=tuple(dead),
            deadline=new_deadline(progress),
            parent_execution_id=command.parent_execution_id,
            log_level=workflow.settings.log_level,
        )
    )
    if urls is not None:
        make_url(progress, urls)
    items = items_of_trigger(command.data)
    ended = Ended(trigger, (), 1, Inputs({}, ()), ())
    complete(progress, ended, Arranged({trigger.outputs[0]: items} if items else {}), None)
    for node in unfired:
        progress.resolved(node, ())
    enqueue_unreachable(progress)
    _carry_on(progress)
    return None


def enqueue_unreachable(progress: Progress) -> None:
    """Enqueue the nodes to which nothing leads: they are SKIPPED (rule 5)."""
    runs = progress.state.runs
    for node in progress.workflow.unreachable:
        if place_of(node.node_id, ()) not in runs:
            progress.enqueue(node, ())


def items_of_trigger(data: Json) -> list[Item]:
    """Return a trigger event's data as items (rule 2)."""
    return [{"json": json} for json in as_items(data)]


@lru_cache(maxsize=200)
def _steps_total(workflow: Workflow, trigger_id: str) -> int:
    """Return how many nodes the trigger leads to, itself among them."""
    return len(reached_from(workflow, trigger_id))


# Going on -------------------------------------------------------------------------------


def _refusal(state: Execution, command: ExecutionCommand | Due) -> Rejected | None:
    """Return why the execution does not take a command, None if it does."""
    running = state.status == "RUNNING"
    match command:
        case NodeResult():
            if command.token not in state.tokens:
                return Rejected(
                    f"attempt {command.token} is settled: it was answered, timed out or cancelled",
                    "stale_result",
                )
        case RecoveryVerdict():
            if not running or _asked_about(state, command.failure_id) is None:
                return Rejected(
                    f"nothing waits for a verdict about failure {command.failure_id!r} any more",
                    "stale_verdict",
                )
            return _bad_verdict(command)
        case RetryNode():
            return _bad_retry(state, command)
        case SignalExecution() | ResumeWait():
            return signal_refusal(state, command)
        case NoteChildEnd():
            if child_place(state, command) is None:
                return Rejected(
                    f"nothing waits for child execution {command.child_execution_id!r} any more",
                    "stale_child_end",
                )
        case CancelExecution():
            if not running:
                return Rejected(
                    f"execution {command.execution_id!r} has ended already with {state.status}",
                    "execution_ended",
                )
        case _:
            pass
    return None


def _asked_about(state: Execution, failure_id: str) -> str | None:
    """Return the place that waits for a verdict about a failure."""
    for place in state.open:
        known = state.runs[place].dispatch
        if known and known.failure_id == failure_id and known.verdict_until is not None:
            return place
    return None


def _bad_verdict(command: RecoveryVerdict) -> Rejected | None:
    if not valid_overrides(command.overrides):
        return _bad_overrides()
    if not 0 <= command.delay_s < 366 * 86_400:
        return Rejected(f"delay_s is {command.delay_s}; give seconds from 0", "invalid_delay")
    if command.until is not None and _moment(command.until) is None:
        return Rejected(
            f"until is {command.until!r}; write an instant such as 2026-01-01T00:00:00Z",
            "invalid_instant",
        )
    return None


def _bad_overrides() -> Rejected:
    return Rejected(
        'overrides must be {"parameters": {name: value}}; leave them out to change nothing',
        "invalid_overrides",
    )


def _bad_retry(state: Execution, command: RetryNode) -> Rejected | None:
    if state.status == "RUNNING":
        return Rejected(
            f"execution {command.execution_id!r} is running; wait for its end or cancel it",
            "execution_open",
        )
    run = state.runs.get(place_of(command.node_id, command.scope))
    if run is None or run.status not in ("ERROR", "CANCELED"):
        status = "has no run" if run is None else f"ended with {run.status}"
        return Rejected(
            f"node {command.node_id!r} {status}; only a node that ended with ERROR or CANCELED "
            "can be run again",
            "not_retryable",
        )
    if raced(state, place_of(command.node_id, command.scope)):
        return Rejected(
            f"node {command.node_id!r} was stopped because a race was won by another branch; only "
            "what did not end well can be run again",
            "not_retryable",
        )
    region, scope = open_again(state, command.node_id, command.scope)
    again = state.runs.get(place_of(region, scope))
    if again is None or again.status not in ("ERROR", "CANCELED"):
        return Rejected(
            f"node {command.node_id!r} failed in an iteration of {region!r} that is over; only "
            "what did not end well can be run again",
            "not_retryable",
        )
    return None if valid_overrides(command.overrides) else _bad_overrides()


def _pinned(state: Execution, facts: Facts) -> Workflow | Rejected:
    """Return the version that the execution pinned."""
    workflow = kept(state.sha256)
    if workflow is not None:
        return workflow
    rows: tuple[Mapping[str, Any], ...] = tuple(facts.get("version", ()))
    if not rows:
        return Rejected(
            f"version {state.workflow_version} of workflow {state.workflow_id!r} is gone; "
            "restore it from a backup",
            "workflow_not_found",
            dead_letter=True,
        )
    return load(rows[0]["definition"], state.sha256)


def _verdict(progress: Progress, command: RecoveryVerdict) -> None:
    place = _asked_about(progress.state, command.failure_id)
    assert place is not None
    at: datetime | None = None
    if command.verdict == "retry":
        at = progress.now + timedelta(seconds=command.delay_s)
    elif command.verdict == "hold":
        at = _moment(command.until or "") or progress.now + timedelta(seconds=HOLD_S)
    apply_verdict(
        progress,
        place,
        command.verdict,
        by="recovery",
        at=None if at is None else at.isoformat(),
        attempt_id=command.attempt_id,
        overrides=command.overrides,
    )
    if command.verdict == "retry" and not command.delay_s:
        try_again(progress, place)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _revive(progress: Progress, command: RetryNode) -> None:
    """Let an ended execution go on: the node, what its stop cancelled, what was ready then."""
    state, workflow = progress.state, progress.workflow
    again = reopened(state, command.node_id, command.scope)
    progress.record(
        ExecutionRevived(
            execution_id=state.execution_id,
            node_id=command.node_id,
            scope=command.scope,
            reopened=again,
            revived_at=progress.at,
            asked_by=command.asked_by,
            deadline=new_deadline(progress),
            overrides=command.overrides,
        )
    )
    for node_id, scope in again:
        progress.enqueue(workflow.by_id[node_id], scope)
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
        progress.look_at(rounds.node_id, rounds.scope)
    enqueue_unreachable(progress)
