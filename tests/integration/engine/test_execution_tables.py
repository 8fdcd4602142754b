"""The rows of executions in a real PostgreSQL: written once, and never back."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest
from msgspec.structs import replace
from perdure_common import migrate
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.decider import Recorded, Upsert
from perdure_common.shell.ports import ShardCommit
from perdure_contracts.engine import SaveWorkflow
from perdure_engine.workflows.decider import decider as definitions
from playing import BEGAN, WORKFLOW_ID, Play, failed, http, node, play, workflow

TENANT = "tenant"


class Tables:
    """Rows written as the shell writes them: a batch at a time, lazy ones when asked."""

    def __init__(self, store: PostgresStore, connection: Any) -> None:
        self.store = store
        self.connection = connection
        self._epoch = 0
        self._written = 0

    async def save(self, definition: dict[str, Any]) -> None:
        """Write the rows of the workflow itself, which executions change."""
        command = SaveWorkflow(workflow_id=WORKFLOW_ID, definition=definition)
        decided = definitions.decide(definitions.initial, command, {}, BEGAN)
        assert isinstance(decided, tuple)
        state = definitions.evolve(definitions.initial, decided[0])
        recorded = Recorded(decided[0], TENANT, WORKFLOW_ID, 1, BEGAN)
        await self._commit(list(definitions.project(state, recorded)))

    async def write(self, played: Play, *, lazy: bool) -> None:
        """Write what was not written yet, the lazy rows after the others or not at all."""
        fresh, self._written = played.upserts[self._written :], len(played.upserts)
        await self._commit([each for each in fresh if not each.lazy])
        if lazy:
            await self._commit([each for each in fresh if each.lazy])

    async def _commit(self, upserts: list[Upsert]) -> None:
        if not self._epoch:
            self._epoch = (await self.store.claim(["engine/0"], "test"))[0].epoch
        batch = ShardCommit("engine/0", self._epoch, 1, 1)
        batch.upserts += upserts
        await self.store.commit([batch])

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(sql)]


@pytest.fixture
async def tables(database: str) -> AsyncIterator[Tables]:
    await migrate.up(database, "engine")
    store = PostgresStore(database, "engine")
    connection: Any = await asyncpg.connect(database)
    await connection.execute("SET search_path TO engine")
    try:
        yield Tables(store, connection)
    finally:
        await connection.close()
        await store.close()


DEFINITION = workflow(
    [http("h", parameters={"method": "POST"}), http("s"), node("end")],
    ["t>h", "t>s", "h>end"],
    log_level="DEBUG",
)
RUNS = "SELECT node_id, run, status, retry_count FROM node_executions ORDER BY node_id, run"


async def test_an_execution_is_shown_while_it_waits_and_when_it_has_ended(tables: Tables) -> None:
    await tables.save(DEFINITION)
    played = play(DEFINITION, {"n": 1, "text": "nul \0"})
    await tables.write(played, lazy=True)
    assert await tables.rows(RUNS) == [
        ("h", 1, "RUNNING", 0), ("s", 1, "RUNNING", 0), ("t", 1, "SUCCESS", 0),
    ]  # fmt: skip
    played.answer("h", error=failed(frames=(("user", "main"),)))
    await tables.write(played, lazy=True)
    assert await tables.rows("SELECT status FROM node_executions WHERE node_id = 'h'") == [
        ("RETRYING",)
    ]
    played.verdict("h", "retry")
    played.answer("h", {"ok": True})
    played.answer("s", {"ok": True})
    await tables.write(played, lazy=True)
    assert await tables.rows(RUNS) == [
        ("end", 1, "SUCCESS", 0), ("h", 1, "SUCCESS", 1),
        ("s", 1, "SUCCESS", 0), ("t", 1, "SUCCESS", 0),
    ]  # fmt: skip
    ((status, data),) = await tables.rows("SELECT status, run_data FROM workflow_executions")
    assert (status, orjson.loads(data)["result"]) == ("SUCCESS", [{"ok": True}, {"ok": True}])
    assert await tables.rows("SELECT latest_execution_status FROM workflows") == [("SUCCESS",)]
    logs = "SELECT event_type, level FROM workflow_execution_logs ORDER BY position"
    told = await tables.rows(logs)
    assert (told[0], told[-1]) == (("workflow_started", "INFO"), ("workflow_completed", "INFO"))
    assert ("step_error", "WARNING") in told


async def test_rows_written_late_do_not_overwrite_an_end(tables: Tables) -> None:
    await tables.save(DEFINITION)
    played = play(DEFINITION, {"n": 1})
    late = [each for each in played.upserts if each.lazy]
    await tables.write(played, lazy=False)
    played.give(played.cancel())
    await tables.write(played, lazy=False)
    again = [replace(each) for each in late if each.table == "node_executions"]
    batch = ShardCommit("engine/0", 1, 1, 1)
    batch.upserts += again
    await tables.store.commit([batch])
    assert len(again) == 2
    assert await tables.rows(RUNS) == [
        ("h", 1, "CANCELED", 0), ("s", 1, "CANCELED", 0), ("t", 1, "SUCCESS", 0),
    ]  # fmt: skip
    claims = await tables.rows("SELECT token, canceled FROM node_claims")
    assert claims == [(played.told_token("h"), True)]


async def test_a_revived_execution_has_both_runs_of_its_nodes(tables: Tables) -> None:
    await tables.save(DEFINITION)
    played = play(DEFINITION, {"n": 1})
    played.answer("h", error=failed())
    played.verdict("h", "give_up")
    await tables.write(played, lazy=True)
    ((status, details),) = await tables.rows(
        "SELECT status, error_details FROM workflow_executions"
    )
    assert (status, orjson.loads(details)["node_id"]) == ("ERROR", "h")
    played.give(played.retry("h"))
    await tables.write(played, lazy=True)
    assert await tables.rows(RUNS) == [
        ("h", 1, "ERROR", 0), ("h", 2, "RUNNING", 0), ("s", 1, "CANCELED", 0),
        ("s", 2, "RUNNING", 0), ("t", 1, "SUCCESS", 0),
    ]  # fmt: skip
    status_sql = "SELECT status, end_time, error_message FROM workflow_executions"
    assert await tables.rows(status_sql) == [("RUNNING", None, None)]
