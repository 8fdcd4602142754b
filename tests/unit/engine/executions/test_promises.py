"""What an execution's stream must keep: a sound one breaks nothing, each damage is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from perdure_common.decider import Recorded
from perdure_contracts.engine import ExecutionCompleted, NodeCompleted
from perdure_contracts.executions import AttemptFailed, NodeScheduled
from perdure_engine.promises import Judge
from playing import BEGAN, EXECUTION_ID, Play, failed, http, node, play, workflow

Events = list[Any]


def played() -> Play:
    """An execution whose request fails once, is revived after its end, and succeeds."""
    told = play(workflow([http("h", max_retries=1), node("end")], ["t>h", "h>end"]))
    told.answer("h", error=failed("upstream", retryable=True))
    told.wake()
    told.answer("h", error=failed("validation"))
    told.verdict("h", "give_up")
    told.give(told.retry("h"))
    told.answer("h", {"ok": 1})
    return told


def broken(events: Events) -> list[tuple[str, str, str]]:
    judge, found = Judge(), list[tuple[str, str, str]]()
    for version, event in enumerate(events, 1):
        found.extend(judge.see(Recorded(event, "tenant", EXECUTION_ID, version, BEGAN)))
    return found


def first(events: Events, kind: type) -> int:
    return next(i for i, event in enumerate(events) if isinstance(event, kind))


def last(events: Events, kind: type) -> int:
    return max(i for i, event in enumerate(events) if isinstance(event, kind))


def _completed_twice(events: Events) -> None:
    events.insert(last(events, NodeCompleted), events[last(events, NodeCompleted)])


def _begun_twice(events: Events) -> None:
    events.insert(1, events[0])


def _after_the_end(events: Events) -> None:
    events.append(events[first(events, NodeCompleted)])


def _answered_twice(events: Events) -> None:
    events.insert(first(events, AttemptFailed), events[first(events, AttemptFailed)])


def _not_answered(events: Events) -> None:
    del events[first(events, AttemptFailed)]


def _attempt_left_out(events: Events) -> None:
    del events[first(events, NodeScheduled)]


def _another_key(events: Events) -> None:
    place = last(events, NodeScheduled)
    events[place] = replace(events[place], idempotency_key="another")


def _no_beginning(events: Events) -> None:
    del events[0]


def test_a_sound_execution_breaks_nothing() -> None:
    told = played()
    assert told.state.status == "SUCCESS" and told.told(ExecutionCompleted)
    assert broken(list(told.events)) == []


@pytest.mark.parametrize(
    ("damage", "promise", "text"),
    [
        (_completed_twice, "I1", "ended more than once"),
        (_begun_twice, "I4", "began more than once"),
        (_after_the_end, "I4", "came after ExecutionCompleted"),
        (_answered_twice, "I1", "was not under way"),
        (_not_answered, "I1", "before the one before was answered"),
        (_attempt_left_out, "I1", "was not under way"),
        (_another_key, "I1", "its effects have the keys"),
        (_no_beginning, "I4", "before it began"),
    ],
)
def test_damage_is_told(damage: Callable[[Events], None], promise: str, text: str) -> None:
    events: Events = list(played().events)
    damage(events)
    found = broken(events)
    assert any(p == promise and text in told for p, _, told in found), found
