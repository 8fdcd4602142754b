"""Payloads in memory, for tests and simulations."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from perdure_common.shell.payloads import Payload

Key = tuple[str, str]


class MemoryPayloads:
    """A `PayloadStore`; `there` tells whether the journal has anything of a stream."""

    def __init__(self, there: Callable[[str], bool], now: Callable[[], datetime]) -> None:
        self._there = there
        self._now = now
        self._texts: dict[Key, str] = {}
        self._put_at: dict[Key, datetime] = {}
        self._uses: dict[Key, set[str]] = {}

    async def put(self, payloads: Sequence[Payload]) -> None:
        """See `PayloadStore`."""
        self.keep(payloads)

    def keep(self, payloads: Sequence[Payload]) -> None:
        """Keep payloads at once, as `put` does."""
        for payload in payloads:
            key = (payload.tenant_id, payload.sha256)
            self._texts.setdefault(key, payload.text)
            self._put_at[key] = self._now()
            self._uses.setdefault(key, set()).add(payload.stream)

    async def get(self, tenant_id: str, hashes: Collection[str]) -> Mapping[str, str]:
        """See `PayloadStore`."""
        return {each: text for each in hashes if (text := self._texts.get((tenant_id, each)))}

    def rows(self, tenant_id: str, hashes: Iterable[object]) -> Iterable[Mapping[str, object]]:
        """Return payloads as rows of the table `payloads`, for lookups."""
        for each in hashes:
            text = self._texts.get((tenant_id, str(each)))
            if text is not None:
                yield {"sha256": each, "data": text}

    async def sweep(self, grace_s: float, most: int) -> int:
        """See `PayloadStore`."""
        before = self._now() - timedelta(seconds=grace_s)
        gone = 0
        for key in [key for key, at in self._put_at.items() if at < before]:
            self._uses[key] = {stream for stream in self._uses[key] if self._there(stream)}
            if not self._uses[key] and gone < most:
                for known in (self._texts, self._put_at, self._uses):
                    del known[key]
                gone += 1
        return gone
