"""The smallest real run of a benchmark: the shell's own against PostgreSQL."""

import asyncpg

from bench import journal


async def test_the_journal_is_measured_and_leaves_nothing_behind(database: str) -> None:
    found = await journal.measure(database, 0.3)
    assert found.events_per_s > 0
    assert found.copied_per_s > 0 and found.in_batches_per_s > 0
    assert found.ratio == found.events_per_s / found.copied_per_s
    assert 1 <= found.rows_per_batch <= 500
    assert found.bytes_per_row > len(journal.TEXT)
    connection = await asyncpg.connect(database)
    try:
        left = await connection.fetchval(
            "select (select count(*) from pg_namespace where nspname = $1)"
            " + (select count(*) from pg_roles where rolname in ($1 || '_shell', $1 || '_api'))",
            journal.NAME,
        )
    finally:
        await connection.close()
    assert left == 0


def test_the_commands_that_lie_ready_are_numbered_without_a_gap() -> None:
    broker = journal.ready(1_000)
    records = broker.records(journal.COMMANDS_TOPIC)
    assert len(records) == 1_000
    for partition in range(journal.PARTITIONS):
        mine = [dict(r.headers) for r in records if r.partition == partition]
        numbers = [int(h["ce_id"].rpartition(b"/")[2].split(b".")[0]) for h in mine]
        assert numbers == list(range(1, len(mine) + 1))
