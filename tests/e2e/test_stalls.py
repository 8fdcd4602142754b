"""Executions that are made to hang on real servers: they are found, and do not stay so."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from command_line import Said, perdure
from definitions_for_tests import chain, request
from outside_world import World
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.embedded import Addresses
from perdure_common.shell import codec, remake
from perdure_common.shell.intake import Registry
from perdure_engine.app import service
from perdure_engine.executions.state import Execution
from platform_stage import PATIENT, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICK = {**PATIENT, "PERDURE_STALL_SCAN_S": "0.3", "PERDURE_STALL_GRACE_S": "2"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """A platform whose engine looks for stalls often."""
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=(f"{world.host}:{world.port}",), settings=QUICK) as made,
    ):
        yield made


async def typed(stage: Stage, *words: object) -> Said:
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def journal(stage: Stage, execution_id: str) -> list[tuple[str, str]]:
    """Return the types and causes of an execution's events."""
    rows = await stage.rows(
        "select type, meta from engine.journal where stream = $1 order by version", execution_id
    )
    return [(row["type"], json.loads(row["meta"]).get("cause", "")) for row in rows]


async def stands_at(stage: Stage, event_id: str, kind: str) -> str:
    """Wait until the execution that an event started has an event of a kind; return its id."""

    async def there() -> Any:
        for row in await stage.executions_of(event_id):
            if any(each == kind for each, _ in await journal(stage, row["execution_id"])):
                return row["execution_id"]
        return None

    async def published() -> bool:
        rows = await stage.rows(
            "select from engine.shard s join engine.journal j on j.shard = s.id"
            " where j.stream = $1 and j.seq > least(s.published_seq, s.projected_seq)",
            execution_id,
        )
        return not rows

    execution_id = str(await stage.until(there, f"a {kind}"))
    # What is not published, or has lazy rows to write, would be made again without the snapshot.
    await stage.until(published, "the marks of what was published and written")
    return execution_id


async def test_a_wake_that_was_lost_is_found_and_the_execution_goes_on(
    stage: Stage, world: World
) -> None:
    name = f"asleep-{uuid.uuid4().hex[:8]}"
    ask = request("ask", world.url("/flaky/1"))
    await stage.deploy(chain(name, {**ask, "max_retries": 3, "retry_wait_time": 2}))
    event_id = await stage.trigger(name, {})
    execution_id = await stands_at(stage, event_id, "engine.attempt-failed.v1")
    assert (await stage.kill("engine")).hit
    await stage.rows("delete from engine.wake where stream = $1", execution_id)
    stage.begin("engine")
    row = await stage.ended(event_id)
    assert row["status"] == "SUCCESS", row["error_message"]
    told = await journal(stage, execution_id)
    found = [(kind, cause) for kind, cause in told if cause.startswith(f"{execution_id}/")]
    assert [kind for kind, _ in found] == ["engine.node-scheduled.v1"]
    assert len([kind for kind, _ in told if kind == "engine.node-scheduled.v1"]) == 2


async def forget(stage: Stage, execution_id: str, *, whole: bool) -> None:
    """Write a snapshot in which an execution has forgotten what it waits for."""
    store = PostgresStore(stage.ground.database_url, "engine")
    registry = Registry(service)
    try:
        held = (await remake.load(registry, store, {execution_id: -1}))[execution_id]
    finally:
        await store.close()
    state, decider = held.state, held.decider
    assert isinstance(state, Execution) and decider is not None
    state.waits, state.tokens = [], {}
    if whole:
        state.open = {}
    else:
        for place in state.open:
            run = state.runs[place]
            assert run.dispatch is not None
            state.runs[place] = _with(run, dispatch=_with(run.dispatch, deadline=None))
    await stage.rows(
        "insert into engine.snapshot values ($1, $2, $3, $4)",
        execution_id,
        held.version,
        decider.state_version,
        codec.encode_frame(decider.name, held.tenant_id, state),
    )
    await stage.rows("delete from engine.wake where stream = $1", execution_id)


def _with(value: Any, **fields: Any) -> Any:
    from msgspec.structs import replace

    return replace(value, **fields)


@pytest.mark.parametrize("whole", [True, False])
async def test_an_execution_that_nothing_can_make_go_on_ends_and_recovery_hears_of_it_once(
    stage: Stage, world: World, whole: bool
) -> None:
    name = f"lost-{uuid.uuid4().hex[:8]}"
    await stage.deploy(chain(name, request("ask", world.url("/slow/60000"), timeout_s=120)))
    event_id = await stage.trigger(name, {})
    execution_id = await stands_at(stage, event_id, "engine.node-scheduled.v1")
    assert (await stage.kill("engine")).hit
    await forget(stage, execution_id, whole=whole)
    stage.begin("engine")
    row = await stage.ended(event_id)
    assert row["status"] == "ERROR"
    details = json.loads(row["error_details"])
    assert details["type"] == "stalled"

    async def heard() -> list[Any]:
        return await stage.rows(
            "select * from recovery.recovery_explanations where execution_id = $1", execution_id
        )

    assert len(await stage.until(heard, "what recovery says")) == 1
    await asyncio.sleep(1.5)  # several further looks
    told = [kind for kind, _ in await journal(stage, execution_id)]
    assert told.count("engine.execution-failed.v1") == 1
    assert len(await heard()) == 1


async def test_an_execution_that_can_be_explained_is_left_alone_and_shown_with_its_reason(
    stage: Stage, world: World
) -> None:
    name = f"slow-{uuid.uuid4().hex[:8]}"
    await stage.deploy(chain(name, request("ask", world.url("/slow/60000"), timeout_s=120)))
    event_id = await stage.trigger(name, {})
    execution_id = await stands_at(stage, event_id, "engine.node-scheduled.v1")
    before = await journal(stage, execution_id)
    await asyncio.sleep(3.0)  # beyond the grace, and through several looks
    assert await journal(stage, execution_id) == before
    said = await typed(stage, "status", "--stuck", "--older-than", 1, "--json")
    assert said.code == 0, said.out
    [shown] = [row for row in said.json["executions"] if row["execution_id"] == execution_id]
    assert (shown["unexplained"], shown["parked"]) == ("", False)
    assert [each["waits_for"] for each in shown["waits_for"]] == ["attempt"]
    assert "is with runner" in shown["reasons"][0]
    page = await typed(stage, "status", "--stuck", "--older-than", 1)
    assert execution_id in page.out and "is with runner" in page.out
    nothing = await typed(stage, "status", "--stuck", "--older-than", 3600)
    assert "no execution is open for that long" in nothing.out
