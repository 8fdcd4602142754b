"""What only some executions remember: races that were won, waits, signals, a parent.

It hangs on an `Execution` as one value, so that all others carry nothing of it.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field
from perdure_contracts.admission import Gate
from perdure_contracts.engine import Mode, StartExecution
from perdure_contracts.files import FilesByItem
from perdure_contracts.flow import WaitKind
from perdure_contracts.message import Json

HEARD_MAX = 1_000
"""Ids of signals that are remembered, so that one that comes again is not taken twice."""


class Waiting(Struct, frozen=True, gc=False):
    """What an open run waits for, and what happens at the instant `until`; see `WaitBegun`."""

    kind: WaitKind
    wait_id: str
    until: datetime | None = None
    port: str = ""
    name: str = ""
    key: str = ""
    child: str = ""
    registered: bool = False
    taken: bool = False


class Signal(Struct, frozen=True, gc=False):
    """What was told to the execution and waits for a WAIT that takes it."""

    channel: Literal["event", "webhook"]
    name: str
    key: str
    node_id: str
    payload: Json


class Parent(Struct, frozen=True, gc=False):
    """Who wants this execution: what it starts with, and who is told of its end."""

    execution_id: str
    root_execution_id: str
    wait_id: str
    wait: bool
    depth: int
    mode: Mode
    triggered_by: str
    data: Json = None
    files: FilesByItem | None = None


class Admission(Struct, frozen=True, gc=False):
    """What lets an execution in: its gates, and how many of them it has passed.

    While it has not begun, `start` is what it begins with, and `until` when it has waited for too
    long; it `reads` what is frozen for it.
    """

    gates: tuple[Gate, ...] = ()
    passed: int = 0
    priority: int = 1
    start: StartExecution | None = None
    reads: tuple[str, ...] = ()
    until: datetime | None = None


class Stopping(Struct, frozen=True, gc=False):
    """A cancel that is under way, and when it is over at the latest."""

    until: datetime
    reason: str
    asked_by: str


class Flow(Struct, gc=False):
    """The rarer part of an execution's state; like it, changed in place by `evolve` alone.

    `raced` has the places of runs that were cancelled because a race was won, `lost` the edges
    that brought items to a race that had been won. `waits` is by place, `signals` by id: those
    that nobody has taken yet. `heard` are the ids of all signals, the newest last. `response` is
    what a RESPOND node answered. With `to_people` nothing can run but for the answers of people.
    `admission` is what let the execution in, or still has to. `stopping` is set while it is being
    cancelled.
    """

    raced: dict[str, None] = field(default_factory=dict)
    lost: dict[str, None] = field(default_factory=dict)
    waits: dict[str, Waiting] = field(default_factory=dict)
    signals: dict[str, Signal] = field(default_factory=dict)
    heard: dict[str, None] = field(default_factory=dict)
    parent: Parent | None = None
    resume_token: str = ""
    resume_url: str = ""
    response: dict[str, Any] | None = None
    to_people: bool = False
    admission: Admission | None = None
    stopping: Stopping | None = None

    def scratch(self) -> "Flow":
        """Return a copy that can be changed without changing this one."""
        return Flow(
            raced=self.raced.copy(),
            lost=self.lost.copy(),
            waits=self.waits.copy(),
            signals=self.signals.copy(),
            heard=self.heard.copy(),
            parent=self.parent,
            resume_token=self.resume_token,
            resume_url=self.resume_url,
            response=self.response,
            to_people=self.to_people,
            admission=self.admission,
            stopping=self.stopping,
        )
