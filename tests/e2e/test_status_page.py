"""One page tells an operator what is stuck: something of each kind is made to be, on real servers.

Each line has to name the thing, say why it is stuck, and what to run next.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from answering_server import answering_server, as_json
from command_line import Said, perdure
from definitions_for_tests import chain, edge, node, request
from mail_server import PASSWORD, USER, mail_server
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from platform_stage import PATIENT, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = b"k" * 32
KEY_TEXT = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
MISTAKE = "engine.while_deciding:fail@1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    """A platform that may reach this machine, with the password of a mailbox."""
    settings = {**PATIENT, "PERDURE_CREDENTIALS_KEY": KEY_TEXT}
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=("127.0.0.0/8",), settings=settings) as made,
    ):
        credentials = PostgresCredentials(ground.database_url, Seal([KEY]))
        await credentials.set(DEFAULT_TENANT, "orders-mailbox", {"password": PASSWORD})
        await credentials.close()
        yield made


async def page(stage: Stage) -> tuple[Said, list[str]]:
    """Return what the page says, as it is shown and as its lines of trouble."""
    said = await asyncio.to_thread(perdure, "status", env=stage.environment)
    asked = await asyncio.to_thread(perdure, "status", "--json", env=stage.environment)
    return said, asked.json["trouble"]


def started_by(name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    """Return a workflow that a trigger starts."""
    step = node("step", "FLOW.NOOP")
    nodes = [trigger, step]
    return {"name": name, "nodes": nodes, "connections": [edge(trigger["node_id"], "step")]}


async def serves(stage: Stage, name: str) -> None:
    """Wait until a workflow's trigger serves."""

    async def found() -> Any:
        return await stage.rows(
            "select 1 from scheduler.trigger_index "
            "where workflow_name = $1 and deployment_status = 'active'",
            name,
        )

    await stage.until(found, f"{name} to serve")


async def topic_is_deleted(stage: Stage) -> None:
    name = f"{stage.ground.prefix}-gone"
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.ground.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
        await stage.deploy(started_by("listens", node("k", "TRIGGER.KAFKA", topic=name)))
        await serves(stage, "listens")
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def mailbox_goes_away(stage: Stage) -> None:
    with mail_server() as imap:
        box = {
            "host": "127.0.0.1", "port": imap.port, "tls": "none", "user": USER,
            "credential": "orders-mailbox", "poll_s": 5,
        }  # fmt: skip
        trigger = node("mail", "TRIGGER.EMAIL", address="orders@shop.example", mailbox=box)
        await stage.deploy(started_by("mails", trigger))
        await serves(stage, "mails")


async def dependency_fails(stage: Stage) -> None:
    async with answering_server() as (server, port):
        server.answer = lambda asked: as_json({}, "503 Service Unavailable")
        await stage.deploy(chain("shop", request("ask", f"http://127.0.0.1:{port}/")))
        for n in range(6):
            await stage.trigger("shop", {"n": n})

        async def opened() -> Any:
            return await stage.rows(
                "select 1 from recovery.recovery_breakers where state <> 'closed'"
            )

        await stage.until(opened, "an open breaker")


async def engine_makes_a_mistake(stage: Stage) -> str:
    workflow_id = await stage.deploy(chain("mistaken", node("calm", "FLOW.NOOP")))

    async def heard() -> Any:
        return await stage.rows(
            "select from engine.workflows where id = $1 and deployment_status = 'ACTIVE'",
            workflow_id,
        )

    await stage.until(heard, "the engine to hear of the deployment")
    # An execution that has begun, so that it has a row: the mistake is made with its answer.
    await stage.deploy(chain("parked", node("wait", "FLOW.WAIT", seconds=4)))
    event = await stage.trigger("parked", {})

    async def begun() -> Any:
        return await stage.executions_of(event)

    [row] = await stage.until(begun, "an execution")
    assert await stage.end("engine") == 0
    await stage.rows(
        "update engine.workflow_executions set start_time = start_time - 120000, "
        "created_at = created_at - interval '2 minutes' where execution_id = $1",
        row["execution_id"],
    )
    stage.begin("engine", MISTAKE)
    await stage.until_ready(["engine"])

    async def parked() -> Any:
        return await stage.rows(
            "select 1 from recovery.dead_letters where parked_stream = $1", row["execution_id"]
        )

    await stage.until(parked, "a letter of the execution's stream")
    return row["execution_id"]


async def shard_is_of_a_newer_version(stage: Stage) -> None:
    assert await stage.end("recovery") == 0
    await stage.rows("update recovery.shard set format = 999 where id = '1'")
    stage.begin("recovery")

    async def stopped() -> bool:
        said, _ = await page(stage)
        return "newer version" in said.out

    await stage.until(stopped, "a shard that waits for a newer version")


async def test_the_page_names_one_stuck_thing_of_each_kind_with_its_cause_and_the_next_command(
    stage: Stage,
) -> None:
    _, before = await page(stage)
    assert before == []
    await topic_is_deleted(stage)
    await mailbox_goes_away(stage)
    execution_id = await engine_makes_a_mistake(stage)  # while no other execution is open
    await dependency_fails(stage)
    wanted = (
        r"topic \S+-gone cannot be read for .*: .*there is no topic.*`perdure triggers list ",
        r"1 mailboxes of EMAIL triggers cannot be read: mailbox_unreachable; the log of scheduler",
        r"calls to http:127\.0\.0\.1\S* wait, its breaker is \w+.*: .*`perdure recovery breakers`",
        r"1 streams of engine wait for a person: `perdure dead-letters list`",
        r"1 dead letters wait: `perdure dead-letters list`",
        rf"execution {execution_id} of parked waits for a person: .*`perdure dead-letters redrive ",
    )

    async def all_told() -> bool:
        _, lines = await page(stage)
        return all(any(re.search(each, line) for line in lines) for each in wanted)

    try:
        await stage.until(all_told, "a line for each")
    except AssertionError:
        _, lines = await page(stage)
        missing = [each for each in wanted if not any(re.search(each, line) for line in lines)]
        assert missing == [], lines
    said, lines = await page(stage)
    assert said.code == 0, "every server answers and every service is ready"
    text = " ".join(said.out.split())
    assert all(" ".join(line.split())[:40] in text for line in lines), "both forms say the same"
    for command in set(re.findall(r"`perdure ([^`]+)`", "\n".join(lines))):
        typed = await asyncio.to_thread(perdure, *command.split(), "--help", env=stage.environment)
        assert typed.code == 0, f"the page names a command that there is not: {command}"


async def test_a_shard_of_a_newer_version_is_named(stage: Stage) -> None:
    await shard_is_of_a_newer_version(stage)
    said, lines = await page(stage)
    assert "1 shards of recovery wait for a newer version of it" in lines
    assert said.code == 1, "recovery is not ready"
