"""What happens next in an execution. Pure: `decide` returns events and changes nothing.

`act` decides the same, but lets each event happen as it is made instead of collecting them: an
execution may be large, so neither is it copied nor is an event folded twice.

Everything that can run inline runs to its end within one call, as far as the fuel goes.
What waits (for a runner, an instant, a verdict) is in the state, which says when to wake.
"""

from datetime import datetime, timedelta
from typing import TypeAlias

from perdure_common.decider import Due, Facts, Rejected
from perdure_contracts.admission import NoteSlot
from perdure_contracts.asking import NoteAnswer
from perdure_contracts.control import (
    AdoptRuns,
    MarkNode,
    PauseExecution,
    RerunExecution,
    ResumeExecution,
    StartErrorWorkflow,
)
from perdure_contracts.engine import (
    CancelExecution,
    NodeResult,
    RecoveryVerdict,
    RetryNode,
    StartExecution,
)
from perdure_contracts.executions import ExamineExecution, ExecutionCommand, ExecutionEvent
from perdure_contracts.flow import NoteChildEnd, ResumeWait, SignalExecution, StartChild
from perdure_contracts.purging import PurgeExecution

from perdure_engine.definition import Workflow

from .asking import bad_answer, note_answer
from .asking_again import ask_again
from .attempts import answered, apply_verdict, lost, time_over
from .beginning import Happen, before_start, carry_on, start
from .canceling import begin_cancel, cut_off, stopping_of
from .children import child_place, note_end
from .dispatching import try_again
from .ending import timed_out
from .error_workflow import bad_error_workflow, start_error_workflow
from .evolve import evolve
from .instants import text_of
from .large import answer_in_full
from .marking import bad_mark, mark
from .overriding import FOR_ATTEMPTS, bad_overrides, unfit_overrides, unfit_parameters
from .pausing import bad_pause, pause, resume
from .progress import Progress
from .purging import purge, purged
from .queueing import never_began, stale_slot
from .rerun import adopt, bad_adoption, bad_rerun, rerun
from .resumption import asks_late, go_on, go_on_after_pause, note_ask
from .revival import bad_retry, chosen, retry
from .signals import signal_refusal, take
from .stalls import give_up_forgotten
from .state import Execution, due, is_open
from .suspending import asked_by
from .terms import TERMS, Terms
from .told_again import asked_for
from .version_of import pinned
from .waiting import time_up

HOLD_S = 24 * 3600.0
"""How long a node is held where the verdict does not say, in seconds."""

Decided: TypeAlias = tuple[ExecutionEvent, ...] | Rejected


def decide(
    state: Execution,
    command: ExecutionCommand | Due,
    facts: Facts,
    now: datetime,
    terms: Terms = TERMS,
) -> Decided:
    """Return what follows from `command`, or why nothing does."""
    events: list[ExecutionEvent] = []
    tried = state.scratch()

    def happen(event: ExecutionEvent) -> Execution:
        nonlocal tried
        events.append(event)
        tried = evolve(tried, event)
        return tried

    refused = act(tried, command, facts, now, happen, terms)
    return tuple(events) if refused is None else refused


def act(
    state: Execution,
    command: ExecutionCommand | Due,
    facts: Facts,
    now: datetime,
    happen: Happen,
    terms: Terms = TERMS,
) -> Rejected | None:
    """Let what follows from `command` happen, or return why nothing does.

    `happen` takes an event and returns the state after it; what comes next sees that state.
    """
    if state.status == "PURGED":
        return purged(state.execution_id)
    if isinstance(command, StartExecution):
        return start(state, command, facts, now, happen, terms)
    if isinstance(command, StartChild):
        return asked_for(state, command, facts, text_of(now), happen)
    if not state.execution_id:
        return _not_there("" if isinstance(command, Due) else command.execution_id)
    if isinstance(command, PurgeExecution):
        return purge(state, command, happen)
    if state.status == "NEW":
        return before_start(state, command, facts, now, happen, terms)
    refused = _refusal(state, command)
    if refused is not None:
        return refused
    workflow = pinned(state, facts)
    if isinstance(workflow, Rejected):
        return workflow
    progress = Progress(state, workflow, now, terms.verdict_wait_s, happen, terms.output_bytes_max)
    refused = _refusal_in(state, workflow, command, facts)
    if refused is not None:
        return refused
    if state.ready:
        progress.take_up()
    match command:
        case NodeResult():
            _answered(progress, answer_in_full(command, facts))
        case RecoveryVerdict():
            _verdict(progress, command)
        case RetryNode():
            retry(progress, command)
        case CancelExecution():
            begin_cancel(progress, command, terms.cancel_grace_s)
        case SignalExecution() | ResumeWait():
            take(progress, command)
        case NoteAnswer() | NoteChildEnd():
            _noted(progress, command)
        case PauseExecution():
            pause(progress, command)
        case ResumeExecution():
            resume(progress, command)
            go_on_after_pause(progress)
        case MarkNode():
            mark(progress, command)
        case RerunExecution():
            rerun(progress, workflow, command, facts)
            return None
        case StartErrorWorkflow():
            start_error_workflow(progress, command, facts)
            return None
        case AdoptRuns():
            adopt(progress, command)
        case Due():
            _let_time_pass(progress)
        case ExamineExecution():
            _let_time_pass(progress)
            give_up_forgotten(progress, command)
        case NoteSlot():  # what has begun waits for no slot, so this was refused
            pass
    carry_on(progress)
    return None


