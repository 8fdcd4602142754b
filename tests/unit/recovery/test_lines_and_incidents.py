"""Waiting lines, incidents and allowances: who goes when, and what it takes."""

import tracemalloc
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import pytest
from one_stream import START, OneStream
from perdure_contracts.deciding import (
    CountFailure,
    Gate,
    IncidentClosed,
    IncidentOpened,
    JoinLine,
    LeaveLine,
    NoteProbe,
    NoteResult,
    NoteSpending,
    ReleaseAttempt,
    ReturnTokens,
    SetGate,
    Waiter,
)
from perdure_recovery.allowance import Purse
from perdure_recovery.app import allowance_streams, incident_streams, line_streams
from perdure_recovery.incidents import Incident
from perdure_recovery.instants import parsed
from perdure_recovery.lines import PER_SECOND, Line
from recovery_story import kinds


class Queue(OneStream[Line]):
    def __init__(self) -> None:
        super().__init__(line_streams)

    def gate(self, gate: Gate, pace: Literal["doubling", "even"] = "even") -> list[object]:
        return self.asked(SetGate(line="l", gate=gate, pace=pace, reason="so it is"))

    def join(self, name: str, deadline: str = "") -> list[object]:
        waiter = Waiter(execution_id=f"e-{name}", attempt_id=name, joined_at="", deadline=deadline)
        return self.asked(JoinLine(line="l", waiter=waiter))

    def gone(self) -> list[tuple[str, float]]:
        """Who was released, and after how many seconds from the start."""
        return [
            (each.attempt_id, (parsed(each.not_before) - START).total_seconds())
            for each in self.sent
            if isinstance(each, ReleaseAttempt)
        ]


def test_nobody_goes_through_a_shut_gate_and_one_goes_to_see() -> None:
    queue = Queue()
    queue.gate("shut")
    queue.join("a")
    queue.join("b", deadline="2026-01-01T12:00:10Z")
    assert queue.gone() == []
    queue.gate("probe")
    assert [name for name, _ in queue.gone()] == ["b"]  # its deadline is the first
    queue.join("c")
    assert len(queue.gone()) == 1
    queue.gate("probe")  # the probe was lost: another one
    assert len(queue.gone()) == 2


def test_who_went_to_see_goes_once_more_and_then_another_one() -> None:
    queue = Queue()
    queue.gate("shut")
    for name in ("a", "b", "c"):
        queue.join(name)
    queue.gate("probe")
    [(first, _)] = queue.gone()
    for _ in range(2):
        queue.gate("shut")
        queue.join(first)  # its call failed as well
        queue.gate("probe")
    assert [name for name, _ in queue.gone()[:2]] == [first, first]
    assert queue.gone()[2][0] != first


def test_who_joins_when_a_probe_is_wanted_is_it() -> None:
    queue = Queue()
    queue.gate("probe")
    queue.join("a")
    queue.join("b")
    (probe,) = [each for each in queue.sent if isinstance(each, ReleaseAttempt)]
    assert (probe.attempt_id, probe.probe) == ("a", True)


@pytest.mark.parametrize("pace", ["doubling", "even"])
def test_released_ones_come_at_a_pace_that_can_be_borne(pace: Literal["doubling", "even"]) -> None:
    queue = Queue()
    queue.gate("shut")
    for n in range(100):
        queue.join(f"a{n}")
    queue.gate("open", pace)
    times = sorted(at for _, at in queue.gone())
    assert len(times) == 100
    for second in range(int(times[-1]) + 1):
        most = 2**second if pace == "doubling" else PER_SECOND
        assert sum(second <= at < second + 1 for at in times) <= most
    assert times[-1] < 10


def test_who_joins_an_open_line_goes_a_little_later_and_who_leaves_does_not() -> None:
    queue = Queue()
    queue.join("a")
    assert queue.gone() == [("a", 1.0)]
    queue.gate("shut")
    queue.join("b")
    queue.asked(LeaveLine(line="l", attempt_id="b"))
    queue.gate("open")
    assert [name for name, _ in queue.gone()] == ["a"]


def test_a_turn_says_how_long_it_was_away_when_it_was_decided() -> None:
    queue = Queue()
    queue.gate("shut")
    for name in ("a", "b", "c"):
        queue.join(name)
    queue.after(100).gate("open")
    waits = [each.wait_s for each in queue.sent if isinstance(each, ReleaseAttempt)]
    assert waits == [0.0, 0.05, 0.1]


