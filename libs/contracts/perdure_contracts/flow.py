"""What the engine says and hears of races, waits, signals, child executions and answers.

Owner: services/engine. Stream: the execution id.
"""

from typing import Literal, TypeAlias

from .engine import ErrorFacts, Mode, Scope
from .files import FileRef, FilesByItem
from .message import Json, message

WaitKind: TypeAlias = Literal[
    "time", "event", "webhook", "child", "person", "memory", "static"
]  # fmt: skip
"""What a node waits for: an instant, an event, a call of the resume URL, a child's end, the
answer of people, of memory, or of the stream that has the static data."""

WaitEnd: TypeAlias = Literal["time", "event", "webhook", "child", "answer", "timeout", "canceled"]
"""How waiting ended: by what was waited for, by its time-out, or because nobody wants it."""

# Commands ---------------------------------------------------------------------------


@message("engine.signal-execution.v1")
class SignalExecution:
    """Tell a running execution something: the WAIT for an event called `name` goes on with it.

    Where none waits now, the next one gets it. `signal_id` is unique for each signal: the same
    one is taken once. A `key` must be that of the WAIT, if it is given. `wait_id` names the one
    WAIT that is meant; then it is refused where that waits no more.
    """

    execution_id: str
    name: str
    signal_id: str
    payload: Json = None
    key: str = ""
    wait_id: str = ""
    sent_by: str = ""


@message("engine.resume-wait.v1")
class ResumeWait:
    """The resume URL of an execution was called: a WAIT for it goes on, or the next one will.

    `token` is that of the URL, `node_id` the WAIT that is meant where there are several.
    """

    execution_id: str
    token: str
    signal_id: str
    payload: Json = None
    node_id: str = ""
    sent_by: str = ""


@message("engine.start-child.v1")
class StartChild:
    """Start an execution of another workflow (its name or id) for a node of ours, once.

    Without `version` it is the deployed one, else the newest. With `wait` the parent hears how
    it ended. `depth` counts the executions above it; `handles` and `files` are as in
    `StartExecution`.
    """

    execution_id: str
    workflow: str
    version: int | None
    data: Json
    parent_execution_id: str
    root_execution_id: str
    wait_id: str
    wait: bool
    depth: int
    mode: Mode
    triggered_by: str
    handles: str = ""
    files: FilesByItem | None = None


@message("engine.note-child-end.v1")
class NoteChildEnd:
    """A child execution has ended; `result` and `files` are as in `execution-completed`."""

    execution_id: str
    wait_id: str
    child_execution_id: str
    status: Literal["SUCCESS", "ERROR", "TIMEOUT", "CANCELED"]
    result: Json = None
    result_cut: bool = False
    error: ErrorFacts | None = None
    files: FilesByItem | None = None


# Races ------------------------------------------------------------------------------


@message("engine.race-lost.v1")
class RaceLost:
    """Items arrived at a race that another branch had won; `edges` brought them, by index."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    edges: tuple[int, ...]
    node_type: str = ""
    node_name: str = ""


# Waits and signals ------------------------------------------------------------------


@message("engine.resume-url-made.v1")
class ResumeUrlMade:
    """The execution has a URL by which others can let it go on; who knows `token` may call it."""

    execution_id: str
    token: str
    url: str


@message("engine.wait-begun.v1")
class WaitBegun:
    """A node run waits. At the instant `until` it leaves on `port`, or fails if that is empty.

    `wait_id` is unique for each wait. `registered` says that the scheduler is told of it, so
    that events from topics find it. `child` is the execution whose end is waited for.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    kind: WaitKind
    wait_id: str
    began_at: str
    until: str | None = None
    port: str = ""
    name: str = ""
    key: str = ""
    child: str = ""
    registered: bool = False
    inputs: tuple[tuple[int, str], ...] = ()
    inputs_scope: Scope | None = None
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    max_retries: int = 0


@message("engine.wait-ended.v1")
class WaitEnded:
    """A node run waits no more; what becomes of it follows. `signal_id` is what it was given."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    kind: WaitKind
    wait_id: str
    by: WaitEnd
    signal_id: str = ""
    name: str = ""
    key: str = ""
    child: str = ""
    registered: bool = False


@message("engine.signal-received.v1")
class SignalReceived:
    """A signal, or a call of the resume URL, was taken; a WAIT is given it now or later."""

    execution_id: str
    signal_id: str
    channel: Literal["event", "webhook"]
    name: str
    key: str
    node_id: str
    payload: Json
    sent_by: str
    received_at: str


# Child executions -------------------------------------------------------------------


@message("engine.child-requested.v1")
class ChildRequested:
    """A node asked for an execution of another workflow. The fields are those of `StartChild`."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    child_execution_id: str
    child_root_execution_id: str
    workflow: str
    version: int | None
    data: Json
    wait_id: str
    wait: bool
    depth: int
    files: FilesByItem | None = None


@message("engine.child-accepted.v1")
class ChildAccepted:
    """A child execution was found its workflow and version; it begins with the next wake."""

    execution_id: str
    root_execution_id: str
    parent_execution_id: str
    workflow_id: str
    workflow_name: str
    workflow_version: int
    workspace_id: str
    data: Json
    wait_id: str
    wait: bool
    depth: int
    mode: Mode
    triggered_by: str
    accepted_at: str
    handles: str = ""
    files: FilesByItem | None = None


@message("engine.child-refused.v1")
class ChildRefused:
    """A child execution cannot begin; its parent is told why."""

    execution_id: str
    parent_execution_id: str
    wait_id: str
    wait: bool
    error: ErrorFacts


@message("engine.child-end-told.v1")
class ChildEndTold:
    """A child execution that has ended was asked for again, and tells its end again.

    Its parent has forgotten it: its tables were restored from a backup. The fields are as in
    `engine.note-child-end.v1`.
    """

    execution_id: str
    status: Literal["SUCCESS", "ERROR", "TIMEOUT", "CANCELED"]
    result: Json = None
    result_cut: bool = False
    files: FilesByItem | None = None


# Answers ----------------------------------------------------------------------------


@message("engine.execution-responded.v1")
class ExecutionResponded:
    """A RESPOND node answered whoever started the execution: the first one does, once.

    `headers` are texts by name, `body` any JSON; with a `file` that is the body.
    """

    execution_id: str
    workflow_id: str
    node_id: str
    scope: Scope
    run: int
    status: int
    headers: dict[str, str]
    body: Json
    responded_at: str
    file: FileRef | None = None
