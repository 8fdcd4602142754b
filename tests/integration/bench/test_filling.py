"""The tables are filled with whole, distinct executions, and keep their indexes."""

from typing import Any

import asyncpg
import orjson
from perdure_common import migrate
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.shell.ports import Delivery, JournalRow, ShardCommit
from perdure_contracts.message import NAMES
from playing import BEGAN, EXECUTION_ID, http, node, play, workflow

from bench import filling

TENANT = "tenant"
COPIES = 50
DEFINITION = workflow([http("h"), node("end")], ["t>h", "h>end"])


async def write_one(url: str) -> dict[str, int]:
    """Write an execution as the shell does; return how many rows each table has of it."""
    played = play(DEFINITION, {"n": 1})
    played.answer("h")
    rows = [
        JournalRow(
            "0", n, EXECUTION_ID, n, TENANT, NAMES[type(e)], orjson.dumps(e).decode(), "{}", BEGAN
        )
        for n, e in enumerate(played.events, 1)
    ]
    store = PostgresStore(url, "engine")
    epoch = (await store.claim(["0"], "test"))[0].epoch
    eager = [u for u in played.upserts if not u.lazy]
    lazy = [u for u in played.upserts if u.lazy and u.table != "workflows"]
    delivery = Delivery(TENANT, "/outside", EXECUTION_ID, "{}")
    batch = ShardCommit("0", epoch, 1, 1, rows=rows, upserts=eager, deliveries=[delivery])
    await store.commit([batch])
    await store.commit([ShardCommit("0", epoch, 1 + len(rows), 1, upserts=lazy)])
    await store.close()
    logs = len({u.key["id"] for u in lazy if u.table == "workflow_execution_logs"})
    return {
        "delivery": 1,
        "journal_entry": 1,
        "node_executions": 3,
        "workflow_execution_logs": logs,
        "workflow_executions": 1,
    }


async def picture(connection: Any) -> list[tuple[Any, ...]]:
    """Return every index and constraint of the schema."""
    rows = await connection.fetch("""
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'engine' UNION ALL
        SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'engine'::regnamespace ORDER BY 1
    """)
    return [tuple(row) for row in rows]


async def test_each_copy_is_a_whole_execution_of_its_own(database: str) -> None:
    await migrate.up(database, "engine")
    of_one = await write_one(database)
    connection: Any = await asyncpg.connect(database)
    try:
        before = await picture(connection)
        added = await filling.fill(connection, EXECUTION_ID, 0, 19)
        more = await filling.fill(connection, EXECUTION_ID, 20, COPIES - 1)
        assert {name: added[name] + more[name] for name in added} == {
            name: COPIES * rows for name, rows in of_one.items()
        }
        assert await picture(connection) == before
        streams = await connection.fetch("""
            SELECT stream, array_agg(seq ORDER BY version) AS seqs, min(shard) AS shard
            FROM engine.journal WHERE shard LIKE 'filled/%' GROUP BY stream
        """)
        assert len(streams) == COPIES
        numbers = {(row["shard"], seq) for row in streams for seq in row["seqs"]}
        events = await connection.fetchval(
            "SELECT count(*) FROM engine.journal WHERE stream = $1", EXECUTION_ID
        )
        assert len(numbers) == COPIES * events
        for name, column in (("node_executions", "execution_id"), ("journal_entry", "stream")):
            strays = await connection.fetchval(
                f"SELECT count(*) FROM engine.{name} t WHERE {column} <> $1"
                " AND strpos(t::text, $1) > 0",
                EXECUTION_ID,
            )
            assert strays == 0, name
        ids = await connection.fetchval("SELECT count(DISTINCT id) FROM engine.node_executions")
        assert ids == (COPIES + 1) * of_one["node_executions"]
        left = await connection.fetchval("SELECT to_regclass('engine.bench_ids')")
        assert left is None
    finally:
        await connection.close()
