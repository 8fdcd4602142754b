"""Interleavings of whole processes: stopped ones that wake up, answers that were there first.

docs/interleavings.md lists all of them; those of the shell alone are in tests/contract.
"""

import asyncio
import signal
import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from crash_stage import crash_stage
from definitions_for_tests import chain, node, request
from outside_world import World
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_contracts.engine import StartExecution
from platform_stage import PARTITIONS, Stage
from promises import broken_promises
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMANDS = "perdure.engine.commands.v1"
STARTS = "perdure.engine.starts.v1"
ACCEPTED: list[str] = []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """The platform, whose engine leaves every task to the runner."""
    async with (
        shared_ground(servers) as ground,
        crash_stage(ground, world, PERDURE_HAND_OVER="0") as stage,
    ):
        yield stage


async def begun(stage: Stage, name: str, **data: Any) -> str:
    """Trigger a workflow; return its event's id."""
    event_id = await stage.trigger(name, data)
    ACCEPTED.append(event_id)
    return event_id


async def in_the_log(stage: Stage, topic: str, execution_id: str, text: bytes) -> bytes:
    """Wait until a topic has a record about an execution that holds `text`; return its body."""
    bus = KafkaBus(stage.ground.kafka_bootstrap, "looker", stage.ground.prefix)
    place = (topic, partition_of(execution_id, PARTITIONS))
    bus.read({place: (await bus.bounds([place]))[place][0]})
    try:
        async with asyncio.timeout(60):
            while True:
                for record in await bus.fetch(1000, 1.0):
                    whole = record.value + b"".join(value for _, value in record.headers)
                    if execution_id.encode() in whole and text in whole:
                        return record.value
    finally:
        await bus.close()


async def open_execution(stage: Stage, event_id: str) -> str:
    """Wait until an event has started its execution; return its id."""

    async def found() -> Any:
        return await stage.executions_of(event_id)

    [row] = await stage.until(found, f"the execution of {event_id}")
    return row["execution_id"]


async def called(stage: Stage, world: World, path: str, times: int = 1) -> None:
    async def found() -> bool:
        return len(world.to(path)) >= times

    await stage.until(found, f"a call to {path}")


async def test_an_engine_that_stops_before_its_commit_and_wakes_up_later_is_fenced(
    ready: Stage,
) -> None:
    assert await ready.end("engine") == 0
    ready.begin("engine", "engine.before_commit:stop@2")
    events = [await begun(ready, "branches", amount=150, customer="gold") for _ in range(6)]
    await ready.until_stopped("engine")
    before = ready.log_of("engine").stat().st_size
    ready.begin("engine", beside="engine-2")
    for event_id in events:  # the second takes over when the first one's session is over
        assert (await ready.ended(event_id))["status"] == "SUCCESS"
    ready.processes["engine"].send_signal(signal.SIGCONT)

    async def fenced() -> bool:
        told = ready.log_of("engine").read_text(encoding="utf-8")[before:]
        return '"why":"fenced"' in told.replace(" ", "")

    await ready.until(fenced, "the first engine to be told that it owns nothing")
    events = [await begun(ready, "branches", amount=150, customer="gold") for _ in range(6)]
    for event_id in events:
        assert (await ready.ended(event_id))["status"] == "SUCCESS"
    assert await ready.end("engine-2") == 0
    await ready.until_ready(["engine"])


async def test_an_answer_in_the_topic_wins_over_its_attempts_time_out(
    ready: Stage, world: World
) -> None:
    slow = request("ask", world.url("/slow/1000"), json={})
    slow["timeout_s"] = 4
    await ready.deploy(chain("late", slow))
    event_id = await begun(ready, "late")
    await called(ready, world, "/slow/1000")
    execution_id = await open_execution(ready, event_id)
    assert (await ready.kill("engine")).hit
    await in_the_log(ready, COMMANDS, execution_id, b'"outcome":"completed"')
    [row] = await ready.rows(
        "select data::json->>'deadline' as at from engine.journal where stream = $1 "
        "and type = 'engine.node-scheduled.v1'",
        execution_id,
    )
    left = (datetime.fromisoformat(row["at"]) - datetime.now(UTC)).total_seconds()
    await asyncio.sleep(max(0.0, left) + 0.1)  # the time-out is what is staged
    ready.begin("engine")
    ended = await ready.ended(event_id)
    assert ended["status"] == "SUCCESS", ended["error_message"]
    assert len(world.to("/slow/1000")) == 1


