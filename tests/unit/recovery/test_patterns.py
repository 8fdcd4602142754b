"""Patterns count what happens and believe what they were taught."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_common.breaking import OPEN_CODE
from perdure_common.decider import Recorded, Upsert
from perdure_contracts.deciding import CountFailure
from perdure_contracts.patterns import (
    NoteLesson,
    NoteOccurrence,
    PatternCommand,
    PatternEvent,
    PatternFacts,
)
from perdure_recovery.experience import experience_in, provider_of
from perdure_recovery.patterns import Pattern, decide, evolve, project, route
from perdure_recovery.retention import FOREVER

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = PatternFacts(
    workspace_id="ws",
    signature="v1:0123456789abcdef",
    dependency="http:tickets.example",
    failure_type="dependency_down",
    rule_id="status:503",
    root_cause_category="provider",
    pattern_source="rule",
    error_type="http_status",
    error_message="the answer was <number>",
    error_message_hash="0" * 64,
    execution_stage="request",
)


def seen(failure_id: str, *, tried: bool = True) -> NoteOccurrence:
    return NoteOccurrence(
        pattern_id="p", failure_id=failure_id, pattern=FACTS, seen_at=NOW.isoformat(), tried=tried
    )


def lesson(attempt_id: str, *, succeeded: bool, at: datetime = NOW) -> NoteLesson:
    return NoteLesson(
        pattern_id="p", attempt_id=attempt_id, succeeded=succeeded, learnt_at=at.isoformat()
    )


def told(*commands: PatternCommand) -> tuple[Pattern, list[Upsert]]:
    """Return the pattern after the commands, and the rows that they wrote."""
    state, rows = Pattern(), list[Upsert]()
    for command in commands:
        events: tuple[PatternEvent, ...] = decide(state, command, {}, NOW)
        for event in events:
            state = evolve(state, event)
            recorded = Recorded(event, "t", "p", len(rows) + 1, NOW)
            rows += project(state, recorded)
            assert route(state, recorded) == ()
    return state, rows


def test_every_event_counts_and_the_first_stays_the_first() -> None:
    _, (first, second) = told(seen("f1"), seen("f2"))
    assert (first.set["occurrence_count"], second.set["occurrence_count"]) == (1, 2)
    assert first.set["first_detected_at"] == second.set["first_detected_at"] == NOW.isoformat()
    assert first.set["pattern_signature"] == FACTS.signature


def test_a_pattern_that_came_once_is_forgotten_one_that_came_again_is_kept() -> None:
    _, (first, second) = told(seen("f1"), seen("f2"))
    assert first.set["kept_until"] == NOW + timedelta(days=90)
    assert second.set["kept_until"] == FOREVER


def test_a_row_that_was_forgotten_comes_back_whole() -> None:
    _, (first, second) = told(seen("f1"), seen("f2"))
    assert set(second.set) >= set(first.set)
    assert second.add == {}


def test_a_failure_counts_once_and_an_attempt_teaches_once() -> None:
    state, rows = told(
        seen("f1"), seen("f1"), lesson("a1", succeeded=True), lesson("a1", succeeded=True)
    )
    assert (state.occurrences, state.lessons.successes, len(rows)) == (1, 1, 2)


def test_only_a_try_moves_the_time_of_the_last_try() -> None:
    _, (tried, not_tried) = told(seen("f1"), seen("f2", tried=False))
    assert tried.set["last_tried_at"] == NOW.isoformat()
    assert not_tried.set["last_tried_at"] == NOW.isoformat()  # said again, not moved
    _, (never,) = told(seen("f1", tried=False))
    assert never.set["last_tried_at"] is None


def test_failures_in_several_windows_make_a_pattern_lasting() -> None:
    lessons = [
        lesson(f"a{n}", succeeded=False, at=NOW + timedelta(minutes=6 * n)) for n in range(8)
    ]
    _, rows = told(seen("f1"), *lessons)
    assert rows[0].set["is_transient"] is not False
    assert rows[-1].set["is_transient"] is False
    assert rows[-1].set["lesson_failures"] == pytest.approx(8.0, abs=0.1)


def test_what_a_row_says_is_what_a_decision_reads() -> None:
    _, rows = told(seen("f1"), lesson("a1", succeeded=True))
    row = {"last_tried_at": None} | dict(rows[0].set) | dict(rows[1].set)
    row = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
    own, others, tried_at = experience_in({"patterns": [row]}, "ws", FACTS.dependency)
    assert (own.successes, own.failures, others) == (1.0, 0.0, [])
    assert tried_at == NOW


def test_other_workspaces_count_by_provider_never_by_host() -> None:
    assert provider_of("llm:openai:gpt-4o") == provider_of("llm:openai:o3") == "llm:openai"
    assert provider_of("http:a.example") == provider_of("http:b.example") == "http"
    rows = [
        {
            "workspace_id": name,
            "dependency": "llm:openai:gpt-4o",
            "lesson_successes": 1.0,
            "lesson_failures": 0.0,
            "weighed_at": NOW.isoformat(),
            "last_tried_at": None,
        }
        for name in ("a", "b", "b")
    ]
    own, others, _ = experience_in({"patterns": rows}, "ws", "llm:openai:o3")
    assert own.successes == 0.0
    assert [counts.successes for counts in others] == [1.0, 2.0]
    assert experience_in({"patterns": rows}, "ws", "llm:anthropic:x")[1] == []


def counts(failures: list[NoteOccurrence]) -> list[int]:
    """Return how many were alike, for each time that the stream of incidents was told."""
    state, found = Pattern(), list[int]()
    for command in failures:
        for event in decide(state, command, {}, NOW):
            state = evolve(state, event)
            for outgoing in route(state, Recorded(event, "t", "p", 1, NOW)):
                assert isinstance(outgoing.message, CountFailure)
                assert outgoing.stream == outgoing.message.line == "p/incident"
                assert outgoing.message.execution_id == command.execution_id
                found.append(outgoing.message.alike)
    return found


def came(n: int, after_s: float, **more: Any) -> NoteOccurrence:
    at = NOW + timedelta(seconds=after_s)
    return replace(seen(f"f{n}"), seen_at=at.isoformat(), execution_id=f"e{n}", **more)


def test_ten_within_a_minute_are_told_to_the_stream_of_incidents() -> None:
    assert counts([came(n, 6 * n) for n in range(11)]) == [10, 10]
    assert counts([came(n, 6.7 * n) for n in range(30)]) == []


def test_while_there_is_an_incident_every_failure_counts() -> None:
    assert counts([came(1, 0), came(2, 200, counts=True)]) == [1]


def test_calls_that_a_breaker_held_are_no_storm() -> None:
    held = replace(FACTS, error_type=OPEN_CODE)
    assert counts([came(n, n, pattern=held, counts=True) for n in range(30)]) == []


def test_what_was_noted_before_patterns_counted_tells_nobody() -> None:
    old = [replace(came(n, n), execution_id="") for n in range(30)]
    assert counts(old) == []
