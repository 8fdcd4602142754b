"""What must be remembered of an execution in order to decide what runs next.

An `Execution` is large and lives long, so `evolve` changes it in place; whoever wants to
try something out takes a `scratch` copy. The values in its maps are never changed, only
replaced. They are structs of msgspec, which are made and written in a fraction of the time that
dataclasses take; there are no cycles among them, so the collector need not look. Places (a node
in a scope) and edges are keyed by text, because a snapshot is JSON.
"""

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field
from perdure_contracts.engine import EffectClass, ErrorFacts, Length, Scope
from perdure_contracts.message import Json

from perdure_engine.definition.region import Kind

from .state_asks import Ask
from .state_flow import Flow
from .state_given import Given

WAITS_SLACK = 100
"""Instants that nobody waits for any more and that may be kept beside those of open runs."""

Status: TypeAlias = Literal[
    "NEW", "RUNNING", "PAUSED", "SUCCESS", "ERROR", "TIMEOUT", "CANCELED", "PURGED"
]
"""Where an execution stands; those of people come with them. No row of a table says PURGED."""

OPEN = ("NEW", "RUNNING", "PAUSED", "WAITING_FOR_HUMAN")
ENDED = ("SUCCESS", "ERROR", "TIMEOUT", "CANCELED")
"""The statuses of rows, of executions that go on and of those that have ended."""

RunStatus: TypeAlias = Literal[
    "RUNNING", "RETRYING", "WAITING_INPUT", "SUCCESS", "ERROR", "SKIPPED", "CANCELED"
]
"""Where a node run stands: RUNNING in the runner or until an instant or the end of a child,
RETRYING until an instant or a verdict, WAITING_INPUT until somebody says something."""

Items: TypeAlias = Sequence[Any]
"""Items of a port, `{"json": …}`, as `nodes.base.Item` describes them."""


class Live(Struct, frozen=True, gc=False):
    """What a LIVE edge carries: items of a port of a run, only those of `picks` if it is set.

    An edge that gathers the items of several runs has them in `parts`, and no source.
    """

    source: str
    port: str
    picks: tuple[int, ...] | None = None
    parts: "tuple[Live, ...]" = ()

    def flat(self) -> "tuple[Live, ...]":
        """Return the items' sources one after the other."""
        if not self.parts:
            return (self,)
        return tuple(each for part in self.parts for each in part.flat())


class Dispatch(Struct, frozen=True, gc=False):
    """What is remembered of a run in the runner while it is open.

    `parameters` are the resolved sets by item index, `done` what each finished item gave by
    port, `failed` why the others did not. `token` names the attempt under way, about the
    items `indexes`; it is empty between attempts. Then the run waits for `retry_at` or
    `verdict_until`. `asked` says that recovery was asked about this run: from then on the
    engine does not retry by itself. With `ask_again` it asks once more at `retry_at` whether the
    attempt `attempt_id` is still to be made. At `run_until` all attempts together have taken too
    long. A suspended run waits for its `asks`, by their ids; `answers` has those that came, by
    item and sub-step, `suspensions` counts the attempts that ended so. An attempt that `undoes`
    what others did completes nothing. `held_since` is when recovery's hold began, if it holds it.
    """

    node_type: str
    node_subtype: str
    node_name: str
    effect: EffectClass
    length: Length
    idempotency_key: str
    max_retries: int
    parameters: dict[str, Json]
    indexes: tuple[int, ...]
    token: str
    deadline: datetime | None = None
    done: dict[str, dict[str, Json]] = field(default_factory=dict)
    failed: dict[str, ErrorFacts] = field(default_factory=dict)
    retry_at: datetime | None = None
    verdict_until: datetime | None = None
    held: bool = False
    asked: bool = False
    failure_id: str = ""
    root_failure_id: str = ""
    first_failed_at: str = ""
    overrides: Json = None
    attempt_id: str = ""
    ask_again: bool = False
    run_until: datetime | None = None
    asks: dict[str, Ask] = field(default_factory=dict)
    answers: dict[str, dict[str, Json]] = field(default_factory=dict)
    suspensions: int = 0
    undoes: bool = False
    held_since: str = ""

    @property
    def claimed(self) -> bool:
        """Whether a runner claims the attempt before it begins, and can be told to stop."""
        return self.length == "long" or self.effect not in ("pure", "keyed")