async def test_a_result_in_the_log_wins_over_the_expiry_of_its_lease(
    ready: Stage, world: World
) -> None:
    once = request("post", world.url("/slow/1001"), json={})
    del once["parameters"]["idempotency_header"]
    await ready.deploy(chain("leased", once))
    event_id = await begun(ready, "leased")
    await called(ready, world, "/slow/1001")
    execution_id = await open_execution(ready, event_id)
    assert (await ready.kill("engine")).hit

    async def answered() -> Any:
        # As if the runner had died after its answer, before it could say so in its claim.
        return await ready.rows(
            """
            update engine.node_claims set finished_at = null, runner = 'a dead one',
                   lease_until = now() - interval '1 second'
             where execution_id = $1 and finished_at is not null returning token
            """,
            execution_id,
        )

    await ready.until(answered, "the answer")
    await in_the_log(ready, COMMANDS, execution_id, b'"worker_lost"')
    ready.begin("engine")
    ended = await ready.ended(event_id)
    assert ended["status"] == "SUCCESS", ended["error_message"]
    assert len(world.to("/slow/1001")) == 1

    async def reported_once() -> Any:
        return await ready.rows(
            "select 1 from engine.node_claims where execution_id = $1 "
            "and finished_at is not null and runner like 'lost/%'",
            execution_id,
        )

    await ready.until(reported_once, "the lost claim to be settled")


async def test_an_execution_that_is_not_in_memory_is_not_started_a_second_time(
    ready: Stage,
) -> None:
    event_id = await begun(ready, "inline", amount=1)
    row = await ready.ended(event_id)
    execution_id = row["execution_id"]
    body = await in_the_log(ready, STARTS, execution_id, b"engine.start-execution")
    again: StartExecution = codec.decode_body("engine.start-execution.v1", body)
    assert (await ready.kill("engine")).hit
    ready.begin("engine")
    sent = await ready.send("engine", execution_id, again, STARTS)
    await ready.answer("engine", sent)
    started = await ready.rows(
        "select type from engine.journal where stream = $1 and type like 'engine.execution-%'",
        execution_id,
    )
    types = sorted(each["type"] for each in started)
    assert types == ["engine.execution-completed.v1", "engine.execution-started.v1"]


async def test_a_runner_that_stops_and_wakes_up_after_its_lease_answers_in_vain(
    ready: Stage, world: World
) -> None:
    mark = str(uuid.uuid4())
    assert await ready.end("runner") == 0
    ready.begin("runner", "runner.after_effect:stop")
    event_id = await begun(ready, "unsafe", mark=mark)
    await ready.until_stopped("runner")
    ready.begin("runner", beside="runner-2")
    await ready.rows("update engine.node_claims set lease_until = now() where finished_at is null")
    ended = await ready.ended(event_id)
    assert ended["status"] == "ERROR", "what may have happened is not done again by itself"
    assert "lease" in ended["error_message"]
    ready.processes["runner"].send_signal(signal.SIGCONT)
    await in_the_log(ready, COMMANDS, ended["execution_id"], b'"outcome":"completed"')
    await ready.until_ready(["runner"])
    assert await ready.end("runner-2") == 0
    assert len([call for call in world.to("/ok?unsafe") if call.body["mark"] == mark]) == 1
    [row] = await ready.executions_of(event_id)
    assert row["status"] == "ERROR"


async def test_every_promise_holds_after_all_of_it(ready: Stage, world: World) -> None:
    await ready.deploy(chain("last", node("end", "FLOW.NOOP")))
    await ready.ended(await begun(ready, "last"))
    assert await broken_promises(ready, ACCEPTED, world) == []
