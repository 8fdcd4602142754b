"""Files: bytes that items carry by reference, under the SHA-256 of what they are (ADR 0055).

A file comes and goes in chunks, so that nobody holds more of it than one. While it is written it is
an upload that nobody can name; once its hash is known it is a file of its tenant, or is
found to be one that there is already.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, ParamSpec, Protocol

import structlog

from perdure_common.shell.ports import Unreachable

CHUNK_BYTES = 512 * 1024
"""What is written and read at once."""

AGAIN_S = 0.5
"""How long to wait before a store that cannot be reached is asked again."""

P = ParamSpec("P")

log = structlog.get_logger(__name__)


class Stored(NamedTuple):
    """A file that is there: the SHA-256 of its bytes, and how many these are."""

    file_id: str
    size: int


class Upload(NamedTuple):
    """Where the chunks of a file are, and how many bytes they have."""

    upload: str
    size: int


class FileTooLarge(Exception):
    """A file has more bytes than may be kept; the text says what to do."""


class MissingFile(LookupError):
    """A file is not there, or not any more; the text says which."""


class FileStore(Protocol):
    """Where files are kept, by tenant and hash. Methods raise `Unreachable`, and may be repeated.

    A file is kept while something refers to it, and for the grace of a sweep after that.
    """

    async def begin(self, tenant_id: str, upload: str) -> None:
        """Begin an upload under an id that no other one has."""
        ...

    async def append(self, upload: str, n: int, data: bytes) -> None:
        """Keep chunk number `n` of an upload."""
        ...

    async def finish(self, tenant_id: str, upload: str, stored: Stored) -> None:
        """Make an upload a file; where there is that file already, forget the upload."""
        ...

    async def discard(self, upload: str) -> None:
        """Forget an upload."""
        ...

    async def find(self, tenant_id: str, file_id: str) -> Upload | None:
        """Return where a file of a tenant is, None if it is not there."""
        ...

    async def chunk(self, upload: str, n: int) -> bytes | None:
        """Return chunk number `n`, None behind the last one."""
        ...

    async def sweep_files(self, grace_s: float, most: int) -> int:
        """Forget up to `most` files that nothing has referred to for so long; return how many."""
        ...


async def write(
    store: FileStore, tenant_id: str, source: AsyncIterable[bytes], most: int
) -> Stored:
    """Keep what `source` gives as a file, and return what it is.

    A store that cannot be reached is waited for: the source cannot be read twice.

    Raises:
        FileTooLarge: It has more than `most` bytes; nothing of it is kept.
    """
    upload, digest, size, n = uuid.uuid4().hex, hashlib.sha256(), 0, 0
    waiting = bytearray()
    try:
        await _patiently(store.begin, tenant_id, upload)
        async for part in source:
            size += len(part)
            if size > most:
                raise FileTooLarge(
                    f"the file has more than {most:,} bytes; take a smaller one, or raise "
                    "PERDURE_FILE_BYTES_MAX"
                )
            digest.update(part)
            waiting += part
            while len(waiting) >= CHUNK_BYTES:
                await _patiently(store.append, upload, n, bytes(waiting[:CHUNK_BYTES]))
                del waiting[:CHUNK_BYTES]
                n += 1
        if waiting:
            await _patiently(store.append, upload, n, bytes(waiting))
        stored = Stored(digest.hexdigest(), size)
        await _patiently(store.finish, tenant_id, upload, stored)
    except BaseException:
        with suppress(Unreachable):  # the sweep forgets it too
            await store.discard(upload)
        raise
    return stored


async def read(store: FileStore, tenant_id: str, file_id: str) -> AsyncIterator[bytes]:
    """Return the bytes of a file, chunk after chunk.

    Raises:
        MissingFile: It is not there; the iterator does too, if it goes meanwhile.
        Unreachable: The store does not answer; the iterator too.
    """
    found = await store.find(tenant_id, file_id)
    if found is None:
        raise MissingFile(f"there is no file {file_id[:80]!r} (any more)")
    return _chunks(store, found, file_id)


async def _chunks(store: FileStore, found: Upload, file_id: str) -> AsyncIterator[bytes]:
    left, n = found.size, 0
    while left > 0:
        data = await store.chunk(found.upload, n)
        if not data:
            raise MissingFile(f"the file {file_id[:80]!r} was deleted while it was read")
        yield data
        left -= len(data)
        n += 1


async def _patiently(ask: Callable[P, Awaitable[None]], *args: P.args, **more: P.kwargs) -> None:
    while True:
        try:
            await ask(*args, **more)
        except Unreachable as error:
            log.warning("files_unreachable", error=str(error))
            await asyncio.sleep(AGAIN_S)
        else:
            return
