"""The shape every core has: hear, decide, evolve, project, route, and nothing between.

A service is made of deciders, one for each kind of stream it keeps. The functions are
pure: time and what is known of other streams are arguments, ids are derived. The shell
(`perdure_common.shell`) does everything else.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from perdure_contracts.message import Envelope

if TYPE_CHECKING:
    from perdure_common.shell.ports import Bus

S = TypeVar("S")  # state of one stream
C = TypeVar("C")  # command
E = TypeVar("E")  # event

Row: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = Mapping[str, Sequence[Row]]
"""What was looked up for a command: the name that `facts` gave it, and the rows found."""


@dataclass(frozen=True)
class Rejected:
    """A command refused, with the reason a person can read.

    `code` is the same thing for a program. With `dead_letter` the record that brought the
    command is kept as a dead letter, bytes and all, instead of being answered only.
    """

    reason: str
    code: str = "refused"
    dead_letter: bool = False


@dataclass(frozen=True, slots=True)
class Recorded(Generic[E]):
    """An event as it stands in the journal. `recorded_at` is the batch's one instant."""

    event: E
    tenant_id: str
    stream: str
    version: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Upsert:
    """A row to write: `set` replaces, `add` counts up, `new` promises that it is not there.

    The shell merges the upserts of a batch row by row. `lazy` rows are written within a
    second instead of with the event: rows that many streams share, and logs. `guard` names
    columns of `set`: the row changes only if they do not go back (compared as a tuple), so
    that several streams may set one row and the newest wins, in a replay too.
    """

    table: str
    key: Mapping[str, object]
    set: Mapping[str, object] = field(default_factory=dict[str, object])
    add: Mapping[str, int] = field(default_factory=dict[str, int])
    new: bool = False
    lazy: bool = False
    guard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for a topic. `stream` chooses the partition there.

    `raw` is set instead of `message` to send a foreign record as it was:
    (key, value, headers), to `partition`.
    """

    topic: str
    stream: str
    message: object = None
    raw: tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]] | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of other streams that a command needs: equality on columns, `tuple` means any of.

    The tenant of the command is added by the shell. `immutable` rows never change once
    they are there and may be remembered by the process.
    """

    table: str
    where: Mapping[str, object]
    columns: tuple[str, ...]
    immutable: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """The wake of a stream: an instant that its state waits for has come."""

    stream: str


def no_facts(state: object, command: object) -> Mapping[str, Lookup]:
    """Return nothing: the command needs to know only its own stream."""
    del state, command
    return {}


def never(state: object) -> datetime | None:
    """Return None: the state waits for no instant."""
    del state
    return None


@dataclass(frozen=True)
class Decider(Generic[S, C, E]):
    """A pure core for one kind of stream.

    `commands` and `events` are the message types it takes and makes; each belongs to one
    decider of a service. `decide` is also given `Due` when `wake_at(state)` has come, if
    the decider has one. `creates` are commands that begin a stream: it is taken for new
    without a look. `private` events are journalled but not published. `passes` are
    commands that reach even a parked stream. A change of the state's type needs a new
    `state_version`; older snapshots are then dropped and the journal is folded again.
    """

    name: str
    initial: S
    commands: tuple[type, ...]
    events: tuple[type, ...]
    stream_of: Callable[[C], str]
    decide: Callable[[S, Any, Facts, datetime], tuple[E, ...] | Rejected]
    evolve: Callable[[S, E], S]
    project: Callable[[S, Recorded[E]], tuple[Upsert, ...]]
    route: Callable[[S, Recorded[E]], tuple[Outgoing, ...]]
    facts: Callable[[S, Any], Mapping[str, Lookup]] = no_facts
    wake_at: Callable[[S], datetime | None] = never
    creates: tuple[type, ...] = ()
    private: tuple[type, ...] = ()
    passes: tuple[type, ...] = ()
    state_version: int = 1

    def fold(self, events: Iterable[E]) -> S:
        """Return the state after `events`, oldest first."""
        state = self.initial
        for event in events:
            state = self.evolve(state, event)
        return state


def hear_own(message: object, envelope: Envelope) -> object | None:
    """Return the message itself: a service that hears only its own commands."""
    del envelope
    return message


@dataclass(frozen=True)
class Restored:
    """What a service may look at after a restore: its database, the topics, their partitions."""

    url: str
    bus: "Bus"
    partitions: int


@dataclass(frozen=True)
class Service:
    """What the shell must know to run a service.

    `hears` are topics of other services, read beside the service's own commands.
    `hear(message, envelope)` turns a message into a command, None to pass it over, or
    `Rejected`; on topics in `foreign` the message is the `CloudEvent` itself, and each
    partition is a shard of its own. `pausable` topics wait first when the service falls
    behind. Answers of type `by_token` are settled by the stream's state alone. `kept` tables
    are no projections: a replay leaves them alone. Messages for topics in `handed` may be
    dealt with in the process instead (`HandOver`): their reader must not count numbers.
    `groups` are those of other processes that work on its tables. `after_restore` mends what
    the service keeps beside the journal when its tables come from a backup, and says so.
    """

    name: str
    deciders: tuple[Decider[Any, Any, Any], ...]
    hear: Callable[[Any, Envelope], object | None] = hear_own
    hears: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    pausable: tuple[str, ...] = ()
    by_token: tuple[type, ...] = ()
    kept: tuple[str, ...] = ()
    handed: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    after_restore: Callable[[Restored], Awaitable[str]] | None = None
    format: int = 1

    @property
    def commands_topic(self) -> str:
        """The topic on which the service is asked; its partitions decide who owns a shard."""
        return f"perdure.{self.name}.commands.v1"

    @property
    def events_topic(self) -> str:
        """The topic on which the service tells what happened."""
        return f"perdure.{self.name}.events.v1"
