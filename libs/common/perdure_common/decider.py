"""The shape every core has: hear, decide, evolve, project, route, and nothing between.

A service is made of deciders, one for each kind of stream it keeps. The functions are
pure: time and what is known of other streams are arguments, ids are derived. The shell
(`perdure_common.shell`) does everything else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

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


class Recorded(msgspec.Struct, Generic[E], frozen=True, gc=False):
    """An event as it stands in the journal. `recorded_at` is the batch's one instant."""

    event: E
    tenant_id: str
    stream: str
    version: int
    recorded_at: datetime


class Upsert(msgspec.Struct, frozen=True, gc=False):
    """A row to write: `set` replaces, `add` counts up, `new` promises that it is not there.

    The shell merges the upserts of a batch row by row. `lazy` rows are written within a
    second instead of with the event: rows that many streams share, and logs. One that is
    both `new` and `lazy` is appended, and nothing else may be said of it. `guard` names
    columns of `set`: the row changes only if they do not go back (compared as a tuple), so
    that several streams may set one row and the newest wins, in a replay too. A row with a
    guard that is written with its event supersedes the lazy ones that wait for the same row,
    so it must set all that they set. Rows of one `kind` have the same table, columns in the same
    order, `new` and `guard`: frequent ones say so, and need not be compared one by one.
    """

    table: str
    key: Mapping[str, object]
    set: Mapping[str, object] = {}
    add: Mapping[str, int] = {}
    new: bool = False
    lazy: bool = False
    guard: tuple[str, ...] = ()
    kind: str = ""


class Later(Mapping[str, object]):
    """The columns of a lazy row, made only when it is written: most are superseded before.

    `known` are those that are there at once, the columns of `guard` among them; `make` returns
    all of them, and whenever it is called the same.
    """

    __slots__ = ("_known", "_made", "_make")

    def __init__(
        self, known: Mapping[str, object], make: Callable[[], Mapping[str, object]]
    ) -> None:
        self._known = known
        self._make = make
        self._made: Mapping[str, object] | None = None

    def _all(self) -> Mapping[str, object]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, column: str) -> object:
        return self._known[column] if column in self._known else self._all()[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


Raw: TypeAlias = tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]]
"""Key, value and headers of a foreign record."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message for a topic. `stream` chooses the partition there.

    `raw` is set instead of `message` to send a foreign record as it was, to `partition`.
    """

    topic: str
    stream: str
    message: object = None
    raw: Raw | None = None
    partition: int | None = None


class Page(msgspec.Struct, frozen=True, gc=False):
    """Not all rows of a lookup: those that are highest by a column, `most` of them.

    With `before` only rows below that value count.
    """

    column: str
    most: int
    before: str = ""


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """Rows of other streams that a command needs: equality on columns, `tuple` means any of.

    The tenant of the command is added by the shell. `immutable` rows never change once
    they are there and may be remembered by the process. Where there may be very many, `page` has
    them looked up a page at a time; an index must answer it.
    """

    table: str
    where: Mapping[str, object]
    columns: tuple[str, ...]
    immutable: bool = False
    page: Page | None = None


class Due(msgspec.Struct, frozen=True, gc=False):
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


def always(event: object) -> bool:
    """Return True: every event is told."""
    del event
    return True


def open_ended(state: object) -> bool:
    """Return False: more may happen to the stream at any time."""
    del state
    return False


@dataclass(frozen=True)
class Decider(Generic[S, C, E]):
    """A pure core for one kind of stream.

    `commands` and `events` are the message types it takes and makes; each belongs to one
    decider of a service. `decide` is also given `Due` when `wake_at(state)` has come, if
    the decider has one. `creates` are commands that begin a stream: it is taken for new
    without a look, if `first(command)` does not say otherwise. `private` events are
    journalled but not published, and neither is one for which `told(event)` is false.
    `passes` are commands that reach even a parked stream. A change of the state's type
    needs a new `state_version`; older snapshots are then dropped and the journal is folded again.

    A stream of which `over(state)` is true leaves the memory at once: little is asked of it any
    more, and then it is loaded.

    `act(state, command, facts, now, happen)` decides the same as `decide`, for states that are
    too large to be tried out on a copy: instead of returning events it calls `happen` with each
    as it is made, and goes on with the state that this returns. A `Rejected` it returns before
    any event.

    The trace (W3C) of a message goes on with what it leads to. Where a stream is one work
    (`one_trace`) all of it belongs to the trace of the message that began it instead: others that
    it hears of may be of other traces.
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
    first: Callable[[Any], bool] = always
    private: tuple[type, ...] = ()
    told: Callable[[Any], bool] = always
    passes: tuple[type, ...] = ()
    state_version: int = 1
    over: Callable[[S], bool] = open_ended
    act: Callable[[S, Any, Facts, datetime, Callable[[E], S]], Rejected | None] | None = None
    one_trace: bool = False

    def begins(self, command: object) -> bool:
        """Return whether a command most likely begins a stream."""
        return isinstance(command, self.creates) and self.first(command)

    def fold(self, events: Iterable[E]) -> S:
        """Return the state after `events`, oldest first."""
        state = self.initial
        for event in events:
            state = self.evolve(state, event)
        return state
