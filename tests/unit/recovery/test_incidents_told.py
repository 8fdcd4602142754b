"""What people are told of an incident, and that limits of calls are those of one credential."""

from dataclasses import replace
from typing import Any

import pytest
from one_stream import OneStream
from perdure_common.decider import Facts, Recorded
from perdure_common.ids import derived
from perdure_contracts.deciding import (
    AttemptParked,
    CountFailure,
    IncidentClosed,
    IncidentOpened,
    NoteProbe,
    ProbeNoted,
    ReleaseAttempt,
)
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.patterns import NoteOccurrence, PatternFacts
from perdure_contracts.recovery import AttemptOrdered, FailureNoted
from perdure_recovery.app import incident_streams
from perdure_recovery.explain import texts_of
from perdure_recovery.faithful import is_complete
from perdure_recovery.incidents import EXECUTIONS_MAX, Incident, count_of
from perdure_recovery.patterns import Pattern, decide, evolve, route
from recovery_story import NOW, Story, at, failed
from recovery_waits import facts, storm_of

DOWN = PatternFacts(
    workspace_id="ws",
    signature="v1:54b6f6ba12e83e74",
    dependency="http:shop",
    failure_type="dependency_down",
    rule_id="status:503",
    root_cause_category="provider",
    pattern_source="rule",
    error_type="http_status",
    error_message="the answer was <number>",
    error_message_hash="",
    execution_stage="request",
)
LIMITED = replace(DOWN, failure_type="rate_limit", rule_id="status:429")


class Told(OneStream[Incident]):
    """An incident's stream, and its row as it was written."""

    def __init__(self, pattern: PatternFacts = DOWN) -> None:
        super().__init__(incident_streams)
        self.pattern = pattern
        self.n = 0

    def fails(self, times: int = 1, each: int = 1, alike: int = 0) -> list[Any]:
        """Let failures come, so many of each execution; the last one's events."""
        found = list[Any]()
        for _ in range(times):
            self.n += 1
            execution = f"e{self.n // each}"
            told = count_of("p", self.pattern, f"f{self.n}", execution, "", alike)
            assert isinstance(told.message, CountFailure)
            found = self.asked(told.message)
        return found

    def probed(self, *, succeeded: bool) -> list[Any]:
        line = f"{self.state.storm_id}/incident"
        return self.asked(NoteProbe(line=line, attempt_id="a", succeeded=succeeded, noted_at=""))

    @property
    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for upsert in self.rows:
            found |= upsert.set
        return found


def test_an_incident_says_what_happened_to_how_many_executions_and_what_is_done() -> None:
    storm = Told()
    (_, opened) = storm.fails(10, each=2)
    assert isinstance(opened, IncidentOpened)
    assert opened.explanation is not None
    row = storm.row
    assert (row["failures"], row["executions"]) == (10, 6)
    assert row["failure_summary"] == (
        "The same failure came 10 times, in 6 executions: the answer was <number>"
    )
    assert "The dependency is http:shop." in row["root_cause"]
    assert "one attempt is made to see; the others wait in line" in row["retry_decision"]
    assert row["severity_level"] == "critical"
    storm.fails(30, each=2)
    assert (storm.row["failures"], storm.row["executions"]) == (40, 21)


def test_it_tells_what_came_of_each_attempt_that_went_to_see() -> None:
    storm = Told()
    storm.fails(10)
    storm.after(5).probed(succeeded=False)
    assert (storm.row["last_probe"], storm.row["probes_failed"]) == ("failed", 1)
    assert "the last at 2026-01-01 12:00:05 UTC" in storm.row["retry_decision"]
    assert "goes at 2026-01-01 12:00:35 UTC" in storm.row["retry_decision"]
    storm.wakes()
    assert storm.row["last_probe"] == "lost"
    storm.after(1).probed(succeeded=True)
    row = storm.row
    assert (row["last_probe"], row["severity_level"]) == ("succeeded", "medium")
    assert row["user_action_required"] == "none"
    assert (
        "succeeded at 2026-01-01 12:00:36 UTC, after 1 that went to see failed"
        in (row["retry_decision"])
    )


def test_it_says_when_it_was_over_and_whether_anything_has_worked_again() -> None:
    healed = Told()
    healed.fails(10)
    healed.after(10).probed(succeeded=True)
    (closed,) = healed.wakes()
    assert isinstance(closed, IncidentClosed)
    row = healed.row
    assert closed.executions == row["executions"] == 10
    assert row["severity_level"] == "low"
    assert (
        "began at 2026-01-01 12:00:00 UTC and was over at 2026-01-01 12:10:10 UTC"
        in (row["retry_decision"])
    )
    quiet = Told()
    quiet.fails(10)
    closed = None
    while not isinstance(closed, IncidentClosed):
        (closed,) = quiet.wakes()
    assert "no attempt has succeeded" in quiet.row["retry_decision"]
    assert quiet.row["severity_level"] == "high"
    assert quiet.row["user_action_required"] != "none"