def _not_there(execution_id: str) -> Rejected:
    return Rejected(
        f"there is no execution {execution_id!r}; `perdure executions list` shows those there are",
        "execution_not_found",
    )


def _answered(progress: Progress, result: NodeResult) -> None:
    """Let a runner's answer have its effect; what was asked may be answered at once."""
    place = progress.state.tokens[result.token]
    if cut_off(progress, place, result):
        return
    answered(progress, place, result)
    if result.suspended:
        go_on(progress, place)


def _noted(progress: Progress, command: NoteAnswer | NoteChildEnd) -> None:
    """Let an answer have its effect: on an agent that has asked, or on a node that waits."""
    if note_ask(progress, command):
        return
    if isinstance(command, NoteAnswer):
        note_answer(progress, command)
    else:
        note_end(progress, child_place(progress.state, command) or "", command)


def _let_time_pass(progress: Progress) -> None:
    """Act on every instant of the state that is not after now.

    Only a wake does so: it comes when every answer that was there before has been heard.
    """
    now = progress.now
    if progress.state.status != "RUNNING" or stopping_of(progress.state) is not None:
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
        elif known.run_until is not None and known.run_until <= now:
            time_over(progress, place)
        elif known.asks:
            asks_late(progress, place)
        elif known.deadline is not None:
            lost(progress, place)
        elif known.retry_at is not None:
            if known.ask_again:
                ask_again(progress, place)
            else:
                try_again(progress, place)
        else:
            apply_verdict(progress, place, "give_up", by="clock")


# Going on -------------------------------------------------------------------------------


def _refusal(state: Execution, command: ExecutionCommand | Due) -> Rejected | None:
    """Return why the execution does not take a command, None if it does."""
    if state.started_at is None and isinstance(command, RetryNode | RerunExecution | MarkNode):
        return never_began(state)
    match command:
        case NoteSlot():
            return stale_slot(state, command)
        case NodeResult():
            if command.token not in state.tokens:
                return Rejected(
                    f"attempt {command.token} is settled: it was answered, timed out or cancelled",
                    "stale_result",
                )
        case SignalExecution() | ResumeWait():
            return signal_refusal(state, command)
        case NoteChildEnd():
            if child_place(state, command) is None and asked_by(state, command.wait_id) is None:
                return Rejected(
                    f"nothing waits for child execution {command.child_execution_id!r} any more",
                    "stale_child_end",
                )
        case RecoveryVerdict():
            if not is_open(state) or _asked_about(state, command.failure_id) is None:
                return Rejected(
                    f"nothing waits for a verdict about failure {command.failure_id!r} any more",
                    "stale_verdict",
                )
            return _bad_verdict(command)
        case RetryNode():
            return bad_retry(state, command)
        case PauseExecution() | ResumeExecution():
            return bad_pause(state, command)
        case AdoptRuns():
            return bad_adoption(state, command)
        case CancelExecution():
            if not is_open(state):
                return Rejected(
                    f"execution {command.execution_id!r} has ended already with {state.status}",
                    "execution_ended",
                )
        case _:
            pass
    return None


def _refusal_in(
    state: Execution, workflow: Workflow, command: ExecutionCommand | Due, facts: Facts
) -> Rejected | None:
    """Return why a command cannot be taken that must fit the workflow, None if it does."""
    match command:
        case MarkNode():
            return bad_mark(state, workflow, command)
        case NoteAnswer():
            return bad_answer(state, workflow, command)
        case RecoveryVerdict():
            asked_about = state.runs[_asked_about(state, command.failure_id) or ""]
            return unfit_overrides(workflow.by_id[asked_about.node_id], command.overrides)
        case RetryNode():
            node_id, _ = chosen(state, command)
            node = workflow.by_id[node_id]
            unfit = unfit_overrides(node, command.overrides)
            return unfit or unfit_parameters(node, command.overrides)
        case RerunExecution():
            return bad_rerun(state, workflow, command, facts)
        case StartErrorWorkflow():
            return bad_error_workflow(command, facts)
        case _:
            return None


def _asked_about(state: Execution, failure_id: str) -> str | None:
    """Return the place that waits for a verdict about a failure."""
    for place in state.open:
        known = state.runs[place].dispatch
        if known and known.failure_id == failure_id and known.verdict_until is not None:
            return place
    return None


def _bad_verdict(command: RecoveryVerdict) -> Rejected | None:
    if not 0 <= command.delay_s < 366 * 86_400:
        return Rejected(f"delay_s is {command.delay_s}; give seconds from 0", "invalid_delay")
    if command.until is not None and _moment(command.until) is None:
        return Rejected(
            f"until is {command.until!r}; write an instant such as 2026-01-01T00:00:00Z",
            "invalid_instant",
        )
    return bad_overrides(command.overrides, FOR_ATTEMPTS)


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
        ask_again=command.ask_again,
    )
    if command.verdict == "retry" and not command.delay_s and progress.state.status == "RUNNING":
        try_again(progress, place)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
