"""From the instant at which a clock is due to its execution's start, as the engine measures it."""

from dataclasses import replace
from typing import Any

import pytest
from cron_stage import Stage as Clock
from perdure_contracts.engine import ExecutionStarted, StartExecution
from perdure_engine.start_delays import StartDelays, delay_of
from prometheus_client import CollectorRegistry


def started(start: StartExecution, at: str) -> ExecutionStarted:
    """Return what the engine notes of an execution that it was asked to start."""
    return ExecutionStarted(
        execution_id=start.execution_id,
        root_execution_id=start.execution_id,
        workflow_id=start.workflow_id,
        workflow_name="clocked",
        workflow_version=start.version,
        sha256="0" * 64,
        workspace_id="",
        node_id=start.node_id,
        mode=start.mode,
        triggered_by=start.triggered_by,
        trigger=start.trigger,
        started_at=at,
        steps_total=1,
    )


def firing(**more: Any) -> StartExecution:
    """Return the start that a clock asks for at one o'clock."""
    clock = Clock("2026-01-01T00:05Z")
    clock.serves("0 * * * *", **more)
    clock.runs_until("2026-01-01T01:59Z")
    [message] = [m.message for m in clock.sent if isinstance(m.message, StartExecution)]
    return message


def test_a_delay_is_counted_from_the_instant_that_was_due() -> None:
    assert delay_of(started(firing(), "2026-01-01T01:00:02.500000+00:00")) == 2.5
    assert delay_of(started(firing(), "2026-01-01T00:59:59+00:00")) == 0.0, "clocks differ"


def test_jitter_is_no_delay() -> None:
    message = firing(jitter_s=600)
    trigger: Any = message.trigger
    due: str = trigger["due"]
    assert "2026-01-01T01:00:00" < due < "2026-01-01T01:10:01"
    assert delay_of(started(message, due)) == 0.0


def test_an_execution_that_is_run_again_was_due_when_a_person_liked() -> None:
    event = started(firing(), "2026-01-03T09:00:00Z")
    assert delay_of(replace(event, rerun={"of": "x", "origin": "node"})) is None


def test_who_was_started_by_no_clock_is_not_measured() -> None:
    event = started(firing(), "2026-01-01T01:00:00Z")
    assert delay_of(replace(event, triggered_by="WEBHOOK:hook")) is None


@pytest.mark.parametrize(
    "trigger",
    [None, "due", [], {}, {"due": ""}, {"due": 5}, {"due": "soon"}, {"due": "2026-01-01"}],
)
def test_what_was_due_at_no_instant_is_passed_over(trigger: Any) -> None:
    assert delay_of(replace(started(firing(), "2026-01-01T01:00:00Z"), trigger=trigger)) is None


def test_the_histogram_has_what_clocks_started() -> None:
    registry = CollectorRegistry()
    delays = StartDelays(registry)
    delays.see(started(firing(), "2026-01-01T01:00:02Z"))
    delays.see(replace(started(firing(), "2026-01-01T01:00:02Z"), triggered_by="MANUAL:start"))
    name = "perdure_cron_start_delay_seconds"
    assert registry.get_sample_value(f"{name}_count") == 1
    assert registry.get_sample_value(f"{name}_sum") == 2.0
