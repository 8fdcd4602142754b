"""What the shell must know to run a service: its deciders, what it hears, what it keeps.

A service says so once, in its `app.py`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from perdure_contracts.message import Envelope

from perdure_common.decider import Decider, Recorded
from perdure_common.shell.ports import Bus, Store


class Judge(Protocol):
    """What a service knows of one of its streams beyond folding; `perdure verify` asks it."""

    def see(self, recorded: Recorded[Any]) -> Iterable[tuple[str, str, str]]:
        """Return what the stream's next event breaks: (promise, place in it, what was found)."""
        ...


def hear_own(message: object, envelope: Envelope) -> object | None:
    """Return the message itself: a service that hears only its own commands."""
    del envelope
    return message


Unexplained: TypeAlias = Callable[[Store, str, object, datetime, float], Awaitable[str]]
"""See `Service.unexplained`; `grace_s` is how many seconds something may be overdue."""


@dataclass(frozen=True)
class Restored:
    """What a service may look at after a restore: its database, the topics, their partitions."""

    url: str
    bus: Bus
    partitions: int


@dataclass(frozen=True)
class Service:
    """What the shell must know to run a service.

    `hears` are topics of other services, read beside the service's own commands; `concerns` are
    the types of messages there that `hear` looks at, what is of another type is passed over
    unread (None: everything is looked at).
    `hear(message, envelope)` turns a message into a command, None to pass it over, or
    `Rejected`; on topics in `foreign` the message is the `CloudEvent` itself, and each
    partition is a shard of its own. `pausable` topics wait first when the service falls
    behind; `early` commands are what those need, such as definitions: a shard that comes from a
    backup takes them first. Messages of type `patient` ask for no batch of their own: they go with
    the next one, or after a moment (shell/pace.py). Answers of type `by_token` are settled by the
    stream's state alone; those that are `news` as well may change nothing, and then leave no trace.
    `kept` tables are no projections: a replay leaves them alone. Of tables in `expires` old rows
    are dropped, by the column given there; the table `expired` says up to when. Messages for
    topics in `handed` may be dealt with in the process instead (`HandOver`): their reader must
    not count numbers.
    `heavy` are the fields of messages that leave them when they are large (shell/payloads.py).
    `tombstones` are the last events of streams: what was before them may be purged, as the table
    `journal_purged` says.
    `judge` makes a fresh `Judge` for each stream that is verified; `unexplained(store, tenant_id,
    state, now, grace_s)` says what keeps a stream open that nothing explains, empty if all is well;
    `untold` what it waits for in vain, even if a wake will end the wait.
    `groups` are those of other processes that work on its tables. `after_restore` mends what
    the service keeps beside the journal when its tables come from a backup, and says so.
    """

    name: str
    deciders: tuple[Decider[Any, Any, Any], ...]
    hear: Callable[[Any, Envelope], object | None] = hear_own
    hears: tuple[str, ...] = ()
    concerns: tuple[type, ...] | None = None
    foreign: tuple[str, ...] = ()
    pausable: tuple[str, ...] = ()
    early: tuple[type, ...] = ()
    patient: tuple[type, ...] = ()
    by_token: tuple[type, ...] = ()
    news: tuple[type, ...] = ()
    kept: tuple[str, ...] = ()
    expires: Mapping[str, str] = field(default_factory=dict[str, str])
    handed: tuple[str, ...] = ()
    heavy: Mapping[type, tuple[str, ...]] = field(default_factory=dict[type, tuple[str, ...]])
    tombstones: tuple[type, ...] = ()
    judge: Callable[[], Judge] | None = None
    unexplained: Unexplained | None = None
    untold: Unexplained | None = None
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
