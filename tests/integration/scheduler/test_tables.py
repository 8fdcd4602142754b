"""The scheduler's rows in a real PostgreSQL: swaps, lookups, and the history."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.adapters.postgres_reading import kinds
from perdure_common.adapters.postgres_types import column
from perdure_common.decider import Decider, Recorded, Rejected
from perdure_common.ids import sha256_of_json
from perdure_common.shell.ports import ShardCommit
from perdure_contracts.scheduler import (
    DeployWorkflow,
    ReceiveTrigger,
    UndeployWorkflow,
)
from perdure_scheduler.app import deployments, paths, triggers
from perdure_scheduler.cron_route import OWN
from perdure_scheduler.state import Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = "00000000-0000-7000-8000-000000000001"
W1 = "0190f3c0-0000-7000-8000-000000000001"
W2 = "0190f3c0-0000-7000-8000-000000000002"


DECIDERS: tuple[Decider[Any, Any, Any], ...] = (deployments, triggers, paths)


class Scheduler:
    """The scheduler's core on a real store, without a bus: what it decides is written."""

    def __init__(self, store: PostgresStore, connection: Any) -> None:
        self.store = store
        self.connection = connection
        self._states: dict[str, tuple[Any, int]] = {}
        self._epoch = 0

    async def does(self, *commands: Any) -> list[tuple[Any, ...] | Rejected]:
        """Let all the commands be decided and written in one batch, and what they ask after it."""
        decisions, asked = await self._batch(*commands)
        while asked:
            _, asked = await self._batch(*asked)
        return decisions

    async def _batch(self, *commands: Any) -> tuple[list[tuple[Any, ...] | Rejected], list[Any]]:
        if not self._epoch:
            self._epoch = (await self.store.claim(["triggers/0"], "test"))[0].epoch
        batch = ShardCommit("triggers/0", self._epoch, 1, 1)
        decisions: list[tuple[Any, ...] | Rejected] = []
        asked: list[Any] = []
        for command in commands:
            decider = next(d for d in DECIDERS if isinstance(command, d.commands))
            stream = decider.stream_of(command)
            state, version = self._states.get(stream, (decider.initial, 0))
            lookups = decider.facts(state, command)
            found = await self.store.look_up(TENANT, list(lookups.values()))
            decision = decider.decide(state, command, dict(zip(lookups, found, strict=True)), NOW)
            decisions.append(decision)
            for event in () if isinstance(decision, Rejected) else decision:
                state, version = decider.evolve(state, event), version + 1
                at = NOW + timedelta(seconds=version)
                recorded = Recorded(event, TENANT, stream, version, at)
                batch.upserts += decider.project(state, recorded)
                sent = decider.route(state, recorded)
                asked += [each.message for each in sent if each.topic == OWN]
            self._states[stream] = state, version
        await self.store.commit([batch])
        return decisions, asked

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(sql)]

    async def starts(self, kind: str, subject: str, **more: Any) -> list[tuple[str, int, str]]:
        """Send a trigger event and return what it starts."""
        (decision,) = await self.does(trigger(kind, subject, **more))
        assert not isinstance(decision, Rejected), decision
        return [(s.workflow_id, s.version, s.node_id) for part in decision for s in part.starts]


@pytest.fixture
async def scheduler(database: str) -> AsyncIterator[Scheduler]:
    await migrate.up(database, "scheduler")
    store = PostgresStore(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute("SET search_path TO scheduler")
    try:
        yield Scheduler(store, connection)
    finally:
        await connection.close()
        await store.close()


def node(subtype: str, node_id: str, **parameters: Any) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "node_type": "TRIGGER",
        "node_subtype": subtype,
        "parameters": parameters,
    }


def deploy(
    version: int, *nodes: Mapping[str, Any], workflow_id: str = W1, name: str = "triage"
) -> DeployWorkflow:
    definition = {"name": name, "nodes": list(nodes)}
    return DeployWorkflow(
        workflow_id=workflow_id,
        version=version,
        sha256=sha256_of_json(definition),
        definition=definition,
        config={"note": "nul \0"},
    )


_sent = 0


def trigger(kind: str, subject: str, **more: Any) -> ReceiveTrigger:
    global _sent
    _sent += 1
    fields: dict[str, Any] = {
        "tenant_id": TENANT,
        "source": "/test",
        "event_id": str(_sent),
        "event_type": f"perdure.trigger.{kind}",
        "subject": subject,
        "time": "2026-01-01T00:00:00Z",
        "data": {},
    }
    return ReceiveTrigger(**{**fields, **more})


SERVING = """
    SELECT deployment_version, node_id FROM trigger_index
    WHERE deployment_status = 'active' ORDER BY deployment_version, node_id
"""


