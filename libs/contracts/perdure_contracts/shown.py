"""What the command line prints as JSON for programs to read: no message, but as stable.

A released shape may only gain fields.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .engine import Scope
from .message import Json

ShownStatus: TypeAlias = Literal[
    "NEW", "RUNNING", "WAITING_FOR_HUMAN", "PAUSED", "SUCCESS", "ERROR", "TIMEOUT", "CANCELED"
]

ShownRunStatus: TypeAlias = Literal[
    "RUNNING", "RETRYING", "WAITING_INPUT", "SUCCESS", "ERROR", "SKIPPED", "CANCELED"
]


@dataclass(frozen=True, kw_only=True)
class ShownItemError:
    """One failed item; `index` is its place among the items of the run."""

    index: int
    type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ShownFailed:
    """The failed items of a node run: how many, and the first of them."""

    count: int
    items: tuple[ShownItemError, ...]


@dataclass(frozen=True, kw_only=True)
class ShownError:
    """Why an execution or a node run did not succeed.

    `node_id` is where, for an execution that failed at a node. `failed` has the items that
    made a node run fail.
    """

    message: str | None
    type: str
    retryable: bool | None = None
    stage: str | None = None
    node_id: str | None = None
    failure_id: str | None = None
    dependency: str | None = None
    status_code: int | None = None
    codes: tuple[str, ...] = ()
    detail: str | None = None
    asked_by: str | None = None
    failed: ShownFailed | None = None


@dataclass(frozen=True, kw_only=True)
class ShownNode:
    """One run of a node.

    `scope` has the (region, iteration)s around it, the outermost first. `ports` has what it
    emitted by port. `error` is why it failed, or which items did where the failure was handled.
    """

    node_id: str
    scope: Scope
    run: int
    attempt: int
    status: ShownRunStatus
    ports: dict[str, tuple[Json, ...]]
    error: ShownError | ShownFailed | None


@dataclass(frozen=True, kw_only=True)
class ShownResponse:
    """What a RESPOND node answered."""

    status: int
    headers: dict[str, str]
    body: Json
    node_id: str


@dataclass(frozen=True, kw_only=True)
class ShownExecution:
    """An execution as `perdure executions show --json` prints it.

    `result` has the items of the runs at the ends of the graph, None while it has not ended
    well. `nodes` are in the order of the file; `unreached` are those without a run.
    `response` is what it answered to whoever started it.
    """

    execution_id: str
    status: ShownStatus
    error: ShownError | None
    result: tuple[Json, ...] | None
    nodes: tuple[ShownNode, ...]
    unreached: tuple[str, ...]
    response: ShownResponse | None = None
