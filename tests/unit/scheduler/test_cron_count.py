"""Firings between two instants are counted as if each had been found, in a bounded time."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from cron_stage import Stage
from perdure_scheduler.cron import cron
from perdure_scheduler.cron_count import count

MOST = 1000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
EXPRESSIONS = (
    *("* * * * *", "*/7 * * * *", "0 * * * *", "3,17 * * * *", "*/20 */5 * * * *"),
    *("0 9 * * *", "*/15 8-17 * * *", "30 2 * * *", "0 */2 * * *", "0 9 * * MON", "0 0 1 * *"),
)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_it_is_the_count_of_those_that_are_found_one_by_one(text: str, zone: str) -> None:
    schedule, chance = cron(text, zone), random.Random(f"{text} {zone}")
    for _ in range(12):
        after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(31_536_000))
        # Days in which clocks change are among them, and instants at which it fires.
        after = chance.choice((after, schedule.after(after) or after))
        until = after + timedelta(seconds=chance.randrange(400_000))
        one_by_one = schedule.between(after, until, 100_000)
        found = count(schedule, after, until, 100_000)
        assert found == len(one_by_one), (after, until)


@pytest.mark.parametrize(
    ("text", "zone", "missed"),
    [
        ("* * * * *", "Europe/Berlin", 525_600),
        ("*/15 * * * *", "Asia/Kolkata", 35_040),
        ("* * * * * *", "UTC", 31_536_000),
        ("*/5 8-17 * * *", "UTC", 43_800),
        ("*/5 8-17 * * *", "Europe/Berlin", MOST),  # its clocks are changed: one by one
        ("*/5 * * * MON-FRI", "UTC", MOST),
        ("* * * * *", "Australia/Lord_Howe", MOST),  # by half an hour
    ],
)
def test_a_year_of_outage_costs_a_bounded_time(text: str, zone: str, missed: int) -> None:
    stage = Stage("2026-01-01T00:00Z")
    stage.serves(text, timezone=zone, misfire="fire_once", overlap="allow")
    stage.sleeps_until("2027-01-01T00:01:30Z")
    began = time.process_time()
    stage.wakes()
    assert time.process_time() - began < 1.0
    told = stage.fired[0].missed_count
    late = sum(each.missed for each in stage.events if hasattr(each, "missed"))  # type: ignore
    assert late - 60 <= missed <= late
    assert missed - 62 <= told <= missed + 62
