"""Messages for those who wait for an execution: triggers that watch it, callers by HTTP. Pure."""

from perdure_common.decider import Outgoing
from perdure_contracts.admission import ExecutionRefused
from perdure_contracts.answers import NoteAnswer, watches
from perdure_contracts.cron import NoteExecutionEnd
from perdure_contracts.engine import ExecutionCanceled, ExecutionCompleted, ExecutionFailed
from perdure_contracts.flow import ExecutionResponded

from .state import Execution

SCHEDULER = "perdure.scheduler.commands.v1"


def responded_told(state: Execution, event: ExecutionResponded) -> tuple[Outgoing, ...]:
    """Return what a RESPOND node says to the caller, if one waits for it."""
    if watches(state.watched_by) != "answer":
        return ()
    message = NoteAnswer(
        watcher=state.watched_by,
        execution_id=event.execution_id,
        status=event.status,
        headers=event.headers,
        body=event.body,
        responded=True,
        file=event.file,
    )
    return (Outgoing(SCHEDULER, state.watched_by, message),)


def end_noted(
    state: Execution,
    event: ExecutionCompleted | ExecutionFailed | ExecutionCanceled | ExecutionRefused,
) -> tuple[Outgoing, ...]:
    """Return what is said to the stream that waits for the end of an execution, if one does."""
    if not state.watched_by:
        return ()
    message: NoteAnswer | NoteExecutionEnd
    if watches(state.watched_by):
        done = isinstance(event, ExecutionCompleted)
        message = NoteAnswer(
            watcher=state.watched_by,
            execution_id=state.execution_id,
            status=200 if done else 503 if isinstance(event, ExecutionRefused) else 500,
            body=event.result if done else None,
            ended=state.status,
        )
    else:
        message = NoteExecutionEnd(
            watcher=state.watched_by, execution_id=state.execution_id, status=state.status
        )
    return (Outgoing(SCHEDULER, state.watched_by, message),)
