"""Dead letters as an operator meets them: on real servers, by the command line, with mistakes."""

import asyncio
import uuid
from typing import Any

import pytest
from command_line import Said, perdure
from definitions_for_tests import chain, node
from outside_world import World
from perdure_cli.parked import forgotten
from platform_stage import Stage
from promises import broken_promises, what_verify_finds

pytestmark = pytest.mark.asyncio(loop_scope="module")

MISTAKE = "engine.while_deciding:fail@1"


async def typed(stage: Stage, *words: object) -> Said:
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def begun_anew(stage: Stage, fault: str = "") -> None:
    """Start the engine once more, with a mistake that it is to make."""
    assert await stage.end("engine") == 0
    stage.begin("engine", fault)
    await stage.until_ready(["engine"])


async def letter_of(stage: Stage, attempts: int) -> Any:
    """Wait until the letter of a parked stream waits after so many tries."""

    async def waits() -> Any:
        rows = await stage.rows(
            "select id::text, error, attempts, retry_count, parked_stream, last_failed_at,"
            " created_at from recovery.dead_letters where status = 'waiting'"
            " and parked_stream <> '' and attempts = $1",
            attempts,
        )
        return rows[0] if rows else None

    return await stage.until(waits, f"a letter that was tried {attempts} times")


async def test_a_stream_that_stops_again_waits_behind_its_letter_until_it_is_mended(
    stage: Stage, world: World
) -> None:
    name = f"mistaken-{uuid.uuid4().hex[:8]}"
    workflow_id = await stage.deploy(chain(name, node("calm", "FLOW.NOOP")))

    async def heard() -> Any:  # else it would be this that the engine fails on
        return await stage.rows(
            "select from engine.workflows where id = $1 and deployment_status = 'ACTIVE'",
            workflow_id,
        )

    await stage.until(heard, "the engine to hear of the deployment")
    await begun_anew(stage, MISTAKE)
    event_id = await stage.trigger(name, {})
    first = await letter_of(stage, 1)
    assert first["error"].startswith("poison: Injected")
    await begun_anew(stage, MISTAKE)  # it is not mended at all
    said = await typed(stage, "dead-letters", "redrive", first["id"])
    assert said.code == 0, said.err
    again = await letter_of(stage, 2)
    assert (again["id"], again["parked_stream"]) == (first["id"], first["parked_stream"])
    assert again["retry_count"] == 1
    assert again["last_failed_at"] > again["created_at"]
    shown = await typed(stage, "dead-letters", "show", first["id"])
    text = " ".join(shown.out.split())
    assert "it was tried 2 time(s)" in text
    assert "it failed last" in text
    assert await what_verify_finds(stage) == []
    await stage.rows(
        "update recovery.dead_letters set status = 'dropped' where id = $1", again["id"]
    )
    found = await forgotten(stage.ground.database_url, ["engine", "recovery"], letter_s=0.0)
    (violation,) = found.violations
    assert violation.where == f"engine stream {first['parked_stream']}"
    assert found.checked == {"parked streams of engine": 1, "parked streams of recovery": 0}
    await begun_anew(stage, MISTAKE)
    said = await typed(stage, "dead-letters", "unpark", "engine", first["parked_stream"])
    assert said.code == 0, said.err
    assert (await letter_of(stage, 3))["id"] == first["id"]
    said = await typed(stage, "dead-letters", "unpark", "engine", first["parked_stream"])
    assert (said.code, f"redrive {first['id']}" in said.err) == (2, True)
    said = await typed(stage, "dead-letters", "unpark", "runner", first["parked_stream"])
    assert (said.code, "parks no streams" in said.err) == (2, True)
    assert (await stage.kill("recovery")).hit
    stage.begin("recovery")
    await begun_anew(stage)
    alike = ("dead-letters", "redrive", "--all", "--service", "engine", "--code", "poison")
    said = await typed(stage, *alike, "--dry-run", "--json")
    assert [row["id"] for row in said.json] == [first["id"]], said.err
    assert (await typed(stage, *alike[:4], "scheduler", "--json")).json == []
    said = await typed(stage, *alike)
    assert said.code == 0, said.err
    row = await stage.ended(event_id)
    assert row["status"] == "SUCCESS", row["error_message"]
    (letter,) = await stage.rows(
        "select status, retry_count from recovery.dead_letters where id = $1", first["id"]
    )
    assert (letter["status"], letter["retry_count"]) == ("redriven", 2)

    async def nothing_waits() -> bool:
        return not await stage.rows("select from engine.parked_message")

    await stage.until(nothing_waits, "the last parked message to go")
    assert await stage.rows("select from engine.parked_stream") == []
    assert await broken_promises(stage, [event_id], world) == []
