"""What a cron trigger does with what falls due, comes late, overlaps, rests, or lies behind."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cron_oracle import expected
from cron_stage import NODE, STREAM, TENANT, WORKFLOW, Stage, backfill, skipped
from perdure_common.decider import Due, Rejected
from perdure_common.ids import NAMESPACE, canonical_json
from perdure_contracts.cron import (
    CronQueued,
    PauseTrigger,
    ResumeTrigger,
    RetireCron,
)
from perdure_contracts.engine import CancelExecution, StartExecution
from perdure_scheduler.cron_ids import written
from perdure_scheduler.cron_settings import read_settings
from perdure_scheduler.cron_state import due_at, wake_at

PAUSE = PauseTrigger(workflow_id=WORKFLOW, node_id=NODE, asked_by="ann")
RESUME = ResumeTrigger(workflow_id=WORKFLOW, node_id=NODE, asked_by="ann")


def test_a_firing_starts_one_execution_with_ids_that_follow_from_it() -> None:
    stage = Stage("2026-01-01T00:30Z")
    stage.serves("0 * * * *", timezone="Europe/Berlin", version=3)
    stage.runs_until("2026-01-01T01:00:02Z", late=timedelta(seconds=1))
    (message,) = [each.message for each in stage.sent]
    assert isinstance(message, StartExecution)
    fire_id = str(
        uuid.uuid5(NAMESPACE, canonical_json([WORKFLOW, NODE, "2026-01-01T01:00:00Z"]).decode())
    )
    assert message.trigger == {
        "id": fire_id,
        "source": "/scheduler/cron",
        "type": "perdure.trigger.cron",
        "subject": f"{WORKFLOW}/{NODE}",
        "time": "2026-01-01T01:00:00Z",
        "due": "2026-01-01T01:00:00+00:00",
    }
    assert message.data == {
        "scheduled_at": "2026-01-01T01:00:00Z",
        "scheduled_local": "2026-01-01T02:00:00+01:00",
        "timezone": "Europe/Berlin",
        "fired_at": "2026-01-01T01:00:01+00:00",
        "missed_count": 0,
        "backfill": False,
    }
    assert (message.version, message.mode, message.triggered_by) == (3, "TRIGGER", "CRON:clock")
    assert message.watched_by == STREAM
    milliseconds = int(datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert message.execution_id.replace("-", "")[:12] == f"{milliseconds:012x}"
    delivery = stage.rows["trigger_deliveries", fire_id]
    assert delivery["executions"] == [message.execution_id]
    assert stage.row()["next_fire_at"] == datetime(2026, 1, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text", "year"),
    [
        ("Europe/Berlin", "30 2 * * *", 2026),
        ("America/New_York", "*/30 1 * * *", 2026),
        ("Australia/Lord_Howe", "15 2,14 * * *", 2026),
        ("America/Sao_Paulo", "0 0 * * 0,3", 2018),
        ("UTC", "0 12 29 2 *", 2028),
    ],
)
def test_a_year_of_restarts_and_jumps_fires_exactly_what_is_due(
    zone: str, text: str, year: int
) -> None:
    first, until = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    stage = Stage(first.isoformat())
    stage.serves(text, timezone=zone, misfire="fire_all", overlap="allow")
    day, k = first, 0
    while day < until:
        day, k = min(day + timedelta(hours=13 + k % 10), until), k + 1
        if k % 5 == 0:  # an outage, or a jump forward
            stage.sleeps_until(day)
            stage.wakes()
        else:
            stage.runs_until(day, late=timedelta(milliseconds=1 + k % 900))
        if k % 7 == 0:
            stage.restarts()
        if k % 3 == 0:  # the clock is set back: what was done is not done again
            stage.now -= timedelta(hours=3)
            before = len(stage.events)
            stage.wakes()
            assert len(stage.events) == before
            stage.now += timedelta(hours=3)
    found = [datetime.fromisoformat(each.scheduled_at) for each in stage.fired]
    assert found == expected(text, zone, first, until)
    ids = {each.execution_id for each in stage.fired}
    assert len(ids) == len(found) == len({each.fire_id for each in stage.fired})


def test_every_second_fires_when_the_scheduler_is_a_little_late() -> None:
    stage = Stage("2026-01-01T00:00:00.3Z")
    stage.serves("* * * * * *", overlap="allow")
    stage.runs_until("2026-01-01T00:00:20Z", late=timedelta(seconds=2.5))
    seconds = [each.scheduled_at[17:19] for each in stage.fired]
    assert seconds == sorted(set(seconds)) == [f"{k:02}" for k in range(1, len(seconds) + 1)]
    assert len(seconds) >= 17
    assert {each.missed_count for each in stage.fired} == {0}


@pytest.mark.parametrize(
    ("misfire", "overlap", "times", "missed"),
    [
        ("fire_once", "allow", ["03:50"], [22]),
        ("skip", "allow", [], []),
        ("fire_all", "allow", [f"{m // 60:02}:{m % 60:02}" for m in range(10, 231, 10)], [0] * 23),
    ],
)
def test_what_was_missed_is_dealt_with_by_the_policy(
    misfire: str, overlap: str, times: list[str], missed: list[int]
) -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 0-3 * * *", misfire=misfire, overlap=overlap)
    stage.sleeps_until("2026-01-01T09:00Z")
    stage.wakes()
    assert stage.times == times
    assert [each.missed_count for each in stage.fired] == missed


@pytest.mark.parametrize("misfire", ["fire_once", "skip"])
def test_a_firing_on_time_carries_how_many_were_missed_before_it(misfire: str) -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", misfire=misfire, overlap="allow")
    stage.sleeps_until("2026-01-01T01:00:59Z")
    stage.wakes()
    assert stage.times == ["01:00"]
    assert stage.fired[0].missed_count == 5


def test_a_minute_late_is_on_time_and_more_is_missed() -> None:
    for late, times in ((60, ["01:00"]), (61, [])):
        stage = Stage("2026-01-01T00:30Z")
        stage.serves("0 * * * *", misfire="skip")
        stage.sleeps_until(datetime(2026, 1, 1, 1, tzinfo=UTC) + timedelta(seconds=late))
        stage.wakes()
        assert stage.times == times, late


def test_no_more_than_a_hundred_of_the_last_day_are_made_up_for() -> None:
    stage = Stage("2026-01-01T00:00Z")
    stage.serves("*/5 * * * *", misfire="fire_all", overlap="allow")
    stage.sleeps_until("2026-01-11T00:02:30Z")
    stage.wakes()
    found = [each.scheduled_at for each in stage.fired]
    assert len(found) == 100
    assert (found[0], found[-1]) == ("2026-01-10T15:45:00Z", "2026-01-11T00:00:00Z")
    assert stage.fired[0].missed_count == 2780
    stage = Stage("2026-01-01T00:00Z")
    stage.serves("0 * * * *", misfire="fire_all", overlap="allow")
    stage.sleeps_until("2026-01-11T00:30Z")
    stage.wakes()
    assert len(stage.fired) == 24 and stage.fired[0].scheduled_at == "2026-01-10T01:00:00Z"


def test_while_an_execution_is_open_the_next_firing_is_skipped_and_says_for_whom() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *")
    stage.runs_until("2026-01-01T00:25Z")
    (first,) = stage.fired
    assert skipped(stage) == [("00:20", "overlap", first.execution_id)]
    assert first.execution_id in stage.row()["error_message"]
    stage.ends()
    stage.runs_until("2026-01-01T00:35Z")
    assert stage.times == ["00:10", "00:30"]
    assert stage.row()["error_message"] is None


def test_a_queue_holds_the_newest_and_starts_it_at_the_end() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", overlap="queue")
    stage.runs_until("2026-01-01T00:35Z")
    assert stage.times == ["00:10"]
    assert [each[:2] for each in skipped(stage)] == [("00:20", "replaced")]
    stage.restarts()
    stage.ends(status="ERROR")
    assert stage.times == ["00:10", "00:30"]
    assert stage.fired[-1].missed_count == 1
    assert stage.state.queued is None and stage.state.open == (stage.fired[-1].execution_id,)
    stage.ends(stage.fired[0].execution_id)  # it is told twice
    assert len(stage.fired) == 2


def test_cancel_previous_stops_the_one_before_and_starts_when_it_has_ended() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", overlap="cancel_previous")
    stage.runs_until("2026-01-01T00:25Z")
    canceled = [e.message for e in stage.sent if isinstance(e.message, CancelExecution)]
    assert [each.execution_id for each in canceled] == [stage.fired[0].execution_id]
    assert stage.times == ["00:10"]
    stage.ends(status="CANCELED")
    assert stage.times == ["00:10", "00:20"]


def test_who_allows_overlap_watches_nobody() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", overlap="allow")
    stage.runs_until("2026-01-01T00:35Z")
    assert len(stage.fired) == 3 and stage.state.open == ()
    assert {e.message.watched_by for e in stage.sent if isinstance(e.message, StartExecution)} == {
        ""
    }


def test_jitter_delays_the_firing_and_not_its_instant() -> None:
    stage = Stage("2026-01-01T00:30Z")
    stage.serves("0 * * * *", jitter_s=600, overlap="allow")
    delays: set[float] = set()
    for hour in range(1, 20):
        due = wake_at(stage.state)
        assert due is not None
        stage.runs_until(due)
        fired = stage.fired[-1]
        assert fired.scheduled_at == f"2026-01-01T{hour:02}:00:00Z"
        delays.add((due - datetime.fromisoformat(fired.scheduled_at)).total_seconds())
        stage.does(Due(STREAM))
    assert len(stage.fired) == 19
    assert len(delays) > 10 and min(delays) >= 0 and max(delays) <= 600


def test_a_firing_is_not_late_by_its_jitter() -> None:
    stage = Stage("2026-01-01T00:30Z")
    stage.serves("0 * * * *", jitter_s=600, overlap="allow")
    for late in (timedelta(), timedelta(seconds=3)):
        due = wake_at(stage.state)
        assert due is not None and due.minute + due.second > 0, "its jitter delays it"
        stage.runs_until(due + late, late)
        assert stage.row()["last_late_s"] == late.total_seconds()
        stage.does(Due(STREAM))


def test_a_pause_settles_what_is_due_and_what_falls_into_it_never_happens() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", overlap="queue", misfire="fire_all")
    stage.runs_until("2026-01-01T00:25Z")
    stage.sleeps_until("2026-01-01T00:30:10Z")
    stage.does(PAUSE)
    assert [e.scheduled_at[11:16] for e in stage.events if isinstance(e, CronQueued)] == [
        "00:20",
        "00:30",
    ]
    assert skipped(stage)[-1][:2] == ("00:30", "paused")
    assert wake_at(stage.state) is None and stage.row()["is_active"] is False
    stage.ends()
    assert stage.does(PAUSE) == []
    stage.now = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
    stage.does(RESUME)
    stage.runs_until("2026-01-01T02:15Z")
    assert stage.times == ["00:10", "02:10"]  # 02:00 is the instant of resuming itself


def test_an_update_with_the_same_times_goes_on_and_with_others_begins_after_itself() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *", misfire="fire_all", overlap="allow")
    stage.sleeps_until("2026-01-01T01:30Z")
    stage.serves("0 * * * *", version=2, misfire="fire_all", overlap="allow")
    assert stage.times == ["01:00"] and stage.fired[0].version == 1
    assert stage.row()["next_fire_at"] == datetime(2026, 1, 1, 2, tzinfo=UTC)
    stage.does(PAUSE)
    stage.serves("30 * * * *", version=3)
    assert stage.state.paused  # by the operator, who did not deploy
    stage.does(RESUME)
    stage.runs_until("2026-01-01T02:45Z")
    assert stage.times == ["01:00", "02:30"] and stage.fired[-1].version == 3


def test_a_retired_trigger_fires_no_more_and_not_again_when_it_serves_again() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *", misfire="fire_all", overlap="allow")
    stage.runs_until("2026-01-01T01:30Z")
    stage.does(RetireCron(workflow_id=WORKFLOW, node_id=NODE, at=stage.now.isoformat()))
    assert wake_at(stage.state) is None
    stage.sleeps_until("2026-01-01T05:00Z")
    stage.serves("0 * * * *", version=2, misfire="fire_all", overlap="allow")
    stage.runs_until("2026-01-01T06:30Z")
    assert stage.times == ["01:00", "06:00"]


def test_a_firing_before_a_swap_belongs_to_the_old_version_even_if_jitter_delays_it() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *", jitter_s=3000)
    stage.now = datetime(2026, 1, 1, 1, 0, 0, 500, tzinfo=UTC)
    stage.serves("30 * * * *", version=2)
    assert stage.times == ["01:00"] and stage.fired[0].version == 1
    assert stage.row()["last_late_s"] == 0.0, "it did not wait for its jitter"


def test_a_backfill_does_what_did_not_happen_with_the_same_ids() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *")
    stage.runs_until("2026-01-01T03:30Z")
    assert stage.times == ["01:00"]  # the others were skipped: the first is still open
    stage.does(PAUSE)
    done = stage.does(backfill("2025-12-31T23:00:00Z", "2026-01-01T03:00:00Z"))
    assert not isinstance(done, Rejected)
    assert stage.times == ["01:00", "23:00", "00:00", "02:00"]
    assert [each.backfill for each in stage.fired] == [False, True, True, True]
    assert stage.does(backfill("2025-12-31T23:00:00Z", "2026-01-01T03:00:00Z")) == []
    ids = {each.execution_id for each in stage.fired}
    forced = backfill("2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z", "again")
    stage.does(forced)
    assert len(ids | {each.execution_id for each in stage.fired}) == len(ids) + 2


def test_a_backfill_leaves_alone_what_its_jitter_still_holds_back() -> None:
    stage = Stage("2026-01-01T00:30Z")
    stage.serves("*/5 * * * *", jitter_s=200, overlap="allow")
    at = stage.now + timedelta(minutes=5)
    while due_at(stage.state, at) - at < timedelta(seconds=30):
        at += timedelta(minutes=5)
    stage.runs_until(at - timedelta(seconds=1))
    stage.now = at + timedelta(seconds=10)
    stage.does(backfill("2026-01-01T00:30Z", stage.now.isoformat()))
    assert written(at) not in [each.scheduled_at for each in stage.fired]
    stage.runs_until(at + timedelta(minutes=4))
    assert [each.scheduled_at for each in stage.fired].count(written(at)) == 1


def test_a_forced_backfill_leaves_what_waits_waiting() -> None:
    stage = Stage("2026-01-01T00:30Z")
    stage.serves("0 * * * *", overlap="queue")
    stage.runs_until("2026-01-01T02:01:00Z")
    stage.does(backfill("2026-01-01T02:00Z", "2026-01-01T02:01Z", force_id="once-more"))
    assert stage.times == ["01:00", "02:00"] and stage.fired[-1].backfill
    stage.restarts()
    stage.ends()
    assert stage.times == ["01:00", "02:00", "02:00"] and not stage.fired[-1].backfill


@pytest.mark.parametrize(
    ("day", "times"),
    [
        ("2026-03-29", ["00:30", "01:00", "01:30"]),  # 02:30 does not exist: at 03:00
        ("2026-10-25", ["00:30"]),  # 02:30 comes twice, and fires in the first pass
    ],
)
def test_a_backfill_over_a_change_of_clocks_is_what_the_clock_would_have_fired(
    day: str, times: list[str]
) -> None:
    clock: dict[str, Any] = {"timezone": "Europe/Berlin", "overlap": "allow", "jitter_s": 600}
    late = Stage(f"{day}T12:00Z")
    late.serves("30 1,2,3 * * *", **clock)
    late.does(backfill(f"{day}T00:01Z", f"{day}T02:00Z"))
    lived = Stage(f"{day}T00:01Z")
    lived.serves("30 1,2,3 * * *", **clock)
    lived.runs_until(f"{day}T02:15Z")
    assert late.times == lived.times == times
    assert [each.fire_id for each in late.fired] == [each.fire_id for each in lived.fired]


@pytest.mark.parametrize(
    ("first", "until", "code"),
    [
        ("2026-01-01T00:00Z", "2026-01-02T00:00Z", "backfill_in_future"),
        ("2025-12-31T02:00Z", "2025-12-31T02:00Z", "invalid_backfill"),
        ("yesterday", "2025-12-31T02:00Z", "invalid_backfill"),
        ("2025-12-31T01:00", "2025-12-31T02:00", "invalid_backfill"),  # by which clocks?
        ("2025-01-01T00:00Z", "2025-12-31T02:00Z", "backfill_too_large"),
        ("2015-01-01T00:00Z", "2025-01-01T00:00Z", "backfill_too_large"),
        ("0001-01-01T00:00:00Z", "2025-12-31T02:00Z", "invalid_backfill"),
        ("0001-01-01T00:00:01Z", "0001-01-02T00:00Z", "invalid_backfill"),
        ("2025-12-31T02:00Z", "9999-12-31T23:59:59Z", "invalid_backfill"),
    ],
)
def test_a_backfill_that_cannot_be_is_refused(first: str, until: str, code: str) -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *")
    refused = stage.does(backfill(first, until))
    assert isinstance(refused, Rejected) and refused.code == code


@pytest.mark.parametrize("command", [PAUSE, RESUME, backfill("2026-01-01", "2026-01-02")])
def test_what_does_not_serve_cannot_be_steered(command: Any) -> None:
    refused = Stage("2026-01-01T00:05Z").does(command)
    assert isinstance(refused, Rejected) and refused.code == "not_serving"


def test_an_execution_that_never_ends_can_be_forgotten() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("*/10 * * * *", overlap="queue")
    stage.runs_until("2026-01-01T00:25Z")
    stage.does(ResumeTrigger(workflow_id=WORKFLOW, node_id=NODE, forget_open=True))
    assert stage.times == ["00:10", "00:20"]
    assert stage.state.open == (stage.fired[-1].execution_id,)


def test_a_trigger_looks_every_day_so_that_new_time_zones_are_seen() -> None:
    stage = Stage("2026-01-01T00:00Z")
    stage.serves("0 0 1 7 *", timezone="Europe/Berlin")
    assert wake_at(stage.state) == datetime(2026, 1, 2, tzinfo=UTC)
    stage.runs_until("2026-01-05T12:00Z")
    assert stage.fired == [] and len(stage.events) == 5


@pytest.mark.parametrize(
    ("values", "code", "says"),
    [
        ({}, "invalid_parameter", "`expression` must be a text"),
        ({"expression": "0 9 * *"}, "cron_fields", "write five"),
        ({"expression": "0 0 30 2 *"}, "cron_never_fires", "never fires"),
        ({"expression": "@daily", "timezone": "berlin"}, "invalid_timezone", "Europe/Berlin"),
        ({"expression": "@daily", "timezone": 3}, "invalid_parameter", "`timezone`"),
        ({"expression": "@daily", "zone": "UTC"}, "unknown_parameter", "'zone'"),
        ({"expression": "@daily", "overlaps": "skip"}, "unknown_parameter", "'overlap'"),
        ({"expression": "@daily", "misfire": "some"}, "invalid_parameter", "fire_once"),
        ({"expression": "@daily", "gap": ["skip"]}, "invalid_parameter", "shift, skip"),
        ({"expression": "@daily", "jitter_s": -1}, "invalid_parameter", "`jitter_s`"),
        ({"expression": "@daily", "jitter_s": True}, "invalid_parameter", "`jitter_s`"),
        ({"expression": "*/5 * * * *", "jitter_s": 300}, "jitter_too_large", "300 s apart"),
        ({"expression": "@daily", "misfire": "fire_all"}, "misfire_needs_overlap", "allow"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any], code: str, says: str) -> None:
    settings, faults = read_settings(values)
    assert settings is None
    assert faults[0][0] == code and says in faults[0][1]


def test_the_tenant_of_the_deployment_is_that_of_the_executions() -> None:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *")
    assert stage.state.tenant_id == TENANT


def test_hundreds_of_firings_at_once_keep_their_order() -> None:
    stage = Stage("2026-01-01T00:00Z")
    stage.serves("*/10 * * * * *", misfire="fire_all", overlap="allow")
    stage.sleeps_until("2026-01-01T02:00Z")
    stage.wakes()
    found: Sequence[str] = [each.scheduled_at for each in stage.fired]
    assert found == sorted(set(found)) and len(found) == 107