async def test_versions_are_swapped_forth_and_back(scheduler: Scheduler) -> None:
    first = deploy(1, node("MANUAL", "start"))
    second = deploy(2, node("MANUAL", "start"), node("WEBHOOK", "hook", path="/x", auth="none"))
    await scheduler.does(first)
    assert await scheduler.rows(SERVING) == [(1, "start")]
    await scheduler.does(second)
    assert await scheduler.rows(SERVING) == [(2, "hook"), (2, "start")]
    await scheduler.does(first)
    assert await scheduler.rows(SERVING) == [(1, "start")]
    await scheduler.does(second)
    await scheduler.does(first, UndeployWorkflow(workflow_id=W1), second)
    assert await scheduler.rows(SERVING) == [(2, "hook"), (2, "start")]


async def test_two_versions_of_a_node_can_never_serve(scheduler: Scheduler) -> None:
    await scheduler.does(deploy(1, node("MANUAL", "a")))
    await scheduler.does(deploy(2, node("MANUAL", "a")))
    with pytest.raises(asyncpg.ExclusionViolationError):
        await scheduler.connection.execute("UPDATE trigger_index SET deployment_status = 'active'")


async def test_a_path_belongs_to_the_first_even_while_its_deployment_waits(
    scheduler: Scheduler,
) -> None:
    mailbox = {"host": "imap.example.com", "user": "u", "credential": "c"}
    hook = node("WEBHOOK", "hook", path="/orders", auth="none")
    mail = node("EMAIL", "mail", address="a@example.com", mailbox=mailbox)
    await scheduler.does(deploy(1, hook, mail))
    assert await scheduler.rows("SELECT DISTINCT deployment_status FROM trigger_index") == [
        ("pending",)
    ]
    await scheduler.does(deploy(1, hook, workflow_id=W2, name="other"))
    (failed,) = await scheduler.rows(
        "SELECT error_message FROM workflow_deployment_history "
        "WHERE deployment_action = 'DEPLOY_FAILED'"
    )
    assert failed[0].startswith("path_taken: node 'hook': POST /orders belongs to node 'hook'")


async def test_events_find_what_serves_and_nothing_else(scheduler: Scheduler) -> None:
    github = node("GITHUB", "gh", repository="acme/*", events=["issues"])
    put = node("WEBHOOK", "hook", path="/orders", auth="none", methods="PUT")
    await scheduler.does(
        deploy(1, node("WEBHOOK", "hook", path="/orders", auth="none"), github),
        deploy(7, put, workflow_id=W2, name="other"),
    )
    assert await scheduler.starts("webhook", "/orders") == [(W1, 1, "hook"), (W2, 7, "hook")]
    issues = {"extensions": {"event": "issues"}}
    assert await scheduler.starts("github", "Acme/Shop", **issues) == [(W1, 1, "gh")]
    assert await scheduler.starts("github", "Acme/Shop", extensions={"event": "push"}) == []
    assert await scheduler.starts("manual", "triage") == [(W1, 1, "hook")]
    assert await scheduler.starts("manual", W2) == [(W2, 7, "hook")]
    await scheduler.does(UndeployWorkflow(workflow_id=W1))
    assert await scheduler.starts("webhook", "/orders") == [(W2, 7, "hook")]
    junk = (("x\0", "hook"), 1), ((W1, "\0"), 1), ((W2, "hook"), 2**40)
    taken = [((W1, "hook"), 1), ((W2, "hook"), 3), *junk]
    nodes, versions = zip(*taken, strict=True)
    both = await scheduler.starts("webhook", "/orders", nodes=nodes, versions=versions)
    assert both == [(W1, 1, "hook"), (W2, 7, "hook")], "one as it took the request, one as it is"
    await scheduler.connection.execute("UPDATE trigger_index SET is_active = false")
    assert await scheduler.starts("webhook", "/orders") == []


async def test_the_history_tells_what_happened_in_order(scheduler: Scheduler) -> None:
    await scheduler.does(deploy(1, node("MANUAL", "a")))
    await scheduler.does(deploy(2, node("EMAIL", "clock")), UndeployWorkflow(workflow_id=W1))
    actions = await scheduler.rows(
        "SELECT deployment_action, to_status FROM workflow_deployment_history "
        "ORDER BY stream_version, deployment_action"
    )
    assert actions == [
        ("DEPLOY", "DEPLOYING"),
        ("DEPLOY_STARTED", "DEPLOYING"),
        ("DEPLOY_COMPLETED", "ACTIVE"),
        ("DEPLOY_STARTED", "DEPLOYING"),
        ("UPDATE", "DEPLOYING"),
        ("DEPLOY_FAILED", "ACTIVE"),
        ("UNDEPLOY", "UNDEPLOYING"),
        ("UNDEPLOY_STARTED", "UNDEPLOYING"),
        ("UNDEPLOY_COMPLETED", "IDLE"),
    ]
    (told,) = await scheduler.rows(
        "SELECT error_message, deployment_logs->0->>'step' FROM workflow_deployment_history "
        "WHERE deployment_action = 'DEPLOY_FAILED'"
    )
    assert "node 'clock' (EMAIL)" in told[0]
    assert told[1] == "validate"