def test_every_text_is_full_and_claims_nothing_without_a_source() -> None:
    storm, events = Told(), list[Any]()
    events += storm.fails(10)
    events += storm.after(7).probed(succeeded=False)
    events += storm.wakes()
    events += storm.after(7).probed(succeeded=True)
    events += storm.wakes()
    told = [
        each.explanation
        for each in events
        if isinstance(each, IncidentOpened | ProbeNoted | IncidentClosed)
    ]
    assert len(told) == 5
    for explanation in told:
        assert explanation is not None
        assert is_complete(texts_of(explanation))
        assert explanation.faithfulness == 1.0, explanation


def test_so_many_executions_are_told_apart_and_no_more() -> None:
    storm = Told()
    storm.fails(EXECUTIONS_MAX + 50)
    assert len(storm.state.executions) == EXECUTIONS_MAX
    storm.probed(succeeded=True)
    assert f"at least {EXECUTIONS_MAX} executions" in storm.row["failure_summary"]


def test_one_that_begins_anew_is_of_those_that_fail_now() -> None:
    storm = Told()
    storm.fails(30)
    storm.probed(succeeded=True)
    storm.after(30)
    opened = storm.fails(10)[-1]
    assert isinstance(opened, IncidentOpened)
    assert len(storm.state.executions) == len(opened.executions) < 12


def test_a_pattern_tells_which_executions_had_the_failures_of_the_last_minute() -> None:
    state, found = Pattern(), list[CountFailure]()
    for n in range(12):
        command = NoteOccurrence(
            pattern_id="p", failure_id=f"f{n}", pattern=DOWN, seen_at=at(NOW), tried=False,
            execution_id=f"e{n // 2}",
        )  # fmt: skip
        for event in decide(state, command, {}, NOW):
            state = evolve(state, event)
            for outgoing in route(state, Recorded(event, "t", "p", 1, NOW)):
                assert isinstance(outgoing.message, CountFailure)
                found.append(outgoing.message)
    assert found[0].executions == ("e0", "e1", "e2", "e3", "e4")
    assert found[-1].executions == ("e1", "e2", "e3", "e4", "e5")


def test_calls_that_one_credential_may_not_make_are_an_incident_of_its_own() -> None:
    one, other = (Told(replace(LIMITED, credential=name)) for name in ("k1", "k2"))
    one.fails(9, alike=40)
    assert one.state.incident_id == "", "its pattern counts those of all credentials"
    one.fails(1, alike=50)
    assert one.state.incident_id
    assert one.row["credential"] == "k1"
    assert one.row["executions"] == 10
    other.fails(1, alike=60)
    assert other.state.incident_id == ""
    assert one.state.storm_id == derived("storm", "p", "k1") != other.state.storm_id


LIMIT = ErrorFacts(type="http_status", message="slow down", status_code=429, dependency="http:x")


def limited(story: Story, credential: str, **more: Any) -> list[Any]:
    means = {"refresh_credentials": credential}
    return list(story.hears(failed(error=LIMIT, means=means, **more)))


def known(gate: str = "shut") -> Facts:
    first = Story()
    (noted, _) = limited(first, "k1")
    assert isinstance(noted, FailureNoted)
    assert noted.pattern.credential == "k1"
    storm = {**storm_of(first), "storm_id": derived("storm", noted.pattern_id, "k1")}
    return facts(incidents=[{**storm, "gate": gate}])


@pytest.mark.parametrize(("credential", "waits"), [("k1", True), ("k2", False), ("", False)])
def test_only_those_of_the_limited_credential_wait(credential: str, waits: bool) -> None:
    (_, decided) = limited(Story(known()), credential)
    assert isinstance(decided, AttemptParked if waits else AttemptOrdered)


def test_what_came_of_a_probe_is_told_to_the_incident_of_its_credential() -> None:
    story = Story(known())
    (noted, parked) = limited(story, "k1")
    story.does(
        ReleaseAttempt(execution_id="e", attempt_id=parked.attempt_id, line=parked.line,
                       reason="go and see", probe=True)
    )  # fmt: skip
    limited(story.after(seconds=2), "k1", failure_id="f2", attempt=2)
    (probe,) = [each for each in story.sent if isinstance(each, NoteProbe)]
    assert probe.line == f"{derived('storm', noted.pattern_id, 'k1')}/incident"
