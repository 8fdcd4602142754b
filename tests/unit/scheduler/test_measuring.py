"""What is told of triggers: by one scheduler at a time, without what is no more."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from perdure_common.settings import Settings
from perdure_scheduler import measuring
from perdure_scheduler.cron_ids import fire_id, jitter
from perdure_scheduler.hooks.metrics import HookMetrics
from perdure_scheduler.measuring import TriggerMetrics, overdue_s
from perdure_scheduler.unmatched import Unmatched
from prometheus_client import CollectorRegistry

DOCS = Path(__file__).parents[3] / "docs" / "operating.md"
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"
DELAY = jitter(fire_id(WORKFLOW, "clock", AT), 600)


class Pool:
    """An index with two clocks."""

    def __init__(self) -> None:
        self.subtypes = {"CRON": 2, "EMAIL": 1}

    async def fetch(self, query: str) -> Sequence[Mapping[str, Any]]:
        if query == measuring._SQL["subtypes"]:  # pyright: ignore[reportPrivateUsage]
            return [
                {"trigger_subtype": name, "serving": count, "paused": 0, "filter_errors": 0}
                for name, count in self.subtypes.items()
            ]
        return [clock(30)] if query == measuring._SQL["due"] else []  # pyright: ignore

    async def fetchval(self, query: str) -> int:
        del query
        return 0

    async def fetchrow(self, query: str) -> Mapping[str, Any]:
        del query
        return {"fired": 7, "missed": 0, "late_s": 0.5}

    async def close(self) -> None:
        """There is nothing to close."""


def clock(late_s: float, jitter_s: int = 0) -> Mapping[str, Any]:
    return {
        "workflow_id": WORKFLOW,
        "node_id": "clock",
        "next_fire_at": AT,
        "now": AT + timedelta(seconds=late_s),
        "jitter_s": jitter_s,
    }


def test_a_firing_is_overdue_once_its_jitter_is_over() -> None:
    delay_s = DELAY.total_seconds()
    assert 10 < delay_s < 590
    assert overdue_s([]) == 0
    assert overdue_s([clock(delay_s - 1, 600)]) == 0
    assert overdue_s([clock(delay_s + 7, 600), clock(3)]) == 7
    assert overdue_s([clock(delay_s - 1, 600), clock(3)]) == 3


async def test_a_subtype_of_which_nothing_serves_any_more_is_not_told() -> None:
    registry, pool = CollectorRegistry(), Pool()
    metrics = TriggerMetrics(registry)
    await metrics.look(pool)
    assert registry.get_sample_value("perdure_triggers_serving", {"subtype": "EMAIL"}) == 1
    del pool.subtypes["EMAIL"]
    await metrics.look(pool)
    assert registry.get_sample_value("perdure_triggers_serving", {"subtype": "EMAIL"}) is None
    assert registry.get_sample_value("perdure_triggers_serving", {"subtype": "CRON"}) == 2


async def test_who_has_lost_the_first_shard_tells_nothing_until_it_is_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def opened(url: str) -> Pool:
        del url
        return Pool()

    monkeypatch.setattr(measuring, "EVERY_S", 0.01)
    monkeypatch.setattr(measuring, "open_pool", opened)
    registry, stop = CollectorRegistry(), asyncio.Event()
    owner: Any = SimpleNamespace(shards={"0": object()})
    servers = {"PERDURE_DATABASE_URL": "postgresql://nobody@x/y", "PERDURE_KAFKA_BOOTSTRAP": "x:1"}
    settings = Settings.read("scheduler", servers)
    keeping = asyncio.create_task(TriggerMetrics(registry).keep(settings, owner, stop))

    async def until(expected: float | None) -> None:
        async with asyncio.timeout(10):
            while registry.get_sample_value("perdure_cron_overdue_seconds") != expected:
                await asyncio.sleep(0.005)

    await until(30.0)
    owner.shards = {"1": object()}
    await until(None)
    assert list(registry.collect()) == []
    owner.shards = {"0": object()}
    await until(30.0)
    stop.set()
    await keeping


async def test_every_metric_of_the_scheduler_stands_in_the_documentation() -> None:
    registry = CollectorRegistry()
    metrics = TriggerMetrics(registry)
    await metrics.look(Pool())
    HookMetrics(registry)
    Unmatched(registry)
    told = DOCS.read_text(encoding="utf-8")
    names = [
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in registry.collect()
    ]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in told] == []