async def test_what_was_said_of_an_undeployment_stands_in_all_its_rows_also_in_those_of_before(
    scheduler: Scheduler, database: str
) -> None:
    await scheduler.does(
        deploy(1, node("MANUAL", "a")), deploy(1, node("MANUAL", "a"), workflow_id=W2)
    )
    await scheduler.does(
        UndeployWorkflow(workflow_id=W1, cancel_running=True), UndeployWorkflow(workflow_id=W2)
    )
    told = (
        "SELECT workflow_id::text, deployment_action, deployment_config->>'cancel_running' "
        "FROM workflow_deployment_history WHERE deployment_action LIKE 'UNDEPLOY%' "
        "ORDER BY workflow_id, stream_version, deployment_action"
    )
    names = ("UNDEPLOY", "UNDEPLOY_STARTED", "UNDEPLOY_COMPLETED")
    rows = [(id, name, said) for id, said in ((W1, "true"), (W2, None)) for name in names]
    assert await scheduler.rows(told) == rows
    await scheduler.connection.execute(
        "UPDATE workflow_deployment_history SET deployment_config = '{}' "
        "WHERE deployment_action = 'UNDEPLOY_COMPLETED'"
    )
    await scheduler.connection.execute(
        "INSERT INTO journal (shard, seq, stream, version, tenant_id, type, data, meta, "
        "recorded_at) SELECT 'triggers/0', row_number() OVER (), workflow_id::text, "
        "stream_version, tenant_id, "
        "'scheduler.workflow-undeployed.v1', "
        "jsonb_build_object('version', 1, 'cancel_running', workflow_id = $1)::text, '{}', now() "
        "FROM workflow_deployment_history WHERE deployment_action = 'UNDEPLOY_COMPLETED'",
        W1,
    )
    await migrate.down(database, "scheduler", "scheduler/0010_totals")
    await migrate.up(database, "scheduler")
    assert await scheduler.rows(told) == rows


async def test_a_delivery_lists_the_executions_it_started(scheduler: Scheduler) -> None:
    await scheduler.does(
        deploy(
            1,
            node("WEBHOOK", "a", path="/x", auth="none"),
            node("WEBHOOK", "b", path="/x", auth="none", methods="PUT"),
        )
    )
    sent = trigger("webhook", "/x", body_sha256="0" * 64)
    (parts,) = await scheduler.does(sent)
    assert not isinstance(parts, Rejected)
    (again,) = await scheduler.does(sent)
    assert isinstance(again, Rejected) and again.code == "duplicate_trigger"
    stored = await scheduler.rows(
        "SELECT id, subtype, status, jsonb_array_length(executions), executions->>0 "
        "FROM trigger_deliveries"
    )
    first = parts[0].starts[0].execution_id
    assert stored == [(sent.event_id, "WEBHOOK", "accepted", 2, first)]


@pytest.mark.parametrize(
    ("kind", "subject", "index"),
    [
        ("webhook", "/7", "trigger_index_lookup_idx"),
        ("github", "acme/shop", "trigger_index_lookup_idx"),
        ("manual", "name 7", "trigger_index_name_idx"),
        ("manual", W1, "trigger_index_node_key"),
    ],
)
async def test_a_lookup_is_one_scan_of_its_index(
    scheduler: Scheduler, kind: str, subject: str, index: str
) -> None:
    connection = scheduler.connection
    await connection.execute(
        """
        INSERT INTO trigger_index (
            id, tenant_id, workflow_id, workflow_name, deployment_version, node_id,
            trigger_type, trigger_subtype, index_key
        )
        SELECT uuidv7(), $1, uuidv7(), 'name ' || n, 1, 'start', 'TRIGGER', 'WEBHOOK', '/' || n
        FROM generate_series(1, 5000) AS n
        """,
        TENANT,
    )
    await connection.execute("ANALYZE trigger_index; SET plan_cache_mode = force_generic_plan")
    catalogue = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'trigger_index'::regclass AND attnum > 0"
    )
    table = {n: column(n, of, is_array=False, required=False) for n, of in catalogue}
    lookups = list(triggers.facts(Trigger(), trigger(kind, subject)).values())
    plan = ""
    for n, (shape, places) in enumerate(kinds(lookups).items()):
        arguments: list[object] = [TENANT]
        found = shape.query(table, [lookups[place] for place in places], arguments)
        await connection.execute(f"PREPARE lookup{n} AS SELECT {found}")
        nulls = ", ".join("NULL" for _ in arguments)
        lines = await connection.fetch(f"EXPLAIN EXECUTE lookup{n} ({nulls})")
        plan += "\n".join(line[0] for line in lines)
    assert index in plan, plan
    assert "Seq Scan" not in plan
