"""The answer of an execution that somebody waits for by HTTP: the first one counts. Pure."""

from dataclasses import dataclass
from datetime import datetime

from perdure_common.decider import Facts, Outgoing, Recorded, Upsert
from perdure_contracts.answers import AnswerKept, NoteAnswer

TABLE = "trigger_answers"


@dataclass(frozen=True)
class Answered:
    """Whether an execution has answered."""

    done: bool = False


def stream_of_answer(command: NoteAnswer) -> str:
    """Return the stream that waits for the answer."""
    return command.watcher


def decide_answer(
    state: Answered, command: NoteAnswer, facts: Facts, now: datetime
) -> tuple[AnswerKept, ...]:
    """Return the answer if it is the first; what a RESPOND node said stands before the end."""
    del facts, now  # an answer is what it is
    if state.done:
        return ()
    return (
        AnswerKept(
            execution_id=command.execution_id,
            status=command.status,
            headers=command.headers,
            body=command.body,
            ended=command.ended,
            file=command.file,
        ),
    )


def evolve_answer(state: Answered, event: AnswerKept) -> Answered:
    """Return that there is an answer."""
    del state, event
    return Answered(done=True)


def project_answer(state: Answered, recorded: Recorded[AnswerKept]) -> tuple[Upsert, ...]:
    """Return the row that whoever holds the connection looks for."""
    del state
    event = recorded.event
    row = {
        "status": event.status,
        "headers": event.headers,
        "body": event.body,
        "ended": event.ended,
        "file": None if event.file is None else dict(event.file),
        "answered_at": recorded.recorded_at,
    }
    key = {"tenant_id": recorded.tenant_id, "execution_id": event.execution_id}
    return (Upsert(TABLE, key, set=row),)


def route_answer(state: Answered, recorded: Recorded[AnswerKept]) -> tuple[Outgoing, ...]:
    """Return nothing: the answer is looked for."""
    del state, recorded
    return ()
