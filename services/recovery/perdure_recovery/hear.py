"""Messages of others as commands of ours. Pure; None is passed over.

What is heard is scrubbed here once more, whoever should have done it before.
"""

from dataclasses import replace

from perdure_common.ids import derived
from perdure_common.scrub import scrub_json, scrub_text
from perdure_contracts.breakers import DependencyCalls
from perdure_contracts.control import NodeMarked
from perdure_contracts.dead_letters import EditDeadLetter, KeepDeadLetter, RedriveDeadLetter
from perdure_contracts.deciding import (
    CountFailure,
    ExecutionCommand,
    JoinLine,
    LeaveLine,
    NoteAnswer,
    NoteCompensated,
    NoteDue,
    NoteProbe,
    NoteResult,
    NoteSpending,
    ReleaseAttempt,
    ReturnTokens,
    SetBudget,
    SetGate,
)
from perdure_contracts.engine import (
    RETRY_AFTER_S_MAX,
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
)
from perdure_contracts.executions import AttemptDue
from perdure_contracts.message import Envelope
from perdure_contracts.patterns import NoteLesson, NoteOccurrence
from perdure_contracts.recovery import NoteCompletion, NoteEnd, NoteFailure, NoteGivenUp, SetMode
from perdure_contracts.shell import NO_SUCH_TOPIC, DeadLettered
from perdure_contracts.telling import KeepProse
from perdure_contracts.topology import TOPICS
from perdure_contracts.undoing import NodeCompensated

from .families import branch
from .letters import attempts_of, copy_of
from .signature import error_message, signature

FAILURES = "perdure.engine.failures.v1"
CALLS = "perdure.engine.calls.v1"
OWN = (
    *(NoteOccurrence, NoteLesson, SetMode, SetBudget, RedriveDeadLetter, KeepDeadLetter),
    *(ReleaseAttempt, NoteAnswer, SetGate, JoinLine, LeaveLine, CountFailure, NoteProbe),
    *(NoteSpending, ReturnTokens, NoteResult, DependencyCalls, EditDeadLetter, KeepProse),
)
"""What is a command as it is heard."""
NAMES_MAX = 64
"""Most classes, causes and codes of a failure that are looked at."""
NAME_MAX = 300
"""Longest name of a class, a code or a dependency, in characters."""
DEAD_LETTERS = tuple(topic.name for topic in TOPICS if topic.name.endswith(".dlt"))


def hear(message: object, envelope: Envelope) -> object | None:
    """Return the command that `message` is to recovery, None if it asks nothing."""
    if isinstance(message, NoteAnswer):  # what people write down stands in explanations
        return replace(message, reason=scrub_text(message.reason))
    if isinstance(message, OWN):
        return message
    match message:
        case AttemptDue():
            return NoteDue(
                execution_id=message.execution_id,
                failure_id=message.failure_id,
                attempt_id=message.attempt_id,
                verdict_until=message.verdict_until,
            )
        case NodeFailed():
            return _node_failed(message)
        case NodeRecovered():
            return NoteCompletion(
                execution_id=message.execution_id,
                node_id=message.node_id,
                scope=message.scope,
                run=message.run,
                attempt=message.attempt,
                completed_at=envelope.time,
            )
        case NodeCompensated():
            return NoteCompensated(
                execution_id=message.execution_id,
                failure_id=message.failure_id,
                compensated_at=message.compensated_at,
            )
        case NodeErrored():
            return NoteGivenUp(execution_id=message.execution_id, failure_id=message.failure_id)
        case NodeMarked() if message.failure_id:  # a person settled it: the attempt is not needed
            return NoteGivenUp(execution_id=message.execution_id, failure_id=message.failure_id)
        case ExecutionCompleted() if not message.untroubled:
            return NoteEnd(execution_id=message.execution_id, status="SUCCESS")
        case ExecutionCanceled() if not message.untroubled:
            return NoteEnd(execution_id=message.execution_id, status="CANCELED")
        case ExecutionFailed():
            return _execution_failed(message, envelope)
        case DeadLettered():
            return _dead_letter(message, envelope)
        case _:
            return None


def stream_of(command: ExecutionCommand) -> str:
    """Return the stream of an execution: the caps hold across all of its nodes."""
    return command.execution_id


