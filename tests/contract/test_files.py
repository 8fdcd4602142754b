"""File stores, in memory and in PostgreSQL: what both must do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.shell.files import (
    CHUNK_BYTES,
    FileStore,
    FileTooLarge,
    MissingFile,
    Stored,
    read,
    write,
)

TENANT, OTHER = "tenant", "other"
HOUR_S = 3_600.0
MOST = 10 * CHUNK_BYTES
REFER = """
insert into engine.execution_files
       (execution_id, file_id, tenant_id, node_id, file_name, mime_type, size, created_at)
values ($1, $2, $3, 'n', 'a', 'text/plain', 1, now())
"""


@dataclass
class Ground:
    """A store, what refers to its files, and how its time passes."""

    store: FileStore
    url: str = ""
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    used: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    async def later(self, seconds: float) -> None:
        """Let time pass for what is there."""
        self.now += timedelta(seconds=seconds)
        if self.url:
            await self.run(
                f"update engine.files set touched_at = touched_at - interval '{seconds} seconds',"
                f" unused_since = unused_since - interval '{seconds} seconds'"
            )

    async def refer(self, file_id: str, tenant_id: str = TENANT) -> None:
        """Let an execution refer to a file."""
        self.used.add((tenant_id, file_id))
        if self.url:
            await self.run(REFER, "e1", file_id, tenant_id)

    async def purge(self) -> None:
        """Let no execution be there any more."""
        self.used.clear()
        if self.url:
            await self.run("delete from engine.execution_files")

    async def run(self, sql: str, *arguments: object) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()


@pytest.fixture(params=["memory", "postgres"])
async def ground(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Ground]:
    """A store of each kind."""
    if request.param == "memory":
        made = Ground(MemoryFiles(lambda who, what: (who, what) in made.used, lambda: made.now))
        yield made
        return
    await migrate.up(database, "engine")
    store = PostgresStore(database, "engine")
    yield Ground(store.files, database)
    await store.close()


async def parts(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def whole(store: FileStore, file_id: str, tenant_id: str = TENANT) -> bytes:
    return b"".join([chunk async for chunk in await read(store, tenant_id, file_id)])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
async def test_what_was_written_is_read_under_its_hash(ground: Ground, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    stored = await write(ground.store, TENANT, parts(content), MOST)
    assert stored == Stored(hashlib.sha256(content).hexdigest(), size)
    assert await whole(ground.store, stored.file_id) == content


async def test_a_file_is_its_tenants_own(ground: Ground) -> None:
    stored = await write(ground.store, TENANT, parts(b"secret"), MOST)
    with pytest.raises(MissingFile):
        await read(ground.store, OTHER, stored.file_id)
    assert await write(ground.store, OTHER, parts(b"secret"), MOST) == stored
    assert await whole(ground.store, stored.file_id, OTHER) == b"secret"


async def test_the_same_bytes_are_kept_once_by_whoever_writes_them_at_a_time(
    ground: Ground,
) -> None:
    content = b"y" * (CHUNK_BYTES + 3)
    made = await asyncio.gather(
        *(write(ground.store, TENANT, parts(content), MOST) for _ in range(6))
    )
    assert len(set(made)) == 1
    assert await whole(ground.store, made[0].file_id) == content
    await ground.later(2 * HOUR_S)
    await ground.refer(made[0].file_id)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0, "the other uploads are gone already"


async def test_what_is_too_large_leaves_nothing(ground: Ground) -> None:
    with pytest.raises(FileTooLarge, match="PERDURE_FILE_BYTES_MAX"):
        await write(ground.store, TENANT, parts(b"x" * (2 * CHUNK_BYTES)), 2 * CHUNK_BYTES - 1)
    await ground.later(2 * HOUR_S)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0


async def test_a_source_that_breaks_off_leaves_nothing(ground: Ground) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 * CHUNK_BYTES)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await write(ground.store, TENANT, broken(), MOST)
    await ground.later(2 * HOUR_S)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0


async def test_an_upload_whose_writer_died_is_swept_and_a_young_one_is_not(ground: Ground) -> None:
    await ground.store.begin(TENANT, "dead")
    await ground.store.append("dead", 0, b"half")
    assert await ground.store.sweep_files(HOUR_S, 100) == 0
    await ground.later(2 * HOUR_S)
    await ground.store.begin(TENANT, "young")
    await ground.store.append("young", 0, b"half")
    assert await ground.store.sweep_files(HOUR_S, 100) == 1
    assert await ground.store.chunk("dead", 0) is None
    assert await ground.store.chunk("young", 0) == b"half"


async def test_a_file_is_swept_when_nothing_has_referred_to_it_for_long(ground: Ground) -> None:
    stored = await write(ground.store, TENANT, parts(b"kept"), MOST)
    await ground.refer(stored.file_id)
    for _ in range(3):
        await ground.later(10 * HOUR_S)
        assert await ground.store.sweep_files(HOUR_S, 100) == 0
    await ground.purge()
    assert await ground.store.sweep_files(HOUR_S, 100) == 0, "it is not long that nobody refers"
    await ground.later(HOUR_S / 2)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0
    await ground.later(HOUR_S)
    assert await ground.store.sweep_files(HOUR_S, 100) == 1
    with pytest.raises(MissingFile):
        await whole(ground.store, stored.file_id)


async def test_what_is_referred_to_again_or_written_again_stays(ground: Ground) -> None:
    again = await write(ground.store, TENANT, parts(b"again"), MOST)
    new = await write(ground.store, TENANT, parts(b"new"), MOST)
    await ground.later(2 * HOUR_S)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0
    await ground.later(2 * HOUR_S)
    await ground.refer(again.file_id)
    await write(ground.store, TENANT, parts(b"new"), MOST)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0
    assert await whole(ground.store, again.file_id) == b"again"
    assert await whole(ground.store, new.file_id) == b"new"


async def test_another_tenants_execution_keeps_no_file(ground: Ground) -> None:
    stored = await write(ground.store, TENANT, parts(b"mine"), MOST)
    await ground.refer(stored.file_id, OTHER)
    assert await ground.store.sweep_files(HOUR_S, 100) == 0
    await ground.later(2 * HOUR_S)
    assert await ground.store.sweep_files(HOUR_S, 100) == 1


async def test_a_file_that_goes_while_it_is_read_is_not_taken_for_whole(ground: Ground) -> None:
    stored = await write(ground.store, TENANT, parts(b"z" * (3 * CHUNK_BYTES)), MOST)
    reading = await read(ground.store, TENANT, stored.file_id)
    await anext(reading)
    await ground.store.sweep_files(HOUR_S, 100)
    await ground.later(2 * HOUR_S)
    assert await ground.store.sweep_files(HOUR_S, 100) == 1
    with pytest.raises(MissingFile, match="deleted while"):
        [chunk async for chunk in reading]
