"""KPIs as Prometheus gets them: the figures of the API, and none where nothing is known."""

import asyncio
from types import SimpleNamespace
from typing import Any

from perdure_common.observe import Figures
from perdure_common.settings import Settings
from perdure_recovery import figures
from perdure_recovery.api_measures import SQL
from perdure_recovery.figures import metrics_of
from perdure_recovery.measures import Counted, wilson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

TOLD = {"explanations": 4, "complete": 3, "faithfulness": 0.75}
NOTHING = {"explanations": 0, "complete": 0, "faithfulness": None}


def episode(outcome: str = "recovered", *, duration_s: float = 2.0, count: int = 1) -> Counted:
    return Counted(
        failure_type="timeout",
        dependency_class="http",
        fallback=False,
        outcome=outcome,
        eligible=True,
        false_positive=False,
        missed=False,
        duration_s=duration_s,
        count=count,
    )


def values(metrics: Any) -> dict[str, float]:
    return {
        sample.name.removeprefix("perdure_recovery_")
        + "".join(f" {v}" for k, v in sorted(sample.labels.items()) if k != "service"): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_shares_come_with_their_intervals_and_times_with_their_quantiles() -> None:
    found = values(
        metrics_of(
            [episode(duration_s=1.0, count=8), episode(duration_s=40.0), episode("escalated")],
            TOLD,
            [{"table": "recovery_attempts", "bytes": 8192, "grown_daily": None}],
        )
    )
    share = wilson(9, 10)
    assert found["success_ratio value all"] == share.value
    assert found["success_ratio low timeout"] == share.low
    assert found["success_ratio high timeout"] == share.high
    assert found["episodes all"] == 10
    assert found["time_to_recovery_seconds all 0.5"] == 1.0
    assert found["time_to_recovery_seconds timeout 0.9"] == 40.0
    assert found["explanations_complete_ratio"] == 0.75
    assert found["table_bytes recovery_attempts"] == 8192


def test_of_nothing_there_is_no_rate() -> None:
    found = values(metrics_of([], NOTHING, []))
    assert found == {
        f"{name} all": 0.0
        for name in (
            *("episodes", "episodes_eligible", "episodes_recovered", "episodes_handled"),
            "episodes_open",
        )
    }


def test_prometheus_can_read_it() -> None:
    class Once(Collector):
        def collect(self) -> list[Metric]:
            return list(metrics_of([episode()], TOLD, []))

    registry = CollectorRegistry()
    registry.register(Once())
    text = generate_latest(registry).decode()
    line = 'perdure_recovery_success_ratio{bound="value",failure_type="all",service="recovery"} 1.0'
    assert line in text


class Counting:
    """Rows for the figures, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        self.asked += 1
        await asyncio.sleep(0)
        return [dict(TOLD)] if sql == SQL["explanations"] else []


def finder(reading: Any, shards: set[str], clock: Any) -> Figures:
    servers = {"PERDURE_DATABASE_URL": "postgresql://nowhere", "PERDURE_KAFKA_BOOTSTRAP": "x:1"}
    owner: Any = SimpleNamespace(shards=shards)
    return figures.figures(Settings.read("recovery", servers), reading, owner, clock)


async def test_of_several_processes_only_the_one_with_the_first_shard_tells() -> None:
    reading = Counting()
    shards = {"1", "7"}
    find = finder(reading, shards, lambda: 0.0)
    assert await find() == ()
    assert reading.asked == 0
    shards.add("0")
    assert await find()


async def test_whoever_scrapes_often_gets_what_was_found_within_the_minute() -> None:
    reading, now = Counting(), [0.0]
    find = finder(reading, {"0"}, lambda: now[0])
    waiting = [asyncio.ensure_future(find()) for _ in range(2)]
    first, at_once = [await each for each in waiting]
    assert first is at_once
    now[0] = figures.FRESH_S - 0.1
    assert await find() is first
    assert reading.asked == 3
    now[0] = figures.FRESH_S
    assert await find() is not first
    assert reading.asked == 6
