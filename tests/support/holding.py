"""Stores and buses that hold something back until the test lets it go on: staging by hand."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from perdure_common.shell.ports import Bus, Outbound, ShardCommit, Store


class HeldCommits:
    """A store whose commits of journal rows wait while it is shut."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = asyncio.Event()
        self.batches: list[Sequence[ShardCommit]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def shut(self) -> None:
        """Hold back the next commit that writes events; `waiting` is set when it is there."""
        self._open.clear()

    def open(self) -> None:
        """Let it go on, and everything behind it."""
        self._open.set()

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        """See `Store.commit`."""
        if any(each.rows for each in batch):
            self.batches.append(batch)
            if not self._open.is_set():
                self.waiting.set()
                await self._open.wait()
        await self._store.commit(batch)

    @property
    def store(self) -> Store:
        """This as what it stands for."""
        return cast(Store, self)


class MuteBus:
    """A bus on which nothing leaves as long as it is mute."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.tried = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def send(self, records: Sequence[Outbound]) -> Sequence[BaseException | None]:
        """Take what is to be sent, and say nothing for ever."""
        if records:
            self.tried.set()
            await asyncio.Event().wait()
        return ()

    @property
    def bus(self) -> Bus:
        """This as what it stands for."""
        return cast(Bus, self)
