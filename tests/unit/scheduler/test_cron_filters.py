"""What the filter of a cron trigger sees, and what becomes of the firings that it leaves out."""

from cron_stage import Stage, backfill, skipped
from perdure_scheduler.cron_settings import as_config, from_config, read_settings


def test_a_filter_sees_the_firing_and_leaves_others_out() -> None:
    stage = Stage("2026-01-01T00:30Z")
    chosen = "{{ $json.scheduled_at.slice(11, 13) === '02' && $event.type.endsWith('cron') }}"
    stage.serves("0 * * * *", filter=chosen, overlap="queue")
    stage.runs_until("2026-01-01T03:00Z")
    assert stage.times == ["02:00"]
    assert skipped(stage) == [("01:00", "filter", None), ("03:00", "filter", None)]
    assert stage.row()["settled_until"] == stage.now
    stage.does(backfill("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z"))
    assert stage.times == ["02:00", "02:00"]


def test_a_filter_that_fails_starts_nothing_and_is_shown_on_its_trigger() -> None:
    stage = Stage("2026-01-01T00:30Z")
    stage.serves("0 * * * *", filter="{{ $json.timezone }}")
    stage.runs_until("2026-01-01T01:00Z")
    assert not stage.fired
    assert "the filter gave str" in stage.row()["filter_error"]
    assert "firing of 2026-01-01T01:00:00Z" in stage.row()["filter_error"]


def test_a_filter_is_read_with_the_node_and_kept_with_its_settings() -> None:
    settings, faults = read_settings({"expression": "@daily", "filter": " {{ $json.backfill }} "})
    assert (faults, settings and settings.filter) == ([], "{{ $json.backfill }}")
    without, _ = read_settings({"expression": "@daily", "filter": True})
    assert without is not None
    assert without.filter == ""
    for one in (settings, without):
        assert one is not None
        assert from_config(as_config(one)) == one
    assert "filter" not in as_config(without)


def test_what_was_missed_is_told_by_the_first_firing_that_the_filter_lets_pass() -> None:
    stage = Stage("2026-01-01T04:30:30Z")
    whole_hours = "{{ $json.scheduled_at.slice(14, 16) === '00' }}"
    stage.serves("* * * * *", filter=whole_hours, misfire="skip", overlap="allow")
    stage.sleeps_until("2026-01-01T05:00:00Z")  # 04:31 to 04:58 were missed, two are on time
    stage.wakes()
    assert [(each.scheduled_at[11:16], each.missed_count) for each in stage.fired] == [
        ("05:00", 28)
    ]
    assert skipped(stage) == [("04:59", "filter", None)]
