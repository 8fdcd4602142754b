"""Who goes to see whether something answers again, and is held up before a call was made."""

from datetime import timedelta
from itertools import pairwise
from typing import Any, Literal

import pytest
from one_stream import OneStream
from perdure_common.decider import Facts
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptStopped,
    Gate,
    JoinLine,
    LeaveLine,
    NoteProbe,
    NoteSpending,
    ReleaseAttempt,
    ReturnTokens,
    SetGate,
    Waiter,
)
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.executions import AttemptDue
from perdure_contracts.recovery import AttemptFailed, AttemptOrdered, AttemptRefused
from perdure_recovery.app import line_streams
from perdure_recovery.circumstances import USD_GUESSED
from perdure_recovery.instants import parsed
from perdure_recovery.lines import AGAIN_MAX_S, BLIND_MAX, Line
from recovery_story import NOW, Story, at, cancelled, failed, kinds

LINE = "b/line"
HELD = ErrorFacts(type="breaker_open", message="not sent", dependency="http:tickets.example",
                  retry_after_s=1.0, effect_state="not_sent")  # fmt: skip


def facts(state: str = "open", *, credential: str = "", mode: str = "auto") -> Facts:
    """Return facts with a breaker of the dependency, and another if its `credential` has one."""
    until = at(NOW + timedelta(hours=1))
    row = {"breaker_id": "b", "dependency": "http:tickets.example", "credential": "",
           "state": state, "until": until}  # fmt: skip
    rows = [row]
    if credential:
        rows.append({**row, "breaker_id": "c", "credential": "key", "state": credential})
    modes = [{"workspace_id": "ws", "mode": mode, "sampler": "rules", "people": "tell"}]
    return {"modes": modes, "patterns": [], "breakers": rows}


def probing(story: Story, line: str = LINE) -> AttemptOrdered:
    """Let an attempt that waits in a line go to see."""
    [episode] = story.state.episodes.values()
    assert episode.parked is not None
    [ordered] = story.does(let_go(episode.parked.attempt_id, line))
    assert isinstance(ordered, AttemptOrdered)
    return ordered


def let_go(attempt_id: str, line: str = LINE) -> ReleaseAttempt:
    return ReleaseAttempt(
        execution_id="e", attempt_id=attempt_id, line=line, reason="to see", probe=True
    )


def told(story: Story, kind: type[Any]) -> list[Any]:
    return [each for each in story.sent if isinstance(each, kind)]


def sent_to_see() -> tuple[Story, AttemptOrdered]:
    story = Story(facts())
    story.hears(failed())
    story.facts = facts("half_open")
    return story, probing(story)


def test_a_probe_that_a_runner_turns_away_leaves_the_line_and_is_no_failure_of_anybody() -> None:
    story, ordered = sent_to_see()
    events = story.after(seconds=1).hears(failed("f2", error=HELD, attempt=2))
    assert kinds(events) == ["AttemptFailed", "FailureNoted", "AttemptParked"]
    lost = events[0]
    assert isinstance(lost, AttemptFailed)
    assert (lost.held_back, lost.left) == (True, LINE)
    assert told(story, LeaveLine) == [LeaveLine(line=LINE, attempt_id=ordered.attempt_id)]
    assert told(story, NoteProbe) == []
    ways = [type(each) for each in story.sent if isinstance(each, LeaveLine | JoinLine)]
    assert ways == [JoinLine, LeaveLine, JoinLine], "it leaves before it joins again"


def test_a_probe_whose_call_failed_does_not_leave_it_is_the_answer() -> None:
    story, _ = sent_to_see()
    story.after(seconds=1).hears(failed("f2", attempt=2))
    assert told(story, LeaveLine) == []
    assert [each.succeeded for each in told(story, NoteProbe)] == [False]


