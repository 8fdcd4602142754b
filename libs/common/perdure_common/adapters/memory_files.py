"""Files in memory, for tests and simulations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from perdure_common.shell.files import Stored, Upload


@dataclass
class _File:
    tenant_id: str
    touched_at: datetime
    stored: Stored | None = None
    unused_since: datetime | None = None
    chunks: dict[int, bytes] = field(default_factory=dict[int, bytes])


def _nothing_refers(tenant_id: str, file_id: str) -> bool:
    del tenant_id, file_id
    return False


class MemoryFiles:
    """A `FileStore`; `used` tells whether anything refers to a file of a tenant."""

    def __init__(
        self,
        used: Callable[[str, str], bool] = _nothing_refers,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._used = used
        self._now = now
        self._files: dict[str, _File] = {}

    async def begin(self, tenant_id: str, upload: str) -> None:
        """See `FileStore`."""
        self._files.setdefault(upload, _File(tenant_id, self._now()))

    async def append(self, upload: str, n: int, data: bytes) -> None:
        """See `FileStore`."""
        found = self._files[upload]
        found.chunks[n], found.touched_at = data, self._now()

    async def finish(self, tenant_id: str, upload: str, stored: Stored) -> None:
        """See `FileStore`."""
        known = self._named(tenant_id, stored.file_id)
        if known is not None and known is not self._files.get(upload):
            known.unused_since, known.touched_at = None, self._now()
            await self.discard(upload)
            return
        found = self._files[upload]
        found.stored, found.touched_at = stored, self._now()

    async def discard(self, upload: str) -> None:
        """See `FileStore`."""
        self._files.pop(upload, None)

    async def find(self, tenant_id: str, file_id: str) -> Upload | None:
        """See `FileStore`."""
        for upload, each in self._files.items():
            if each is self._named(tenant_id, file_id) and each.stored is not None:
                return Upload(upload, each.stored.size)
        return None

    async def chunk(self, upload: str, n: int) -> bytes | None:
        """See `FileStore`."""
        found = self._files.get(upload)
        return None if found is None else found.chunks.get(n)

    async def sweep_files(self, grace_s: float, most: int) -> int:
        """See `FileStore`."""
        now = self._now()
        before, gone = now - timedelta(seconds=grace_s), list[str]()
        for upload, each in self._files.items():
            if each.stored is None:
                old = each.touched_at < before
            elif self._used(each.tenant_id, each.stored.file_id):
                each.unused_since, old = None, False
            elif each.unused_since is None:
                each.unused_since, old = now, False
            else:
                old = each.unused_since < before
            if old and len(gone) < most:
                gone.append(upload)
        for upload in gone:
            del self._files[upload]
        return len(gone)

    def _named(self, tenant_id: str, file_id: str) -> _File | None:
        for each in self._files.values():
            named = each.stored is not None and each.stored.file_id == file_id
            if named and each.tenant_id == tenant_id:
                return each
        return None