def is_first(failure: NoteFailure) -> bool:
    """Return whether a failure is most likely the first that is heard of its execution."""
    return failure.attempt == 1 and failure.run == 1


def _node_failed(message: NodeFailed) -> NoteFailure:
    error = _scrubbed(message.error)
    return NoteFailure(
        failure_id=message.failure_id,
        root_failure_id=message.root_failure_id,
        execution_id=message.execution_id,
        workflow_id=message.workflow_id,
        workspace_id=message.workspace_id,
        node_id=message.node_id,
        node_name=message.node_name,
        node_type=message.node_subtype or message.node_type,
        scope=message.scope,
        run=message.run,
        attempt=message.attempt,
        asked=message.asked,
        effect=message.effect,
        error=error,
        signature=signature(error),
        failed_at=message.failed_at,
        first_failed_at=message.first_failed_at,
        deadline=message.deadline,
        verdict_until=message.verdict_until,
        means=message.means,
        runner=message.runner,
    )


def _execution_failed(message: ExecutionFailed, envelope: Envelope) -> NoteEnd:
    """An execution's failure is one of its own only if no node of it failed."""
    if message.node_id is not None:
        return NoteEnd(
            execution_id=message.execution_id,
            status=message.status,
            failure_id=message.failure_id,
            handled=bool(message.error_workflow),
        )
    error = _scrubbed(message.error)
    failure_id = message.failure_id or derived("failure", message.execution_id, envelope.id)
    at = envelope.time or ""
    failure = NoteFailure(
        failure_id=failure_id,
        root_failure_id=failure_id,
        execution_id=message.execution_id,
        workflow_id=message.workflow_id,
        workspace_id=message.workspace_id,
        node_id="",
        node_name="",
        node_type="",
        scope=(),
        run=0,
        attempt=0,
        asked=False,
        effect="unsafe",
        error=error,
        signature=signature(error),
        failed_at=at,
        first_failed_at=at,
    )
    return NoteEnd(execution_id=message.execution_id, status=message.status, failure=failure)


def _dead_letter(message: DeadLettered, envelope: Envelope) -> KeepDeadLetter:
    service = envelope.source.strip("/").partition("/")[0]
    place: tuple[str | int, ...] = (service, message.topic, message.partition, message.offset)
    place = (*place, message.stream)
    if message.code == NO_SUCH_TOPIC:  # it was never in a topic, and may have no id
        place = (*place, envelope.id)
    elif message.offset < 0:  # an answer of the process itself, which lies in no topic
        place = (*place, dict(message.headers).get("ce_id", b"").decode("utf-8", "replace"))
    copy = copy_of(message)
    if copy is not None:  # in whatever place, as often as it was sent
        place = (service, message.topic, message.partition, *copy)
    error = ErrorFacts(type=message.code, message=message.reason, stage="record")
    return KeepDeadLetter(
        letter_id=derived("dead-letter", *place),
        service=service,
        letter=message,
        attempts=attempts_of(message),
        signature=signature(error),
        family_branch=branch(error_message(error)),
        told_by=envelope.id,
    )


def _scrubbed(error: ErrorFacts) -> ErrorFacts:
    """Return a failure without secrets and no larger than it need be, whoever told it."""
    after_s = error.retry_after_s
    if after_s is not None:
        after_s = min(after_s, RETRY_AFTER_S_MAX) if after_s >= 0 else None
    return replace(
        error,
        type=_name(error.type),
        message=scrub_text(error.message),
        classes=_names(error.classes),
        causes=_names(error.causes),
        codes=tuple(scrub_text(code) for code in _names(error.codes)),
        sqlstate=_name(error.sqlstate) if error.sqlstate else error.sqlstate,
        retry_after_s=after_s,
        stage=_name(error.stage),
        dependency=scrub_text(_name(error.dependency)),
        detail=scrub_json(error.detail),
    )


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_name(name) for name in names[:NAMES_MAX])


def _name(name: str) -> str:
    """Return a name without control characters, cut off where no class or host is that long."""
    if len(name) <= NAME_MAX and name.isprintable():
        return name
    return "".join(char if char.isprintable() else " " for char in name[:NAME_MAX])