class Run(Struct, frozen=True, gc=False):
    """A node run: the newest one at its place.

    `inputs` are its LIVE in-edges, (edge index, input port), in `inputs_scope` where it is
    not that of the run; `ports` what it emitted, with the items of ERROR connections on
    `error`, and those that go round on a loop's own port. `attempt` counts the attempts so far.
    """

    node_id: str
    scope: Scope
    run: int
    status: RunStatus
    attempt: int = 0
    inputs: tuple[tuple[int, str], ...] = ()
    ports: dict[str, list[Any]] = field(default_factory=dict)
    started_at: datetime | None = None
    dispatch: Dispatch | None = None
    inputs_scope: Scope | None = None

    @property
    def gathered_in(self) -> Scope:
        """The scope of the in-edges."""
        return self.scope if self.inputs_scope is None else self.inputs_scope


class Rounds(Struct, frozen=True, gc=False):
    """An open region: its iterations so far.

    `pending` has, for each iteration under way, how many nodes and regions it must still see
    to their ends, `failed` the nodes and errors of those that failed. `begun` counts the
    iterations, `taken` the items that have gone round, of `items`; `left` are those that left
    a LOOP.
    """

    node_id: str
    scope: Scope
    run: int
    kind: Kind
    size: int
    items: int
    begun: int = 0
    taken: int = 0
    pending: dict[int, int] = field(default_factory=dict)
    failed: dict[int, tuple[str, ErrorFacts]] = field(default_factory=dict)
    left: tuple[Live, ...] = ()

    def iteration(self, k: int) -> Scope:
        """Return the scope of an iteration."""
        return (*self.scope, (self.node_id, k))


class Over(Struct, frozen=True, gc=False):
    """A region that has ended: how many iterations it had, and which of them failed."""

    node_id: str
    scope: Scope
    iterations: int
    failed: tuple[int, ...] = ()


class Execution(Struct, gc=False):
    """An execution.

    `runs` and `open` (those that have not ended) are keyed by place, `edges` by edge and
    scope: present is resolved, None is DEAD. `tokens` has the attempts under way and their
    places, `ready` places whose runs wait for the wake due at `yielded_at`, `overrides`
    places of nodes whose parameters a person changed when reviving the execution. `troubled`
    says that recovery was told of a failure. `rounds` has the open regions and `over` those
    that have ended, by the place of their entry.
    `waits` is a heap of the instants that open runs wait for, and of some that they do not
    wait for any more. `flow` is what only some executions remember. `paused_at` is when it was
    paused last, `delayed_until` when a revival that was to wait begins, `marked` the run that a
    person settled last. `error_workflow` is started if it fails, unless it `handles` the failure
    of another one. `watched_by` is a stream of the scheduler that hears of the end.
    `suspended` counts how often agents have waited for an answer, `undone` how often the effects of
    a node were undone, by place. `files` says that some items carry files.
    """

    execution_id: str = ""
    root_execution_id: str = ""
    workflow_id: str = ""
    workflow_name: str = ""
    workflow_version: int = 0
    sha256: str = ""
    workspace_id: str = ""
    status: Status = "NEW"
    mode: str = ""
    triggered_by: str = ""
    trigger_node_id: str = ""
    trigger: Json = None
    parent_execution_id: str | None = None
    log_level: str = "INFO"
    started_at: datetime | None = None
    deadline: datetime | None = None
    yielded_at: datetime | None = None
    steps: int = 0
    steps_total: int = 0
    troubled: bool = False
    overrides: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    edges: dict[str, Live | None] = field(default_factory=dict)
    open: dict[str, None] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    ready: dict[str, tuple[str, Scope]] = field(default_factory=dict)
    waits: list[tuple[datetime, str]] = field(default_factory=list)
    rounds: dict[str, Rounds] = field(default_factory=dict)
    over: dict[str, Over] = field(default_factory=dict)
    paused_at: datetime | None = None
    delayed_until: datetime | None = None
    marked: str = ""
    given: Given | None = None
    error_workflow: str = ""
    handles: str = ""
    flow: Flow | None = None
    suspended: int = 0
    watched_by: str = ""
    undone: dict[str, int] | None = None
    files: bool = False

    def scratch(self) -> "Execution":
        """Return a copy that can be changed without changing this one."""
        copied = copy(self)
        copied.runs = self.runs.copy()
        copied.edges = self.edges.copy()
        copied.open = self.open.copy()
        copied.tokens = self.tokens.copy()
        copied.ready = self.ready.copy()
        copied.waits = self.waits.copy()
        copied.rounds = self.rounds.copy()
        copied.over = self.over.copy()
        copied.given = None if self.given is None else self.given.scratch()
        copied.flow = None if self.flow is None else self.flow.scratch()
        return copied

    def items_of(self, live: Live) -> Items:
        """Return the items that a LIVE edge carries."""
        if live.parts:
            return [item for part in live.parts for item in self.items_of(part)]
        items = self.runs[live.source].ports[live.port]
        return items if live.picks is None else [items[place] for place in live.picks]


