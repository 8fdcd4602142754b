"""The partitions of the log: made ahead, dropped behind, and replayed without what was dropped."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate, rebuild, replay
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.decider import Rejected
from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, ShardCommit
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.message import NAMES
from perdure_engine.app import service
from perdure_engine.log_partitions import keep
from perdure_engine.workflows.decider import decider as definitions
from playing import EXECUTION_ID, WORKFLOW_ID, node, play, workflow

JANUARY, MARCH = datetime(2026, 1, 31, 23, 59, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


async def partitions(connection: Any) -> list[str]:
    rows = await connection.fetch(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'engine.workflow_execution_logs'::regclass order by 1"
    )
    return [row["relname"].removeprefix("workflow_execution_logs_") for row in rows]


async def written(connection: Any, *instants: datetime) -> None:
    """Write a row of the log at each instant."""
    await connection.executemany(
        "insert into engine.workflow_execution_logs"
        " (id, tenant_id, execution_id, position, event_type, message, created_at)"
        " values (gen_random_uuid(), 't', 'e', 1, 'separator', 'here', $1)",
        [(each,) for each in instants],
    )


async def counts(connection: Any) -> dict[str, int]:
    rows = await connection.fetch(
        "select tableoid::regclass::text as part, count(*) as n"
        " from engine.workflow_execution_logs group by 1"
    )
    return {row["part"].rpartition("logs_")[2]: row["n"] for row in rows}


async def test_months_are_made_ahead_and_dropped_behind(database: str) -> None:
    await migrate.up(database, "engine")
    connection = await asyncpg.connect(database)
    try:
        made, dropped = await keep(database, JANUARY, 30)
        assert ([month.month for month in made], dropped) == ([1, 2, 3], 0)
        assert await partitions(connection) == ["2026_01", "2026_02", "2026_03", "other"]
        assert await keep(database, JANUARY, 30) == ([], 0)
        await written(connection, JANUARY, datetime(2026, 2, 1, tzinfo=UTC), MARCH)
        assert await counts(connection) == {"2026_01": 1, "2026_02": 1, "2026_03": 1}
        # The last row of January may be 30 days old on 2 March at the earliest.
        made, dropped = await keep(database, MARCH, 30)
        assert ([month.month for month in made], dropped) == ([4, 5], 0)
        _, dropped = await keep(database, datetime(2026, 3, 4, tzinfo=UTC), 30)
        assert dropped == 1
        assert await counts(connection) == {"2026_02": 1, "2026_03": 1}
        _, dropped = await keep(database, datetime(2030, 1, 1, tzinfo=UTC), 0)
        assert (dropped, await counts(connection)) == (0, {"2026_02": 1, "2026_03": 1})
    finally:
        await connection.close()


async def test_rows_of_a_month_that_was_not_made_move_into_it(database: str) -> None:
    await migrate.up(database, "engine")
    connection = await asyncpg.connect(database)
    try:
        await written(connection, JANUARY, MARCH, MARCH)
        assert await counts(connection) == {"other": 3}
        await keep(database, MARCH, 0)
        assert await counts(connection) == {"other": 1, "2026_03": 2}
    finally:
        await connection.close()


async def test_cleaning_up_forgets_exactly_what_is_older(database: str) -> None:
    await migrate.up(database, "engine")
    connection = await asyncpg.connect(database)
    try:
        await keep(database, JANUARY, 0)
        days = [datetime(2026, 2, day, tzinfo=UTC) for day in (1, 10, 20)]
        await written(connection, JANUARY, *days, MARCH)
        clean = "select engine.cleanup_old_execution_logs($1, $2)"
        assert await connection.fetchval(clean, 10, datetime(2026, 2, 25, tzinfo=UTC)) == 3
        assert await counts(connection) == {"2026_02": 1, "2026_03": 1}
        assert "2026_01" not in await partitions(connection)
        with pytest.raises(asyncpg.InvalidParameterValueError, match="from 0"):
            await connection.fetchval(clean, -1, MARCH)
        with_now = await connection.fetchval("select engine.cleanup_old_execution_logs(30)")
        assert with_now == 2
    finally:
        await connection.close()


async def journalled(database: str, at: datetime) -> None:
    """Write an execution's journal as the shell would have, at an instant, its workflow's too."""
    double = node("double", "ACTION.SET", parameters={"values": {"n": 2}})
    definition = workflow([double], ["t>double"])
    save = SaveWorkflow(workflow_id=WORKFLOW_ID, definition=definition)
    saved = definitions.decide(definitions.initial, save, {}, at)
    assert not isinstance(saved, Rejected)
    store = PostgresStore(database, "engine")
    try:
        (claim,) = await store.claim(["0"], "tests")
        commit = ShardCommit("0", claim.epoch, claim.next_seq, 1)
        execution = f"{at:%m}-{EXECUTION_ID}"
        whole: list[tuple[str, int, Any]] = []
        if claim.next_seq == 1:
            whole = [(WORKFLOW_ID, version, event) for version, event in enumerate(saved, 1)]
        played = play(definition)
        whole += [(execution, version, event) for version, event in enumerate(played.events, 1)]
        for seq, (stream, version, event) in enumerate(whole, claim.next_seq):
            body = codec.encode_body(event).decode().replace(EXECUTION_ID, execution)
            name = NAMES[type(event)]
            row = JournalRow("0", seq, stream, version, "tenant", name, body, "{}", at)
            commit.rows.append(row)
        commit.projected_seq = claim.next_seq + len(commit.rows) - 1
        await store.commit([commit])
    finally:
        await store.close()


async def test_a_replay_leaves_out_what_was_dropped(database: str) -> None:
    await migrate.up(database, "engine")
    await keep(database, JANUARY, 0)
    await journalled(database, JANUARY)
    await journalled(database, MARCH)
    for table in await _tables(database):
        await rebuild.rebuild(service, database, table)
    assert (await replay.check(service, database)).differences == []
    connection = await asyncpg.connect(database)
    try:
        before = await counts(connection)
        assert set(before) == {"2026_01", "2026_03"}
        _, dropped = await keep(database, datetime(2026, 3, 15, tzinfo=UTC), 30)
        assert dropped == 1
        report = await replay.check(service, database)
        assert (report.differences, report.rows["workflow_execution_logs"]) == (
            [],
            before["2026_03"],
        )
        await connection.execute("delete from engine.workflow_execution_logs")
        done = await rebuild.rebuild(service, database, "workflow_execution_logs")
        assert (done.rows, done.added) == (before["2026_03"], before["2026_03"])
        assert await counts(connection) == {"2026_03": before["2026_03"]}
    finally:
        await connection.close()


async def _tables(database: str) -> list[str]:
    connection = await asyncpg.connect(database)
    try:
        return await replay.tables_of(connection, service)
    finally:
        await connection.close()
