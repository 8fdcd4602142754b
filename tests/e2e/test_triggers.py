"""Triggers of all kinds on real servers: foreign topics, going back, resting, filters that fail."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from command_line import Said, perdure
from definitions_for_tests import edge, node
from perdure_contracts.cloudevents import CloudEvent, encode
from platform_stage import Stage

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def workflow(name: str, *triggers: Mapping[str, Any]) -> dict[str, Any]:
    step = node("step", "ACTION.SET", values={"total": "{{ $json.total }}"})
    edges = [edge(str(each["node_id"]), "step") for each in triggers]
    return {"name": name, "nodes": [*triggers, step], "connections": edges}


async def typed(stage: Stage, *words: str) -> Said:
    """Type a command, pointed at the stage."""
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def ended(stage: Stage, workflow_id: str) -> tuple[str, str]:
    """Return how the newest deployment ended, and why."""

    async def found() -> Any:
        rows = await stage.rows(
            "select deployment_action, coalesce(error_message, '') as why "
            "from scheduler.workflow_deployment_history where workflow_id = $1 "
            "order by stream_version desc limit 1",
            workflow_id,
        )
        action = rows[0]["deployment_action"] if rows else ""
        done = action in ("DEPLOY_COMPLETED", "DEPLOY_FAILED")
        return (action, rows[0]["why"]) if done else None

    return await stage.until(found, "the end of the deployment")


async def starts(stage: Stage, workflow_id: str) -> list[Any]:
    """Return the `total`s of the data that started executions."""
    rows = await stage.rows(
        "select data::jsonb->'data' as data from scheduler.journal "
        "where type = 'scheduler.trigger-accepted.v1' "
        "and data::jsonb->'starts'->0->>'workflow_id' = $1",
        workflow_id,
    )
    found: list[Any] = [json.loads(row["data"]) for row in rows]
    totals: list[Any] = [each["total"] if isinstance(each, dict) else each for each in found]
    return sorted(totals, key=str)


async def until_started(stage: Stage, workflow_id: str, count: int) -> None:
    async def found() -> bool:
        rows = await stage.rows(
            "select count(*) as n from engine.workflow_executions where workflow_id = $1",
            workflow_id,
        )
        return rows[0]["n"] >= count

    await stage.until(found, f"{count} executions")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def topic(stage: Stage) -> AsyncGenerator[str]:
    name = f"{stage.ground.prefix}-orders"
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.ground.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
        yield name
    finally:
        await admin.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def producer(stage: Stage) -> AsyncGenerator[Any]:
    made = AIOKafkaProducer(bootstrap_servers=stage.ground.kafka_bootstrap, acks="all")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_every_record_of_a_foreign_topic_starts_once_through_kills(
    stage: Stage, topic: str, producer: Any
) -> None:
    await producer.send_and_wait(topic, b'{"total": "before"}')
    definition = workflow(
        "foreign", node("k", "TRIGGER.KAFKA", topic=topic, filter="{{ $json.total !== 'no' }}")
    )
    workflow_id = await stage.deploy(definition)
    assert (await ended(stage, workflow_id))[0] == "DEPLOY_COMPLETED"
    sent: list[str] = []
    for round in range(4):
        for n in range(10):
            total = f"{round}-{n}"
            await producer.send(topic, json.dumps({"total": total}).encode(), partition=n % 2)
            sent.append(total)
        await producer.send(topic, b'{"total": "no"}')
        own = CloudEvent(id=f"c{round}", source="/shop", type="shop.paid", data=b'{"total": "c"}')
        headers, value = encode(own)
        for _ in range(2):  # it is one event by its source and id
            await producer.send(topic, value, headers=list(headers))
        await producer.flush()
        if round < 3:
            await asyncio.sleep(0.4 * round)
            await stage.kill("scheduler")
            stage.begin("scheduler")
            await stage.until_ready(["scheduler"])
    await producer.send_and_wait(topic, b"\xff no JSON", key=b"k")
    await until_started(stage, workflow_id, len(sent) + 4 + 1)
    found = await starts(stage, workflow_id)
    assert sorted(each for each in found if "-" in str(each)) == sorted(sent)
    assert found.count("c") == 4
    assert "before" not in found, "what was there before the trigger starts nothing"


async def test_a_topic_that_is_deleted_is_named_by_the_list_of_triggers(stage: Stage) -> None:
    name = f"{stage.ground.prefix}-short-lived"
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.ground.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
        definition = workflow("short-lived", node("k", "TRIGGER.KAFKA", topic=name))
        workflow_id = await stage.deploy(definition)
        assert (await ended(stage, workflow_id))[0] == "DEPLOY_COMPLETED"
        listed = await typed(stage, "triggers", "list", "--workflow", "short-lived")
        assert "serves" in listed.out, listed
        await admin.delete_topics([name])
        rows = "select code from scheduler.topic_troubles where topic = $1"
        await stage.until(lambda: stage.rows(rows, name), "the trouble")
        listed = await typed(stage, "triggers", "list", "--workflow", "short-lived")
        assert "there is no topic" in " ".join(listed.out.split()), listed
        listed = await typed(stage, "triggers", "list", "--workflow", "short-lived", "--json")
        assert "create it, or allow READ" in json.loads(listed.out)[0]["error_message"]
    finally:
        await admin.close()


async def test_a_topic_that_does_not_exist_fails_the_deployment(stage: Stage) -> None:
    name = f"{stage.ground.prefix}-nowhere"
    workflow_id = await stage.deploy(workflow("nowhere", node("k", "TRIGGER.KAFKA", topic=name)))
    action, why = await ended(stage, workflow_id)
    assert action == "DEPLOY_FAILED" and "topic_not_found" in why and "create it" in why


async def test_an_event_of_any_type_on_our_own_topic_starts_and_a_filter_that_fails_is_shown(
    stage: Stage,
) -> None:
    definition = workflow(
        "typed",
        node("any", "TRIGGER.KAFKA", type="shop.sent"),
        node("bad", "TRIGGER.KAFKA", type="shop.sent", filter="{{ $json.total }}"),
    )
    workflow_id = await stage.deploy(definition)
    event_id = await stage.trigger("", {"total": 9}, type="shop.sent")
    await until_started(stage, workflow_id, 1)
    assert await starts(stage, workflow_id) == [9]
    answer = await stage.rows("select answer from scheduler.delivery where id = $1", event_id)
    assert "trigger-accepted" in answer[0]["answer"]

    async def shown() -> Any:
        rows = await stage.rows(
            "select filter_errors, filter_error from scheduler.trigger_index where node_id = 'bad'"
        )
        return rows[0] if rows[0]["filter_errors"] else None

    row = await stage.until(shown, "the filter's error")
    assert row["filter_errors"] == 1 and "gave int" in row["filter_error"]
    listed = await typed(stage, "triggers", "list", "--workflow", "typed")
    assert "filter failed 1 times" in " ".join(listed.out.split())


async def test_going_back_and_resting_by_the_command_line(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    for version, name in ((1, "one"), (2, "two")):
        file.write_text(json.dumps(workflow("orders", node(name, "TRIGGER.MANUAL"))))
        said = await typed(stage, "workflow", "deploy", str(file))
        assert said.code == 0, said
        assert f"version {version} serves now" in said.out
    back = await typed(stage, "workflow", "rollback", "orders")
    assert back.code == 0 and "version 3 serves now; it is version 1 again" in back.out, back

    async def noted() -> list[Any]:  # by the engine, a moment after the scheduler has said so
        return await stage.rows(
            "select id, deployment_status, deployment_version, deployed_at, undeployed_at, "
            "deployment_config, newest_version from engine.workflows where name = 'orders' "
            "and deployment_status = 'ACTIVE' and deployment_version = 3"
        )

    [row] = await stage.until(noted, "version 3 in the engine's table")
    assert row["newest_version"] == 3 and row["deployed_at"] and row["undeployed_at"] is None
    assert json.loads(row["deployment_config"]) == {"rollback_of": 1}
    served = await stage.rows(
        "select node_id from scheduler.trigger_index where workflow_id = $1 "
        "and deployment_status = 'active'",
        row["id"],
    )
    assert [each["node_id"] for each in served] == ["one"]
    refused = await typed(stage, "workflow", "rollback", "orders", "--to", "7")
    assert refused.code == 1 and "versions that served: 1, 2, 3" in refused.err

    fired = await typed(stage, "triggers", "fire", "orders", "--data", '{"total": 1}')
    assert fired.code == 0 and "starts execution" in fired.out, fired
    assert (await typed(stage, "triggers", "pause", "orders")).code == 0
    resting = await typed(stage, "triggers", "fire", "orders")
    assert resting.code == 1 and "is paused" in resting.err, resting
    assert "paused" in (await typed(stage, "triggers", "list", "--workflow", "orders")).out
    assert (await typed(stage, "triggers", "resume", "orders")).code == 0
    assert (await typed(stage, "triggers", "fire", "orders")).code == 0
    assert (await typed(stage, "workflow", "undeploy", "orders")).code == 0
    gone = await typed(stage, "workflow", "rollback", "orders")
    assert gone.code == 1 and "is not deployed" in gone.err


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("trigger-manual", "hello/start starts execution"),
        ("trigger-kafka", "starts execution"),
        ("trigger-email", "order-mail/mail starts execution"),
        ("deployment", "DEPLOY_COMPLETED"),
    ],
)
async def test_the_command_at_the_end_of_the_page_works(stage: Stage, page: str, says: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    deploys, shows = re.findall(r"^perdure workflow deploy .*$", text, re.MULTILINE)[-1].split(
        " && "
    )
    deployed = await typed(stage, *shlex.split(deploys.replace("examples/", f"{EXAMPLES}/"))[1:])
    assert deployed.code == 0 and "serves" in deployed.out, deployed
    shown = await typed(stage, *shlex.split(shows)[1:])
    assert shown.code == 0 and says in shown.out, shown


async def test_what_runs_is_stopped_with_the_undeployment_if_that_is_asked(stage: Stage) -> None:
    wait = node("wait", "FLOW.WAIT", seconds=3_000)
    whole = {
        "name": "stopped",
        "nodes": [node("go", "TRIGGER.MANUAL"), wait],
        "connections": [edge("go", "wait")],
    }
    workflow_id = await stage.deploy(whole)

    async def with_status(count: int, *status: str) -> None:
        async def found() -> bool:
            rows = await stage.rows(
                "select 1 from engine.workflow_executions where workflow_id = $1 "
                "and status = any ($2)",
                workflow_id,
                list(status),
            )
            return len(rows) == count

        await stage.until(found, f"{count} of {status}")

    for _ in range(3):
        await stage.trigger(workflow_id, {})
    await with_status(3, "RUNNING", "PAUSED")
    said = await typed(stage, "workflow", "undeploy", "stopped", "--cancel-running")
    assert said.code == 0, said
    await with_status(3, "CANCELED")