@pytest.mark.parametrize("gate", ["shut", "probe"])
def test_joining_and_leaving_a_long_line_is_no_work_for_each_who_waits(gate: Gate) -> None:
    queue = Queue()
    queue.gate(gate)
    queue.join("first")  # through a half-open gate it goes to see
    for n in range(20_000):
        queue.join(f"a{n}")
    tracemalloc.start()
    try:
        (joined,) = queue.join("last")
        (left,) = queue.asked(LeaveLine(line="l", attempt_id="a7"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kinds([joined, left]) == ["LineJoined", "LineLeft"]
    assert most < 20_000, "a copy of who waits has 160,000 bytes"


def test_what_is_decided_of_a_line_changes_nothing_before_it_happens() -> None:
    queue = Queue()
    queue.gate("probe", "doubling")
    queue.join("a")
    queue.join("b")
    before = replace(queue.state, waiting=dict(queue.state.waiting))
    commands = (
        JoinLine(line="l", waiter=Waiter(execution_id="e", attempt_id="c", joined_at="")),
        LeaveLine(line="l", attempt_id="b"),
        LeaveLine(line="l", attempt_id="a"),
        SetGate(line="l", gate="open", pace="even", reason=""),
    )
    for command in commands:
        assert line_streams.decide(queue.state, command, {}, queue.now) != ()
        assert queue.state == before
    empty = line_streams.initial
    assert line_streams.decide(empty, commands[0], {}, queue.now) != ()
    assert empty.waiting == {}


class Storm(OneStream[Incident]):
    def __init__(self) -> None:
        super().__init__(incident_streams)
        self.n = 0

    def fails(self, alike: int = 0) -> list[object]:
        self.n += 1
        return self.asked(
            CountFailure(
                line="p/incident", pattern_id="p", workspace_id="ws", failure_id=f"f{self.n}",
                execution_id="e", signature="v1:x", dependency="http:shop",
                failure_type="dependency_down", failed_at="", alike=alike,
            )
        )  # fmt: skip

    def probed(self, *, succeeded: bool) -> None:
        self.asked(NoteProbe(line="p/incident", attempt_id="a", succeeded=succeeded, noted_at=""))

    def gates(self) -> list[str]:
        return [each.gate for each in self.sent if isinstance(each, SetGate)]


def test_ten_failures_in_a_minute_are_one_incident() -> None:
    storm = Storm()
    for _ in range(9):
        assert len(storm.after(6).fails()) == 1
    (_, opened) = storm.after(5).fails()
    assert isinstance(opened, IncidentOpened)
    assert opened.failures == 10
    for _ in range(50):
        assert len(storm.fails()) == 1  # it is open already
    assert storm.gates() == ["probe"]


def test_what_the_pattern_counted_opens_an_incident_and_not_another_one_at_once() -> None:
    storm = Storm()
    (_, opened) = storm.fails(alike=10)
    assert isinstance(opened, IncidentOpened)
    assert opened.failures == 10
    storm.probed(succeeded=True)
    for _ in range(9):  # of those that failed before, and of a few that fail still
        assert len(storm.fails(alike=20)) == 1
    assert kinds(storm.fails(alike=20)) == ["FailureCounted", "IncidentClosed", "IncidentOpened"]


def test_ten_failures_in_more_than_a_minute_are_none() -> None:
    storm = Storm()
    for _ in range(30):
        assert len(storm.after(6.7).fails()) == 1


def test_a_failed_probe_shuts_and_a_good_one_opens() -> None:
    storm = Storm()
    for _ in range(10):
        storm.fails()
    storm.probed(succeeded=False)
    assert storm.state.next_at == START + timedelta(seconds=30)
    storm.wakes()
    storm.probed(succeeded=False)
    assert storm.state.next_at == storm.now + timedelta(seconds=60)
    storm.wakes()
    storm.probed(succeeded=True)
    assert storm.gates() == ["probe", "shut", "probe", "shut", "probe", "open"]


def test_it_is_over_after_ten_quiet_minutes() -> None:
    storm = Storm()
    for _ in range(10):
        storm.fails()
    storm.probed(succeeded=True)
    (closed,) = storm.wakes()
    assert isinstance(closed, IncidentClosed)
    assert storm.now == START + timedelta(minutes=10)
    assert incident_streams.wake_at(storm.state) is None


def test_tokens_are_taken_once_come_back_with_time_and_with_success() -> None:
    purse = OneStream(allowance_streams)
    for n in range(10):
        spending = NoteSpending(line="l", workspace_id="ws", attempt_id=f"a{n}", cost=14, usd=0.5,
                                spent_at="")  # fmt: skip
        purse.asked(spending)
        assert purse.asked(spending) == []
    assert purse.state.tokens == 360.0
    assert purse.state.month_usd == 5.0
    result = NoteResult(line="l", workspace_id="ws", attempt_id="a0", failure_type="timeout",
                        strategy="backoff", recovered=True, cost=14, noted_at="")  # fmt: skip
    purse.after(72).asked(result)
    assert purse.state.tokens == 384.0  # 10 by time, 14 by success
    (record,) = [row for row in purse.rows if row.table == "recovery_records"]
    assert record.add == {"tried": 1, "recovered": 1}


def spent(purse: OneStream[Purse], attempt_id: str, usd: float = 0.5) -> None:
    purse.asked(NoteSpending(line="l", workspace_id="ws", attempt_id=attempt_id, cost=14, usd=usd,
                             spent_at=""))  # fmt: skip


def returns(attempt_id: str, taken_at: datetime = START) -> ReturnTokens:
    return ReturnTokens(line="l", workspace_id="ws", attempt_id=attempt_id, cost=14, usd=0.5,
                        taken_at=taken_at.isoformat(), returned_at="")  # fmt: skip


def test_an_attempt_that_was_not_made_gives_back_its_tokens_and_its_money_once() -> None:
    purse = OneStream(allowance_streams)
    for n in range(3):
        spent(purse, f"a{n}")
    assert (purse.state.tokens, purse.state.month_usd) == (458.0, 1.5)
    purse.asked(returns("a1"))
    assert purse.asked(returns("a1")) == []
    assert (purse.state.tokens, purse.state.month_usd) == (472.0, 1.0)
    assert [row for row in purse.rows if row.table == "recovery_records"] == [], (
        "no outcome is known"
    )


def test_a_bucket_never_holds_more_than_it_can_and_money_of_another_month_stays_spent() -> None:
    purse = OneStream(allowance_streams)
    spent(purse, "a0")
    purse.after(3_600.0).asked(returns("a0", START - timedelta(days=40)))
    assert (purse.state.tokens, purse.state.month_usd) == (500.0, 0.5)
