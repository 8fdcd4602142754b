"""The page of metrics lists those that a running stack has, each with what it says."""

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from definitions_for_tests import chain, node, request
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import PATIENT, Stage
from prometheus_client.parser import text_string_to_metric_families
from stage_ground import shared_ground

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """A platform whose engine does no tasks itself, so that runners have some."""
    settings = {**PATIENT, "PERDURE_HAND_OVER": "0"}
    allow = (f"{world.host}:{world.port}",)
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=allow, settings=settings) as made,
    ):
        yield made


async def families(stage: Stage) -> dict[str, tuple[str, set[str]]]:
    """Return the type of each metric of perdure, and the processes that have it."""
    found: dict[str, tuple[str, set[str]]] = {}
    async with httpx.AsyncClient(timeout=20.0, trust_env=False) as client:
        for name in stage.names:
            text = (await client.get(f"http://127.0.0.1:{stage.ports[name]}/metrics")).text
            for family in text_string_to_metric_families(text):
                if family.name.startswith("perdure_") and not family.name.endswith("_created"):
                    whole = f"{family.name}_total" if family.type == "counter" else family.name
                    kind, processes = found.setdefault(whole, (family.type, set()))
                    assert kind == family.type, whole
                    processes.add(name)
    return found


def documented() -> dict[str, tuple[str, set[str]]]:
    """Return the same, as the page says it."""
    rows = re.findall(
        r"^\| `(perdure_\w+)` \| (\w+) \| ([a-z, ]+) \| .*\S.* \|$", PAGE.read_text(), re.MULTILINE
    )
    return {name: (kind, set(of.split(", "))) for name, kind, of in rows}


async def test_the_page_has_every_metric_and_no_other(stage: Stage, world: World) -> None:
    await stage.deploy(chain("well", {**node("step", "FLOW.NOOP"), "run_in": "runner"}))
    await stage.deploy(chain("ill", request("ask", world.url("/status/403"), json={})))
    assert (await stage.ended(await stage.trigger("well", {})))["status"] == "SUCCESS"
    assert (await stage.ended(await stage.trigger("ill", {})))["status"] == "ERROR"
    found: dict[str, tuple[str, set[str]]] = {}
    for _ in range(120):  # some are found out every ten seconds, one of them once a minute
        found = await families(stage)
        if found.keys() >= documented().keys():
            break
        await asyncio.sleep(1.0)
    assert found == documented()


async def test_ends_durations_delays_and_lags_are_measured(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=20.0, trust_env=False) as client:
        values: dict[tuple[str, str], float] = {}
        for name in ("engine", "runner"):
            text = (await client.get(f"http://127.0.0.1:{stage.ports[name]}/metrics")).text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    labels = dict(sample.labels)
                    for less in ("service", "le"):
                        labels.pop(less, None)
                    values[sample.name, " ".join(labels.values())] = sample.value
    assert values["perdure_executions_ended_total", "SUCCESS"] == 1
    assert values["perdure_executions_ended_total", "ERROR"] == 1
    assert values["perdure_node_seconds_count", "FLOW.NOOP SUCCESS"] == 1
    assert values["perdure_node_seconds_count", "EXTERNAL_ACTION.HTTP_REQUEST ERROR"] == 1
    assert 0 <= values["perdure_node_seconds_sum", "FLOW.NOOP SUCCESS"] < 30
    assert values["perdure_task_delay_seconds_count", ""] >= 1
    assert 0 <= values["perdure_task_delay_seconds_sum", ""] < 30
    assert {shard for name, shard in values if name == "perdure_shard_lag"} == set("0123")
