"""The journal in SQL: a row for each event, whatever entries they are kept in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.shell.ports import JournalRow, ShardCommit

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COLUMNS = "shard, seq, stream, version, tenant_id, type, data, meta, recorded_at"


def row(seq: int, stream: str, version: int, meta: str = '{"cause":"x"}') -> JournalRow:
    data = f'{{"n": {version}.0, "b": "\\u0000 😀", "b": 12345678901234567890123}}'
    return JournalRow("0", seq, stream, version, "tenant", f"shop.v{version}.v1", data, meta, NOW)


ROWS = [
    row(1, "s", 1),
    row(2, "s", 2),
    row(3, "s", 3, '{"cause":"y"}'),
    row(4, "t", 1),
    row(5, "s", 4),
    row(6, "s", 5, '{"cause":"z"}'),
]


@pytest.fixture
async def shown(postgres: PostgresStore, shop: str) -> AsyncIterator[Any]:
    """A connection to a schema whose journal has `ROWS`, written as one batch."""
    await postgres.claim(["0"], "me")
    await postgres.commit([ShardCommit("0", 1, 1, 1, rows=ROWS)])
    connection: Any = await asyncpg.connect(shop, server_settings={"search_path": "shop"})
    yield connection
    await connection.close()


async def rows(connection: Any, sql: str, *arguments: object) -> list[JournalRow]:
    return [JournalRow(*each) for each in await connection.fetch(sql, *arguments)]


async def test_rows_of_a_stream_that_come_one_after_the_other_are_one_entry(shown: Any) -> None:
    entries = await shown.fetch("SELECT seq, stream, version, events FROM journal_entry ORDER BY 1")
    assert [tuple(entry) for entry in entries] == [(1, "s", 1, 3), (4, "t", 1, 1), (5, "s", 4, 2)]


async def test_the_journal_shows_every_event_as_it_was_written(shown: Any) -> None:
    assert await rows(shown, f"SELECT {COLUMNS} FROM journal ORDER BY seq") == ROWS


async def test_events_of_a_stream_are_had_after_any_version(shown: Any) -> None:
    mine = [each for each in ROWS if each.stream == "s"]
    for version in range(7):
        sql = f"SELECT {COLUMNS} FROM events_after('s', $1)"
        assert await rows(shown, sql, version) == mine[version:]


async def test_looking_for_a_stream_reads_no_other(shown: Any) -> None:
    await shown.execute("SET enable_seqscan = off")
    for sql in ("SELECT * FROM journal WHERE stream = 's'", "SELECT * FROM events_after('s', 3)"):
        plan = "\n".join(line[0] for line in await shown.fetch(f"EXPLAIN {sql}"))
        assert "journal_stream_version_key" in plan
        assert "Seq Scan" not in plan


async def test_who_writes_the_journal_itself_writes_an_entry_for_each_event(shown: Any) -> None:
    """As the batches of the version before do, which runs on until it is replaced."""
    late = row(7, "t", 2)
    await shown.execute(
        f"INSERT INTO journal ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *(getattr(late, name) for name in COLUMNS.split(", ")),
    )
    assert await rows(shown, f"SELECT {COLUMNS} FROM events_after('t', 1)") == [late]