def test_a_probe_that_asked_nobody_says_nothing_of_who_was_to_be_asked() -> None:
    story, _ = sent_to_see()
    unknown = ErrorFacts(type="name_not_found", message="", dependency="http:tickets.example")
    story.after(seconds=1).hears(failed("f2", error=unknown, attempt=2))
    assert [each.line for each in told(story, LeaveLine)] == [LINE]
    assert told(story, NoteProbe) == []


def test_a_probe_that_is_cancelled_under_way_leaves_the_line() -> None:
    story, ordered = sent_to_see()
    story.hears(cancelled())
    assert told(story, LeaveLine) == [LeaveLine(line=LINE, attempt_id=ordered.attempt_id)]
    assert told(story, NoteProbe) == []


def test_a_probe_of_an_incident_that_has_to_wait_at_a_breaker_leaves_the_incidents_line() -> None:
    story = Story(facts("closed"))
    _, ordered = story.hears(failed())
    assert isinstance(ordered, AttemptOrdered)
    [episode] = story.state.episodes.values()
    pattern_id = episode.failure.pattern_id
    incident = {"storm_id": pattern_id, "gate": "probe", "closed_at": None}
    story = Story({**facts("open"), "incidents": [incident]})
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked) and parked.cause == "storm"
    [again] = story.does(let_go(parked.attempt_id, parked.line))
    assert isinstance(again, AttemptParked)
    assert (again.cause, again.line, again.left) == ("breaker", LINE, parked.line)
    assert [each.line for each in told(story, LeaveLine)] == [parked.line]
    assert told(story, NoteProbe) == []


def test_a_probe_that_a_rail_refuses_leaves_the_line() -> None:
    story = Story(facts())
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    story.facts = facts(mode="off")
    refused, _ = story.does(let_go(parked.attempt_id))
    assert isinstance(refused, AttemptRefused)
    assert told(story, LeaveLine) == [LeaveLine(line=LINE, attempt_id=parked.attempt_id)]


def test_a_probe_that_is_stopped_when_its_wait_is_over_leaves_the_line() -> None:
    story = Story(facts())
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    story.facts = facts("half_open")
    soon = at(NOW + timedelta(seconds=4))
    late = ReleaseAttempt(execution_id="e", attempt_id=parked.attempt_id, line=LINE,
                          reason="to see", probe=True, not_before=soon)  # fmt: skip
    [ordered] = story.does(late)
    assert isinstance(ordered, AttemptOrdered) and ordered.ask_again
    story.facts = facts("half_open", mode="off")
    story.now = NOW + timedelta(seconds=5)
    stopped, _ = story.hears(_due(ordered))
    assert isinstance(stopped, AttemptStopped)
    assert told(story, LeaveLine) == [LeaveLine(line=LINE, attempt_id=parked.attempt_id)]


def _due(ordered: AttemptOrdered) -> AttemptDue:
    return AttemptDue(
        execution_id="e", node_id="fetch", scope=(), run=1, failure_id=ordered.failure_id,
        attempt_id=ordered.attempt_id, due_at="", verdict_until=at(NOW + timedelta(days=1)),
    )  # fmt: skip


@pytest.mark.parametrize(("other", "goes"), [("half_open", True), ("open", False)])
def test_two_breakers_that_are_half_open_do_not_send_one_attempt_to_and_fro(
    other: str, goes: bool
) -> None:
    story = Story(facts("open", credential=other))
    means = {"refresh_credentials": "key"}
    _, parked = story.hears(failed(means=means))
    assert isinstance(parked, AttemptParked) and parked.line == LINE
    story.facts = facts("half_open", credential=other)
    [event] = story.does(let_go(parked.attempt_id))
    assert isinstance(event, AttemptOrdered if goes else AttemptParked)


