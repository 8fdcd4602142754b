"""What `perdure verify` says of cron triggers: nothing of good ones, and each defect by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cron_stage import STREAM, TENANT, Stage
from perdure_common.decider import Recorded
from perdure_contracts.cron import CronEvent, CronFired, CronSettled, CronSkipped
from perdure_scheduler.app import service
from perdure_scheduler.cron_state import instant

Damage = Callable[[list[CronEvent]], list[CronEvent]]


def judged(events: Sequence[CronEvent]) -> list[str]:
    assert service.judge is not None
    judge, found = service.judge(), list[str]()
    now = instant("2026-01-01T00:00Z")
    for version, event in enumerate(events, start=1):
        if isinstance(event, CronFired):
            now = max(now, instant(event.fired_at))
        elif isinstance(event, CronSettled):
            now = max(now, instant(event.settled_until))
        recorded = Recorded[Any](event, TENANT, STREAM, version, now)
        found += [f"{promise} {text}" for promise, _, text in judge.see(recorded)]
    return found


def a_life() -> Stage:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", timezone="Europe/Berlin", overlap="queue")
    stage.runs_until("2026-01-01T00:45Z", late=timedelta(seconds=2))
    stage.ends()
    stage.sleeps_until("2026-01-01T03:00:30Z")
    stage.wakes()
    stage.ends()
    stage.runs_until("2026-01-01T04:00Z")
    return stage


def test_nothing_is_said_of_a_trigger_that_kept_its_promises() -> None:
    stage = a_life()
    assert len(stage.fired) >= 3 and any(isinstance(e, CronSkipped) for e in stage.events)
    assert judged(stage.events) == []


def test_what_waits_when_a_version_is_replaced_was_named_by_that_one() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *", overlap="queue")
    stage.runs_until("2026-01-01T02:01Z")
    stage.serves("30 * * * *", overlap="queue", version=2)
    stage.ends()
    assert stage.times == ["01:00", "02:00"]
    assert judged(stage.events) == []


def _twice(events: list[CronEvent]) -> list[CronEvent]:
    fired = next(each for each in events if isinstance(each, CronFired))
    return [*events, fired]


def _lost(events: list[CronEvent]) -> list[CronEvent]:
    return [each for each in events if each is not _first(events, CronFired)]


def _off(events: list[CronEvent]) -> list[CronEvent]:
    fired = _first(events, CronFired)
    wrong = replace(fired, scheduled_at="2026-01-01T00:11:00Z")
    return [wrong if each is fired else each for each in events]


def _uncounted(events: list[CronEvent]) -> list[CronEvent]:
    return [replace(each, missed=0) if isinstance(each, CronSettled) else each for each in events]


def _first(events: list[CronEvent], kind: type) -> Any:
    return next(each for each in events if isinstance(each, kind))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_twice, "I8 it happened more than once"),
        (_lost, "I8 2026-01-01T00:10:00Z was due in time and did not happen"),
        (_off, "does not name 2026-01-01T00:11:00Z"),
        (_uncounted, "0 were counted"),
    ],
)
def test_each_defect_is_found(damage: Damage, says: str) -> None:
    found = judged(damage(list(a_life().events)))
    assert any(says in each for each in found), found
