"""A trigger event published to Kafka runs a workflow to its end, through real processes."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import Producer
from definitions_for_tests import branching, chain, node, request
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import MANUAL, SOURCE, Stage
from promises import broken_promises
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPLANATION = (
    "failure_summary",
    "root_cause",
    "retry_decision",
    "confidence_explanation",
    "user_action_required",
    "estimated_resolution_time",
    "severity_level",
    "display_category",
    "error_pattern_matched",
    "failure_category",
    "recovery_strategy",
    "explanation_source",
    "generation_model",
)
"""The columns of an explanation that people read; none may be empty."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """A platform whose processes are started as containers start them, and not forked."""
    allow = (f"{world.host}:{world.port}",)
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=allow, zygote=None) as made,
    ):
        yield made


async def produce(
    stage: Stage, headers: Sequence[tuple[str, str | bytes | None]], value: bytes
) -> None:
    """Write a record with librdkafka, the library under kcat and most other clients."""
    producer = Producer({"bootstrap.servers": stage.ground.kafka_bootstrap})
    producer.produce(f"{stage.ground.prefix}.triggers.v1", value=value, headers=list(headers))
    left = await asyncio.to_thread(producer.flush, 30.0)
    assert left == 0


async def test_a_trigger_runs_a_workflow_of_branches_to_success(stage: Stage, world: World) -> None:
    await stage.deploy(branching("branches", world.url("/ok")))
    cases: list[tuple[dict[str, Any], dict[str, Any], set[str]]] = [
        ({"amount": 150, "customer": "gold"}, {"total": 140}, {"plain", "small"}),
        ({"amount": 150, "customer": "new"}, {"total": 150}, {"reduced", "small"}),
        ({"amount": 50, "customer": "gold"}, {"total": 50}, {"kind", "reduced", "plain"}),
    ]
    for data, posted, skipped in cases:
        before = len(world.to("/ok"))
        row = await stage.ended(await stage.trigger("branches", data))
        assert row["status"] == "SUCCESS", row["error_message"]
        [call] = world.to("/ok")[before:]
        assert call.body == {**posted, "customer": data["customer"]}
        nodes = await stage.nodes_of(row["execution_id"])
        assert len(nodes) == 8
        assert {name for name, run in nodes.items() if run["status"] == "SKIPPED"} == skipped
        assert {run["status"] for run in nodes.values()} == {"SKIPPED", "SUCCESS"}
        [result] = json.loads(row["run_data"])["result"]
        assert (result["status"], result["body"]["path"]) == (200, "/ok")


async def test_a_failing_request_is_recovered_and_explained(stage: Stage, world: World) -> None:
    await stage.deploy(chain("tickets", request("file", world.url("/flaky/2"), json={"a": 1})))
    row = await stage.ended(await stage.trigger("tickets", {}))
    assert row["status"] == "SUCCESS", row["error_message"]
    calls = world.to("/flaky/2")
    assert [call.status for call in calls] == [425, 425, 200]
    assert len({call.key for call in calls}) == 1
    nodes = await stage.nodes_of(row["execution_id"])
    assert nodes["file"]["retry_count"] == 2

    async def recovered() -> list[Any]:
        return await stage.rows(
            """
            select a.status, a.success, a.recovery_outcome, a.attempt_number, a.recovery_strategy,
                   row_to_json(e) as explanation
              from recovery.recovery_attempts a
              join recovery.recovery_explanations e on e.recovery_attempt_id = a.id
             where a.execution_id = $1 and exists (
                   select 1 from recovery.recovery_attempts s
                    where s.execution_id = $1 and s.success)
             order by a.attempt_number
            """,
            row["execution_id"],
        )

    first, second = await stage.until(recovered, "the rows of the recovery")
    assert (first["attempt_number"], first["status"], first["success"]) == (1, "failed", False)
    assert (second["attempt_number"], second["status"], second["success"]) == (2, "succeeded", True)
    assert second["recovery_outcome"] == "recovered"
    for attempt in (first, second):
        explanation = json.loads(attempt["explanation"])
        assert {name for name in EXPLANATION if not explanation[name]} == set()


async def test_what_is_never_mended_ends_with_an_error_that_was_explained(
    stage: Stage, world: World
) -> None:
    await stage.deploy(chain("forbidden", request("ask", world.url("/status/403"))))
    row = await stage.ended(await stage.trigger("forbidden", {}))
    assert row["status"] == "ERROR"
    details = json.loads(row["error_details"])
    assert (details["type"], details["node_id"], details["status_code"]) == (
        "http_status", "ask", 403,
    )  # fmt: skip
    assert len(world.to("/status/403")) == 1

    async def explained() -> list[Any]:
        sql = "select * from recovery.recovery_explanations where execution_id = $1"
        return await stage.rows(sql, row["execution_id"])

    [explanation] = await stage.until(explained, "an explanation")
    assert explanation["recovery_strategy"] == "escalate_human"
    assert explanation["user_action_required"] != "none"


async def test_the_same_event_runs_once_however_often_it_comes(stage: Stage, world: World) -> None:
    await stage.deploy(chain("once", request("post", world.url("/ok?once"))))
    event_id = await stage.trigger("once", {"n": 1})
    for _ in range(3):
        await stage.trigger("once", {"n": 1}, id=event_id)
    row = await stage.ended(event_id)
    # What is published later on the same partition has been read after all of them.
    later = await stage.ended(await stage.trigger("once", {"n": 2}))
    executions = await stage.rows(
        "select execution_id from engine.workflow_executions where workflow_id = $1",
        row["workflow_id"],
    )
    assert {each["execution_id"] for each in executions} == {
        row["execution_id"], later["execution_id"],
    }  # fmt: skip
    assert len(world.to("/ok?once")) == 2


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_events_of_another_client_run(stage: Stage, mode: str) -> None:
    name = f"foreign-{mode}"
    await stage.deploy(
        chain(name, node("look", "ACTION.SET", values={"seen": "{{ $json.hello }}"}))
    )
    event_id = str(uuid.uuid4())
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": MANUAL,
        "subject": name,
    }
    if mode == "binary":
        headers = [(f"ce_{key}", text) for key, text in event.items()]
        headers.append(("content-type", "application/json"))
        await produce(stage, headers, b'{"hello": "world"}')
    else:
        body = {**event, "datacontenttype": "application/json", "data": {"hello": "world"}}
        content = [("content-type", "application/cloudevents+json; charset=UTF-8")]
        await produce(stage, content, json.dumps(body).encode())
    row = await stage.ended(event_id)
    assert row["status"] == "SUCCESS"
    assert json.loads(row["run_data"])["result"] == [{"hello": "world", "seen": "world"}]


async def test_every_promise_holds_after_all_of_it(stage: Stage, world: World) -> None:
    event_id = await stage.trigger("branches", {"amount": 1, "customer": "last"})
    await stage.ended(event_id)
    assert await broken_promises(stage, [event_id], world) == []
