"""What a batch is made of: its part in each shard, what it counts, why it cannot go on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, cast

import structlog

from perdure_common.decider import Lookup, Page, Upsert
from perdure_common.shell.intake import Taken
from perdure_common.shell.ports import ShardCommit, TopicPartition
from perdure_common.shell.shard import Sending, Shard

Seers: TypeAlias = Mapping[type, Callable[[Any], None]]
"""What is called with each new event of a type once it is committed, for metrics: by its process
alone, not when events are made again, and not if the process dies or loses the answer first."""

log = structlog.get_logger(__name__)


class NeedsFacts(Exception):
    """A command needs rows that were not looked up yet."""

    def __init__(self, lookups: Mapping[str, Lookup]) -> None:
        super().__init__()
        self.lookups = lookups


class Poisoned(Exception):
    """The core failed on this item; the rest of the batch must go without it."""

    def __init__(self, taken: Taken, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.taken = taken
        self.error = error


FactKey = tuple[str, str, tuple[tuple[str, object], ...], tuple[str, ...], Page | None]


def fact_key(tenant_id: str, lookup: Lookup) -> FactKey:
    """Return what two lookups with the same answer have in common."""
    where = tuple([(c, _frozen(v)) for c, v in lookup.where.items()])
    return tenant_id, lookup.table, where, lookup.columns, lookup.page


def _frozen(value: object) -> object:
    return tuple(cast(list[object], value)) if isinstance(value, list) else value


@dataclass(slots=True)
class Part:
    """What the batch does to one shard; `events` is where its events are published.

    `written` says that it stands in the store: what changes nothing can wait. `weight` is by
    how much the streams in memory have grown. `seen` are new events that somebody looks at.
    """

    shard: Shard
    commit: ShardCommit
    now: datetime
    events: TopicPartition
    lazy: list[Upsert] = field(default_factory=list)
    sending: list[Sending] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    weight: int = 0
    written: bool = False
    parked: dict[str, int] = field(default_factory=dict)
    draining: dict[str, str | None] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)

    def show(self, seers: Seers) -> None:
        """Show what was written to those who look; one that fails is told of, and harms nobody."""
        for event in self.seen:
            try:
                seers[type(event)](event)
            except Exception:
                log.exception("event_not_seen", event_type=type(event).__name__)


@dataclass
class Counts:
    """What became of the records of a batch."""

    commands: int = 0
    events: int = 0
    rejected: int = 0
    duplicates: int = 0
    gaps: int = 0
    dead_letters: int = 0
    passed_over: int = 0
