"""How far back a backfill reaches: as far as it is remembered which firings have happened."""

from datetime import timedelta

from cron_stage import NODE, WORKFLOW, Stage
from perdure_common.decider import Rejected
from perdure_contracts.cron import BackfillCron
from perdure_scheduler.cron_backfill import FIRINGS_KEPT, REACH
from perdure_scheduler.cron_state import instant


def backfill(first: str, until: str, force_id: str = "") -> BackfillCron:
    return BackfillCron(
        workflow_id=WORKFLOW, node_id=NODE, first=first, until=until, force_id=force_id
    )


def hourly() -> Stage:
    stage = Stage("2026-01-01T00:05Z")
    stage.serves("0 * * * *")
    return stage


def test_a_backfill_reaches_as_far_as_firings_are_remembered() -> None:
    stage = hourly()
    edge = stage.now - REACH
    until = (edge + timedelta(hours=2)).isoformat()
    assert stage.does(backfill(edge.isoformat(), until)) == stage.fired
    assert stage.times == ["01:00", "02:00"]
    assert stage.does(backfill(edge.isoformat(), until)) == []


def test_one_that_reaches_behind_is_refused_and_says_from_where_on_it_is_taken() -> None:
    stage = hourly()
    edge = stage.now - REACH
    before, until = edge - timedelta(seconds=1), edge + timedelta(hours=2)
    refused = stage.does(backfill(before.isoformat(), until.isoformat()))
    assert isinstance(refused, Rejected) and refused.code == "backfill_too_old"
    assert "from 2025-12-02T00:06+00:00 on" in refused.reason and "--force" in refused.reason
    assert stage.fired == []


def test_a_forced_one_need_not_know_what_has_happened() -> None:
    stage = hourly()
    stage.does(backfill("2025-11-01T00:00Z", "2025-11-01T02:00Z", force_id="all"))
    assert stage.times == ["00:00", "01:00"]


def test_what_a_backfill_may_ask_for_is_not_forgotten() -> None:
    stage = hourly()
    edge = stage.now - REACH
    stage.does(backfill(edge.isoformat(), stage.now.isoformat()))
    oldest = min(instant(each.scheduled_at) for each in stage.fired)
    assert oldest > stage.now - FIRINGS_KEPT + timedelta(hours=23)
    assert all(instant(each.fired_at) >= instant(each.scheduled_at) for each in stage.fired)
