"""The rows of definitions in a real PostgreSQL: versions, the draft, the deployment."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.decider import Lookup, Recorded, Rejected
from perdure_common.shell.ports import ShardCommit
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.workflows import Command, NoteDeployment
from perdure_engine.definition import load
from perdure_engine.workflows.decider import decider
from perdure_engine.workflows.state import Definition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MIGRATIONS = Path(__file__).parents[3] / "migrations"
TENANT = "00000000-0000-7000-8000-000000000001"
ID = "0190f3c0-0000-7000-8000-000000000001"


class Workflows:
    """The core on a real store, without a bus: what it decides is written."""

    def __init__(self, store: PostgresStore, connection: Any) -> None:
        self.store = store
        self.connection = connection
        self.state: Definition = decider.initial
        self.version = 0
        self.epoch = 0

    async def does(self, *commands: Command) -> None:
        """Let all the commands be decided and written in one batch."""
        if not self.epoch:
            self.epoch = (await self.store.claim(["engine/0"], "test"))[0].epoch
        batch = ShardCommit("engine/0", self.epoch, 1, 1)
        for command in commands:
            decision = decider.decide(self.state, command, {}, NOW)
            assert not isinstance(decision, Rejected), decision.reason
            for event in decision:
                self.state, self.version = decider.evolve(self.state, event), self.version + 1
                at = NOW + timedelta(days=self.version)
                recorded = Recorded(event, TENANT, ID, self.version, at)
                batch.upserts += decider.project(self.state, recorded)
        await self.store.commit([batch])

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(sql)]


@pytest.fixture
async def workflows(database: str) -> AsyncIterator[Workflows]:
    await migrate.up(database, "engine")
    store = PostgresStore(database, "engine")
    connection: Any = await asyncpg.connect(database)
    await connection.execute("SET search_path TO engine")
    try:
        yield Workflows(store, connection)
    finally:
        await connection.close()
        await store.close()


def definition(*node_ids: str) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [
        {
            "node_id": "hook",
            "node_type": "TRIGGER",
            "node_subtype": "WEBHOOK",
            "parameters": {"path": "/orders"},
        },
    ]
    for node_id in node_ids:
        values = {"total": "{{ $json.price * 1.50 }}", "rate": 1e3}
        nodes.append(
            {
                "node_id": node_id,
                "node_type": "ACTION",
                "node_subtype": "SET",
                "parameters": {"values": values},
                "retry_wait_time": 0.5,
                "position_x": 120,
            }
        )
    connections = [{"source_node_id": "hook", "target_node_id": each} for each in node_ids]
    return {"name": "orders", "tags": ["shop"], "nodes": nodes, "connections": connections}


def save(*node_ids: str) -> SaveWorkflow:
    return SaveWorkflow(workflow_id=ID, definition=definition(*node_ids), saved_by="ann")


DRAFT = """
    SELECT n.node_id, n.position, n.webhooks, n.created_at, n.updated_at
    FROM nodes n JOIN workflows w ON w.id = n.workflow_id AND w.newest_version = n.workflow_version
    ORDER BY n.position
"""

EDGES = """
    SELECT c.source_node_id, c.target_node_id, c.edge_index FROM node_connections c
    JOIN workflows w ON w.id = c.workflow_id AND w.newest_version = c.workflow_version
    ORDER BY c.edge_index
"""


async def test_the_draft_shows_the_newest_version_and_says_how_old_its_nodes_are(
    workflows: Workflows,
) -> None:
    await workflows.does(save("a", "b"))
    await workflows.does(save("b", "c"))
    first, second = NOW + timedelta(days=1), NOW + timedelta(days=2)
    assert await workflows.rows(DRAFT) == [
        ("hook", 0, ["/orders"], first, second),
        ("b", 1, [], first, second),
        ("c", 2, [], second, second),
    ]
    assert await workflows.rows(EDGES) == [("hook", "b", 0), ("hook", "c", 1)]
    assert await workflows.rows("SELECT name, newest_version, version, tags FROM workflows") == [
        ("orders", 2, "2", ["shop"])
    ]


async def test_versions_saved_in_one_batch_are_all_frozen(workflows: Workflows) -> None:
    await workflows.does(save("a"), save("a", "b"), save("a", "b"))
    found = await workflows.rows("SELECT version, sha256 FROM workflow_versions ORDER BY version")
    assert found == [
        (1, load(definition("a")).sha256),
        (2, load(definition("a", "b")).sha256),
    ]
    assert len(await workflows.rows(DRAFT)) == 3


async def test_a_frozen_version_is_looked_up_as_it_was_saved(workflows: Workflows) -> None:
    await workflows.does(save("a"))
    lookup = Lookup(
        "workflow_versions", {"workflow_id": ID, "version": 1}, ("definition", "sha256"), True
    )
    ((row,),) = await workflows.store.look_up(TENANT, [lookup])
    assert row["definition"] == definition("a")
    assert load(row["definition"], row["sha256"]).by_id["a"].retry_wait_time_s == 0.5


async def test_saving_leaves_the_deployment_as_it_stands(workflows: Workflows) -> None:
    await workflows.does(save("a"))
    await workflows.does(
        NoteDeployment(workflow_id=ID, status="DEPLOYING", by="bob"),
        NoteDeployment(workflow_id=ID, status="ACTIVE", version=1, by="bob", config={"a": 1}),
    )
    await workflows.does(save("b"))
    sql = """
        SELECT deployment_status, deployment_version, deployed_by, deployed_at, newest_version,
            latest_execution_status, user_id
        FROM workflows
    """
    deployed_at = NOW + timedelta(days=3)
    assert await workflows.rows(sql) == [
        ("ACTIVE", 1, "bob", deployed_at, 2, "IDLE", "ann"),
    ]
    await workflows.does(NoteDeployment(workflow_id=ID, status="IDLE"))
    assert await workflows.rows("SELECT deployment_status, undeployed_at FROM workflows") == [
        ("IDLE", NOW + timedelta(days=5))
    ]


def signed(handle: str) -> dict[str, Any]:
    made = definition()
    made["nodes"][0]["parameters"] |= {"auth": "standard", "credential": handle}
    return made


def added(node_id: str) -> dict[str, Any]:
    """Return the nodes and connections with a node more, behind the hook that has a credential."""
    made = definition(node_id)
    made["nodes"][0] = signed("orders")["nodes"][0]
    return {"nodes": made["nodes"], "connections": made["connections"]}


async def test_the_draft_names_the_credentials_of_its_nodes_those_of_before_too(
    workflows: Workflows,
) -> None:
    credentials = "SELECT node_id, credentials FROM nodes ORDER BY position"
    named = [("hook", '{"credential": "orders"}'), ("a", "{}")]
    await workflows.does(
        SaveWorkflow(workflow_id=ID, definition=signed("shop")),
        SaveWorkflow(workflow_id=ID, definition=signed("orders") | added("a")),
    )
    assert await workflows.rows(credentials) == named
    await workflows.connection.execute("UPDATE nodes SET credentials = '{}'")
    text = (MIGRATIONS / "engine/0027_credentials_of_nodes.sql").read_text(encoding="utf-8")
    up = text.partition("-- migrate:up")[2].partition("-- migrate:down")[0]
    await workflows.connection.execute(up)
    assert await workflows.rows(credentials) == named