def place_of(node_id: str, scope: Scope) -> str:
    """Return the key of a node in a scope: `node`, or `region.0/inner.2@node`."""
    if not scope:
        return node_id
    path = "/".join(f"{region}.{iteration}" for region, iteration in scope)
    return f"{path}@{node_id}"


def marked_at(run: Run) -> str:
    """Return how `Execution.marked` names a run."""
    return f"{place_of(run.node_id, run.scope)}#{run.run}"


def next_run(state: Execution, node_id: str, scope: Scope) -> int:
    """Return the number of a new run; the runs of a region that runs again count on from it."""
    before = state.runs.get(place_of(node_id, scope))
    if before is not None:
        return before.run + 1
    if not scope:
        return 1
    around = state.rounds.get(place_of(scope[-1][0], scope[:-1]))
    return 1 if around is None else around.run


def next_run_of_region(state: Execution, node_id: str, scope: Scope, run: int) -> int:
    """Return the number of a region that begins: above `run` where one in it was higher before.

    What ran in it may have been revived more often than itself, and no number is given twice:
    the tokens of attempts follow from it.
    """
    if run == 1:
        return run
    depth = len(scope)
    inside = (
        each.run
        for each in state.runs.values()
        if len(each.scope) > depth
        and each.scope[:depth] == scope
        and each.scope[depth][0] == node_id
    )
    return max(run, max(inside, default=0) + 1)


def edge_key(index: int, scope: Scope) -> str:
    """Return the key of an edge in a scope."""
    return place_of(str(index), scope) if scope else str(index)


def is_open(state: Execution) -> bool:
    """Return whether an execution has begun and not ended."""
    return state.status in ("RUNNING", "PAUSED")


def flow_of(state: Execution) -> Flow:
    """Return the rarer part of an execution's state; from now on it has one."""
    if state.flow is None:
        state.flow = Flow()
    return state.flow


def raced(state: Execution, place: str) -> bool:
    """Tell whether the run at a place was stopped because a race was won without it."""
    return state.flow is not None and place in state.flow.raced


def over(state: Execution) -> bool:
    """Return whether nothing is expected of an execution: one that failed may be revived soon."""
    return state.status in ("SUCCESS", "CANCELED", "PURGED")


def awaited(state: Execution, place: str) -> datetime | None:
    """Return the instant that an open run waits for, None if there is none."""
    run = state.runs.get(place)
    if run is None or place not in state.open:
        return None
    known = run.dispatch
    if known is not None:
        at = known.deadline or known.retry_at or known.verdict_until
        if known.asks:
            at = min((a.until for a in known.asks.values() if a.until is not None), default=None)
        over_at = known.run_until
        return over_at if over_at is not None and (at is None or over_at < at) else at
    waiting = None if state.flow is None else state.flow.waits.get(place)
    return None if waiting is None else waiting.until


def wait(state: Execution, place: str) -> None:
    """Note the instant that an open run waits for from now on, if there is one."""
    at = awaited(state, place)
    if at is not None:
        heappush(state.waits, (at, place))
    if at is None or len(state.waits) > 1:
        forget_waits(state)


def forget_waits(state: Execution) -> None:
    """Drop instants that are not waited for any more, so that the first one always is.

    The others stay until they come first, but never outnumber those that are waited for by far.
    """
    waits = state.waits
    while waits and awaited(state, waits[0][1]) != waits[0][0]:
        heappop(waits)
    if len(waits) > 2 * len(state.open) + WAITS_SLACK:
        state.waits = sorted({each for each in waits if awaited(state, each[1]) == each[0]})


def due(state: Execution, now: datetime) -> list[str]:
    """Return the places of open runs whose instant has come, the earliest first."""
    found: set[tuple[datetime, str]] = set()
    looking = [0]
    while looking:  # an entry that is not due has none below it that are
        at = looking.pop()
        if at < len(state.waits) and state.waits[at][0] <= now:
            found.add(state.waits[at])
            looking += (2 * at + 1, 2 * at + 2)
    return [place for at, place in sorted(found) if awaited(state, place) == at]


def wake_at(state: Execution) -> datetime | None:
    """Return the earliest instant that a running execution waits for, None if there is none."""
    if state.flow is not None and state.flow.stopping is not None:
        return state.flow.stopping.until
    if state.status != "RUNNING":
        return state.yielded_at if state.status == "NEW" else None  # a child that was accepted
    if state.ready and state.yielded_at is not None:
        return state.yielded_at
    at = None
    if state.waits:
        at, place = state.waits[0]
        if awaited(state, place) != at:  # a purge took its run away: look at all of them
            instants = [each for p in state.open if (each := awaited(state, p)) is not None]
            at = min(instants, default=None)
    if at is None or state.deadline is None:
        return at or state.deadline
    return min(at, state.deadline)
