"""Trigger events that start nothing are counted by source and reason, whoever names the sources."""

from datetime import UTC, datetime
from typing import Any

import pytest
from perdure_contracts.scheduler import FilterFailed, ReceiveTrigger, TriggerAccepted
from perdure_scheduler.decide import decide_trigger
from perdure_scheduler.state import Trigger
from perdure_scheduler.unmatched import OTHER, SOURCES_MAX, Unmatched
from prometheus_client import CollectorRegistry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "perdure_trigger_events_unmatched_total"


def event(source: str = "/shop", **more: Any) -> ReceiveTrigger:
    given: dict[str, Any] = {
        **{"tenant_id": "t", "source": source, "event_id": "1", "event_type": "shop.paid"},
        **{"subject": "", "time": None, "data": {"total": 7}, **more},
    }
    return ReceiveTrigger(**given)


def row(subtype: str = "KAFKA", **config: Any) -> dict[str, Any]:
    return {
        "workflow_id": "w",
        "workflow_name": "orders",
        "deployment_version": 1,
        "node_id": "k",
        "trigger_subtype": subtype,
        "trigger_config": config,
        "index_key": "*",
        "position": 0,
    }


@pytest.mark.parametrize(
    ("command", "rows", "subtype", "reason"),
    [
        (event(), [], "KAFKA", "not_listened"),
        (event(), [row(filter="{{ $json.total > 9 }}")], "KAFKA", "left_out"),
        (event(), [row(filter="{{ $json.total }}")], "KAFKA", "filter_failed"),
        (
            event(event_type="perdure.trigger.github", subject="a/b", data={"action": "closed"}),
            [row("GITHUB", actions=["opened"])],
            "GITHUB",
            "left_out",
        ),
    ],
)
def test_what_starts_nothing_is_counted_with_its_reason(
    command: ReceiveTrigger, rows: list[dict[str, Any]], subtype: str, reason: str
) -> None:
    registry = CollectorRegistry()
    facts = {"by_key": rows}
    decided = Unmatched(registry).decide(Trigger(), command, facts, NOW)
    assert decided == decide_trigger(Trigger(), command, facts, NOW)
    assert isinstance(decided, tuple)
    assert all(isinstance(each, FilterFailed) for each in decided)
    labels = {"source": "/shop", "subtype": subtype, "reason": reason}
    assert registry.get_sample_value(NAME, labels) == 1
    assert len([each for each in samples(registry) if each.endswith("_total")]) == 1


def test_what_starts_something_and_what_is_refused_is_not_counted() -> None:
    registry = CollectorRegistry()
    unmatched = Unmatched(registry)
    (accepted,) = unmatched.decide(Trigger(), event(), {"by_key": [row()]}, NOW)  # type: ignore
    assert isinstance(accepted, TriggerAccepted)
    unmatched.decide(Trigger(("e1",)), event(), {}, NOW)
    assert samples(registry) == []


def test_so_many_sources_have_a_count_of_their_own() -> None:
    registry = CollectorRegistry()
    unmatched = Unmatched(registry)
    for n in range(SOURCES_MAX + 7):
        unmatched.decide(Trigger(), event(f"/s{n}"), {"by_key": []}, NOW)
    unmatched.decide(Trigger(), event("/s0"), {"by_key": []}, NOW)
    unmatched.decide(Trigger(), event("x" * 1000), {"by_key": []}, NOW)
    why = {"subtype": "KAFKA", "reason": "not_listened"}
    assert registry.get_sample_value(NAME, {"source": "/s0", **why}) == 2
    assert registry.get_sample_value(NAME, {"source": OTHER, **why}) == 8
    assert samples(registry).count(NAME) == SOURCES_MAX + 1


def samples(registry: CollectorRegistry) -> list[str]:
    return [sample.name for metric in registry.collect() for sample in metric.samples]
