"""How whoever started an execution by HTTP gets its answer. Owner: services/scheduler.

Streams: one for each execution that somebody waits for. Its name says what for: `answer` is what a
RESPOND node says, or else the end; `result` is the end alone.
"""

from dataclasses import field
from typing import Literal, TypeAlias

from .files import FileRef
from .message import Json, message

Watch: TypeAlias = Literal["answer", "result"]


def answer_stream(execution_id: str, watch: str) -> str:
    """Return the stream that waits for the answer of an execution."""
    return f"{execution_id}/{watch}"


def watches(watched_by: str) -> str:
    """Return what a stream waits for: `answer`, `result`, or nothing that is told here."""
    kind = watched_by.rpartition("/")[2]
    return kind if kind in ("answer", "result") and watched_by.count("/") == 1 else ""


@message("scheduler.note-answer.v1")
class NoteAnswer:
    """An execution answers: a RESPOND node did (`responded`), or it ended. Sent by the engine.

    With a `file` that is the body; the engine has it.
    """

    watcher: str
    execution_id: str
    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: Json = None
    responded: bool = False
    ended: str = ""
    file: FileRef | None = None


@message("scheduler.answer-kept.v1")
class AnswerKept:
    """What an execution answers to whoever started it: the first answer counts.

    `ended` is how it ended, empty if a RESPOND node answered. With a `file` that is the body.
    """

    execution_id: str
    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: Json = None
    ended: str = ""
    file: FileRef | None = None
