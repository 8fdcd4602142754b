"""Stories of attempts that wait: what holds them up, and the instant at which they are due."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from perdure_common.decider import Facts
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.executions import AttemptDue
from perdure_contracts.recovery import AttemptOrdered
from recovery_story import NOW, Story, at, failed

LATER = NOW + timedelta(seconds=30)


def facts(mode: str = "auto", people: str = "tell", **more: Any) -> Facts:
    """Return what recovery finds: a workspace's mode, and how its people are asked."""
    row = {"workspace_id": "ws", "mode": mode, "sampler": "rules", "people": people}
    return {"modes": [row], "patterns": [], **more}


def open_breaker(state: str = "open") -> Mapping[str, Any]:
    """Return the row of the breaker before the story's dependency."""
    return {
        "breaker_id": "b", "dependency": "http:tickets.example", "credential": "",
        "state": state, "until": at(LATER),
    }  # fmt: skip


def storm_of(story: Story) -> Mapping[str, Any]:
    """Return the incident that the failure of the story's only episode belongs to."""
    (noted,) = [each.failure for each in story.state.episodes.values()]
    return {"storm_id": noted.pattern_id, "gate": "probe", "closed_at": None}


def due_of(ordered: Any, story: Story) -> AttemptDue:
    """Return the engine's word that the wait of an attempt is over."""
    return AttemptDue(
        execution_id="e", node_id="fetch", scope=(), run=1, failure_id="f1",
        attempt_id=ordered.attempt_id, due_at=at(story.now),
        verdict_until=at(story.now + timedelta(seconds=10)),
    )  # fmt: skip


def waiting() -> tuple[Story, AttemptOrdered]:
    """Return a story at the instant at which its attempt is due, and the attempt."""
    story = Story(facts())
    _, ordered = story.hears(failed(error=ErrorFacts(type="rate_limit", message="slow down")))
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.ask_again
    return story.after(seconds=ordered.delay_s), ordered
