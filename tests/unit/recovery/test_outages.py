"""An outage says of retries that failed in it only that it lasts: nobody is given up for that."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from perdure_common.decider import Facts, Recorded
from perdure_contracts.deciding import AttemptParked, ReleaseAttempt
from perdure_contracts.patterns import NoteLesson, NoteOccurrence
from perdure_contracts.recovery import AttemptOrdered, AttemptSucceeded
from perdure_recovery import patterns
from perdure_recovery.transience import WINDOW_S
from recovery_story import NOW, Story, at, completed, failed, kinds
from recovery_waits import facts, open_breaker, storm_of

EVERY = timedelta(seconds=2 * WINDOW_S)
"""How long after one execution of the outage the next one fails: in another window of lessons."""


class Outage:
    """Executions that fail one after the other by what is down, and what their pattern learns."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.pattern = patterns.Pattern()
        self.row: dict[str, Any] = {
            "workspace_id": "ws", "dependency": "http:tickets.example", "last_tried_at": None,
        }  # fmt: skip

    def facts(self, state: str | None = "open") -> Facts:
        """Return what an execution finds: what was learnt, and a breaker if there is one."""
        breakers = [] if state is None else [open_breaker(state)]
        known = [self.row] if self.pattern.occurrences else []
        return {**facts(), "patterns": known, "breakers": breakers}

    def begins(self, state: str | None = "open") -> Story:
        """Let another execution fail, a while after the one before."""
        self.now += EVERY
        story = Story(self.facts(state))
        story.now = self.now
        now = at(self.now)
        until = at(self.now + timedelta(days=1))
        story.hears(failed(failed_at=now, first_failed_at=now, verdict_until=until))
        return story

    def learns(self, story: Story) -> None:
        """Let the pattern hear what the execution tells it."""
        for message in story.sent:
            if not isinstance(message, NoteOccurrence | NoteLesson):
                continue
            name = message.failure_id if isinstance(message, NoteOccurrence) else message.attempt_id
            own = f"{name}/{self.now}"  # executions of a story have one name
            told = (
                replace(message, failure_id=own)
                if isinstance(message, NoteOccurrence)
                else replace(message, attempt_id=own)
            )
            for event in patterns.decide(self.pattern, told, {}, self.now):
                self.pattern = patterns.evolve(self.pattern, event)
                recorded = Recorded(event, "t", "p", 1, self.now)
                for upsert in patterns.project(self.pattern, recorded):
                    self.row |= upsert.set
        row = self.row
        row["weighed_at"] = at(row["weighed_at"]) if row.get("weighed_at") else None


def sent_to_see(story: Story) -> None:
    """Let the attempt of a story's only episode go from its line, to see."""
    [episode] = story.state.episodes.values()
    assert episode.parked is not None
    line = episode.parked.line
    [ordered] = story.does(
        ReleaseAttempt(
            execution_id="e",
            attempt_id=episode.parked.attempt_id,
            line=line,
            reason="to see",
            probe=True,
        )
    )
    assert isinstance(ordered, AttemptOrdered)


def test_executions_of_an_outage_stand_in_line_however_long_it_lasts() -> None:
    outage = Outage()
    first = outage.begins(state=None)  # its breaker opens only by these calls
    assert kinds(first.after(seconds=2).hears(failed("f2", attempt=2)))[0] == "AttemptFailed"
    assert first.lessons() == [False], "nothing was known to be down"
    outage.learns(first)
    for _ in range(12):
        story = outage.begins()
        [episode] = story.state.episodes.values()
        assert episode.parked is not None, "whoever fails in an outage stands in line"
        assert episode.parked.cause == "breaker"
        story.facts = outage.facts("half_open")
        sent_to_see(story)
        _, _, again = story.after(seconds=1).hears(failed("f2", attempt=2))
        assert isinstance(again, AttemptParked)
        assert story.lessons() == []
        outage.learns(story)
    assert outage.pattern.lessons.successes + outage.pattern.lessons.failures == 1
    assert outage.row["is_transient"] is not False


def test_outages_that_pass_leave_the_belief_that_they_do() -> None:
    outage = Outage()
    for _ in range(4):
        first = outage.begins(state=None)
        first.after(seconds=2).hears(failed("f2", attempt=2))
        outage.learns(first)
        last = outage.begins()
        last.facts = outage.facts("half_open")
        sent_to_see(last)
        [succeeded] = last.after(seconds=1).hears(completed(2))
        assert isinstance(succeeded, AttemptSucceeded)
        assert last.lessons() == [True]
        outage.learns(last)
    assert outage.row["is_transient"] is not False
    assert outage.begins().state.episodes["fetch"].parked is not None


def incident_in(story: Story) -> Facts:
    return facts(incidents=[storm_of(story)])


@pytest.mark.parametrize(
    ("row", "learnt"),
    [
        ({"state": "closed"}, [False]),
        ({"state": "open"}, []),
        ({"state": "half_open"}, []),
        ({"dependency": "http:elsewhere.example"}, [False]),
        ({"credential": "somebody-elses"}, [False]),
    ],
    ids=lambda value: str(value),
)
def test_a_retry_fails_by_a_breaker_that_has_opened_meanwhile(
    row: dict[str, str], learnt: list[bool]
) -> None:
    story = Story(facts())
    story.hears(failed())
    story.facts = facts(breakers=[{**open_breaker(), **row}])
    story.after(seconds=2).hears(failed("f2", attempt=2))
    assert story.lessons() == learnt


def test_a_retry_that_fails_in_an_incident_teaches_nothing() -> None:
    story = Story(facts())
    story.hears(failed())
    over = {**storm_of(story), "closed_at": at(NOW)}
    story.facts = incident_in(story)
    story.after(seconds=2).hears(failed("f2", attempt=2))
    assert story.lessons() == []
    after = Story(facts(incidents=[over]))
    after.hears(failed())
    after.after(seconds=2).hears(failed("f2", attempt=2))
    assert after.lessons() == [False], "the incident is over"


def test_who_was_decided_on_in_an_incident_or_waited_in_a_line_teaches_nothing_after_it() -> None:
    story = Story(facts())
    story.hears(failed())
    gate_open = {**storm_of(story), "gate": "open"}
    decided = Story(facts(incidents=[gate_open]))
    assert kinds(decided.hears(failed())) == ["FailureNoted", "AttemptOrdered"]
    decided.facts = facts()
    decided.after(seconds=2).hears(failed("f2", attempt=2))
    assert decided.lessons() == []
    waited = Story(facts(breakers=[open_breaker()]))
    waited.hears(failed())
    waited.facts = facts()
    sent_to_see(waited)
    waited.after(seconds=2).hears(failed("f2", attempt=2))
    assert waited.lessons() == []