def test_who_waits_after_a_breaker_held_it_up_waits_as_long_as_it_says_and_pays_nothing_more() -> (
    None
):
    story = Story(facts("closed"))
    story.hears(failed())
    [before] = story.state.episodes.values()
    _, _, ordered = story.after(seconds=5).hears(failed("f2", error=HELD, attempt=2))
    assert isinstance(ordered, AttemptOrdered)
    assert 1.0 <= ordered.delay_s <= 1.1, "no try was made: no wait grows"
    assert ordered.drawn_s == before.drawn_s
    [returned] = told(story, ReturnTokens)
    assert ordered.cost == returned.cost, "it takes what the one before has given back"


def test_what_a_line_lets_go_takes_no_tokens_and_its_money_is_noted() -> None:
    model = ErrorFacts(type="http_status", message="503", status_code=503,
                       dependency="llm:openai:m")  # fmt: skip
    [row] = facts()["breakers"]
    story = Story({**facts(), "breakers": [{**row, "dependency": "llm:openai:m"}]})
    story.hears(failed(error=model))
    ordered = probing(story)
    [spent] = told(story, NoteSpending)
    assert (spent.attempt_id, spent.cost, spent.usd) == (ordered.attempt_id, 0, USD_GUESSED)


# The line -----------------------------------------------------------------------------------


class Queue(OneStream[Line]):
    def __init__(self) -> None:
        super().__init__(line_streams)

    def gate(self, gate: Gate, pace: Literal["doubling", "even"] = "doubling") -> None:
        self.asked(SetGate(line="l", gate=gate, pace=pace, reason="so it is"))

    def join(self, *names: str) -> None:
        for name in names:
            waiter = Waiter(execution_id=f"e-{name}", attempt_id=name, joined_at="")
            self.asked(JoinLine(line="l", waiter=waiter))

    def held_up(self, name: str) -> None:
        """Let who went to see come back without having seen, and wait again."""
        self.asked(LeaveLine(line="l", attempt_id=name))
        self.join(name)

    def gone(self) -> list[tuple[str, float]]:
        """Who was sent to see, and how many seconds after it was decided."""
        sent = [each for each in self.sent if isinstance(each, ReleaseAttempt) and each.probe]
        return [
            (each.attempt_id, (parsed(each.not_before) - self.now).total_seconds())
            for each in sent
        ]  # fmt: skip


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_when_who_went_has_seen_nothing_another_one_goes_after_a_pause_that_grows(
    names: tuple[str, ...],
) -> None:
    queue = Queue()
    queue.gate("shut")
    queue.join(*names)
    queue.gate("probe")
    for _ in range(4):
        queue.held_up(queue.gone()[-1][0])
    assert [after for _, after in queue.gone()] == [0.0, 1.0, 2.0, AGAIN_MAX_S, AGAIN_MAX_S]
    went = [name for name, _ in queue.gone()]
    assert all(one != other for one, other in pairwise(went)) or names == ("a",)


def test_whoever_comes_back_without_an_answer_when_the_look_is_over_starts_no_new_one() -> None:
    queue = Queue()
    queue.gate("shut")
    queue.join("a", "b")
    queue.gate("probe")
    [(first, _)] = queue.gone()
    queue.gate("shut")
    assert queue.asked(LeaveLine(line="l", attempt_id=first)) == []
    assert len(queue.gone()) == 1


def test_a_breakers_line_sends_no_more_than_a_few_in_vain_until_it_hears_anew() -> None:
    queue = Queue()
    queue.gate("probe")
    queue.join("a")
    for _ in range(3 * BLIND_MAX):
        queue.held_up("a")
    assert len(queue.gone()) == BLIND_MAX
    queue.gate("probe")
    assert len(queue.gone()) == BLIND_MAX + 1


def test_an_incidents_line_goes_on_sending_one_for_nothing_else_tells_it() -> None:
    queue = Queue()
    queue.gate("probe", "even")
    queue.join("a")
    for _ in range(3 * BLIND_MAX):
        queue.held_up("a")
    assert len(queue.gone()) == 3 * BLIND_MAX + 1
