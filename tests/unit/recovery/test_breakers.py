"""Circuit breakers: when they open, for how long, and who may try."""

from datetime import timedelta

import pytest
from one_stream import START, OneStream
from perdure_common.breaking import passes
from perdure_contracts.breakers import BreakerState, BreakerTurned, DependencyCalls
from perdure_contracts.deciding import SetGate
from perdure_contracts.engine import ErrorFacts
from perdure_engine.runner.breakers import TELL_S
from perdure_engine.runner.dependencies import Begun, Called, Dependencies
from perdure_recovery.app import breaker_streams
from perdure_recovery.breakers import PROBE_S, PROBER_S, Breaker, wake_at
from perdure_recovery.instants import parsed


class Shop(OneStream[Breaker]):
    def __init__(self) -> None:
        super().__init__(breaker_streams)
        self.n = 0

    def told(
        self,
        ok: int,
        failed: int,
        *,
        in_a_row: int = 0,
        runner: str = "r1",
        probe: tuple[str, int, int] | None = None,
    ) -> list[str]:
        """Let a runner tell; return how the breaker turned.

        `probe` says by which news calls were let through, and how many of them went well and not.
        """
        self.n += 1
        at, well, badly = probe or (None, 0, 0)
        calls = DependencyCalls(
            breaker_id="b",
            dependency="http:shop",
            runner=runner,
            n=self.n,
            ok=ok,
            failed=failed,
            in_a_row=in_a_row,
            told_at="",
            probe_at=at,
            probe_ok=well,
            probe_failed=badly,
        )
        return [each.state for each in self.asked(calls) if isinstance(each, BreakerTurned)]


def test_calls_of_a_dependency_without_trouble_are_not_written_down() -> None:
    shop = Shop()
    for _ in range(5):
        assert shop.after(5).told(100, 0) == []
    assert shop.version == 0


@pytest.mark.parametrize(("ok", "failed", "opens"), [(2, 3, True), (3, 3, True), (4, 3, False),
                                                     (0, 4, False), (0, 5, True)])  # fmt: skip
def test_half_of_five_calls_in_a_minute_open_it(ok: int, failed: int, opens: bool) -> None:
    assert Shop().told(ok, failed) == (["open"] if opens else [])


def test_news_of_calls_that_went_well_opens_none() -> None:
    shop = Shop()
    assert shop.told(0, 3, in_a_row=3) == []
    assert shop.after(1).told(2, 0) == [], "three of five failed, and then it was back"
    assert shop.after(1).told(0, 1, in_a_row=1) == ["open"]


def test_five_in_a_row_open_it_however_slowly_they_come() -> None:
    shop = Shop()
    for _ in range(4):
        assert shop.after(61).told(0, 1, in_a_row=1) == []
    assert shop.after(61).told(0, 1, in_a_row=1) == ["open"]


def test_a_success_between_failures_ends_the_row() -> None:
    shop = Shop()
    for _ in range(4):
        shop.after(61).told(0, 1, in_a_row=1)
    assert shop.after(61).told(1, 0) == []
    assert shop.after(61).told(0, 1, in_a_row=1) == []


def test_what_a_runner_tells_twice_counts_once() -> None:
    shop = Shop()
    shop.told(0, 3)
    shop.n -= 1
    assert shop.told(0, 3) == []
    assert shop.version == 1


def test_it_opens_longer_each_time_and_one_call_decides() -> None:
    shop = Shop()
    shop.told(0, 5)
    for times in range(2, 30):
        (turned,) = shop.wakes()
        assert turned.state == "half_open"
        assert shop.told(0, 1) == ["open"]
        assert shop.state.until is not None
        assert (shop.state.until - shop.now).total_seconds() == min(600, 30 * times)
    shop.wakes()
    assert shop.told(1, 0) == ["closed"]
    gates = [each.gate for each in shop.sent if isinstance(each, SetGate)]
    assert gates[:3] == ["shut", "probe", "shut"]
    assert gates[-1] == "open"


@pytest.mark.parametrize(("ok", "failed"), [(1, 0), (0, 1), (3, 4)])
def test_half_open_what_began_before_turns_nothing(ok: int, failed: int) -> None:
    shop = Shop()
    shop.told(0, 5, probe=("", 0, 0))
    (opened,) = [each for each in shop.sent if isinstance(each, BreakerTurned)]
    (turned,) = shop.wakes()
    assert shop.told(ok, failed, probe=("", 0, 0)) == []
    assert shop.told(ok, failed, probe=(opened.turned_at, ok, failed)) == []
    assert shop.told(0, 9, probe=(turned.turned_at, 0, 0)) == []
    assert shop.told(ok, failed + 1, probe=(turned.turned_at, 1, 0)) == ["closed"]


def test_half_open_the_call_that_was_let_through_decides_whatever_else_is_told() -> None:
    shop = Shop()
    shop.told(0, 5)
    (turned,) = shop.wakes()
    assert shop.told(9, 1, probe=(turned.turned_at, 0, 1)) == ["open"]


def test_a_call_that_was_let_through_and_takes_long_decides_when_others_may_call_too() -> None:
    shop = Shop()
    shop.told(0, 5)
    (first,) = shop.wakes()
    for _ in range(3):
        (again,) = shop.wakes()
        assert again.state == "half_open"
    assert shop.told(1, 0, probe=(first.turned_at, 1, 0)) == ["closed"]


def test_a_call_that_was_let_through_before_it_opened_once_more_decides_nothing() -> None:
    shop = Shop()
    shop.told(0, 5)
    (first,) = shop.wakes()
    assert shop.told(0, 1, probe=(first.turned_at, 0, 1)) == ["open"]
    (second,) = shop.wakes()
    assert shop.told(1, 0, probe=(first.turned_at, 1, 0)) == []
    assert shop.told(1, 0, probe=(second.turned_at, 1, 0)) == ["closed"]


def test_a_lost_probe_is_followed_by_another() -> None:
    shop = Shop()
    shop.told(0, 5)
    (turned,) = shop.wakes()
    assert parsed(turned.until) == shop.now + timedelta(seconds=60)
    (any_of_them,) = shop.wakes()
    (again,) = shop.wakes()
    assert (again.state, again.reason) == ("half_open", "the call was lost")
    assert shop.now == parsed(any_of_them.until)


def test_a_breaker_that_nobody_calls_any_more_comes_to_rest() -> None:
    shop = Shop()
    shop.told(0, 5)
    began, turns = shop.now, list[BreakerTurned]()
    while wake_at(shop.state) is not None:
        turns += shop.wakes()
        assert len(turns) < 50, "it turns for ever, and each turn is an event"
    assert turns[-1].state == "closed"
    assert turns[-1].reason == "nobody has called for 30 minutes"
    assert (shop.now - began).total_seconds() == pytest.approx(1_800 + 30, abs=60)
    assert shop.told(0, 4) == []
    assert shop.told(0, 1) == ["open"]


def test_a_breaker_that_is_called_in_vain_for_long_does_not_come_to_rest() -> None:
    shop = Shop()
    shop.told(0, 5)
    for _ in range(20):
        (turned,) = shop.wakes()
        assert shop.told(0, 1, probe=(turned.turned_at, 0, 1)) == ["open"]


def test_half_open_one_call_of_all_runners_is_made_by_who_called_last() -> None:
    shop = Shop()
    shop.told(0, 2, runner="r1")
    shop.told(0, 2, runner="r2")
    shop.told(0, 2, runner="r1")
    (turned,) = shop.wakes()
    at = shop.now + timedelta(seconds=1)
    may = [each for each in ("r1", "r2", "r3") if passes(turned, at, each)]
    assert may == ["r1"]


def test_if_the_runner_that_may_call_has_no_call_to_make_each_may_make_one() -> None:
    shop = Shop()
    shop.told(0, 5, runner="r1")
    (turned,) = shop.wakes()
    began = shop.now
    (again,) = shop.wakes()
    assert (shop.now - began).total_seconds() == PROBER_S
    assert (again.prober, again.reason) == ("", "the runner that was to call did not")
    assert parsed(turned.until) > shop.now, "no moment between the two in which all may call"
    assert shop.told(1, 0, runner="r2") == ["closed"]


def test_the_one_that_may_call_has_the_time_to_do_it_and_to_tell() -> None:
    assert 2 * TELL_S < PROBER_S < PROBE_S / 2


def test_ten_quiet_minutes_are_forgiven() -> None:
    shop = Shop()
    for quiet_s, times in ((0, 1), (599, 2), (600, 1)):
        shop.after(quiet_s).told(0, 5)
        assert shop.state.times == times
        shop.wakes()
        assert shop.told(1, 0) == ["closed"]


def test_runners_hear_how_it_stands_and_a_row_says_it() -> None:
    shop = Shop()
    shop.told(0, 5)
    (told,) = [each for each in shop.sent if isinstance(each, BreakerTurned)]
    assert (told.state, told.breaker_id) == ("open", "b")
    assert parsed(told.until or "") == START + timedelta(seconds=30)
    (row,) = shop.rows
    assert row.set["state"] == "open"


LOST = ErrorFacts(type="read_timeout", message="", dependency="http:shop")
TURNS: tuple[tuple[int, BreakerState], ...] = ((5, "open"), (30, "half_open"), (35, "closed"))


def fail(dependencies: Dependencies, begun: list[Begun], shop: Shop) -> list[str]:
    """Let calls come to nothing, and the runner tell of it; return how the breaker turned."""
    for each in begun:
        dependencies.heard(each, LOST)
    return [
        turned
        for _, heard in dependencies.take()
        for turned in shop.told(heard.ok, heard.failed, in_a_row=heard.in_a_row, probe=("", 0, 0))
    ]


def begins(dependencies: Dependencies, called: Called, count: int) -> list[Begun]:
    begun = [dependencies.begin(called) for _ in range(count)]
    return [each for each in begun if isinstance(each, Begun)]


def test_calls_that_began_before_it_opened_do_not_open_it_again_once_it_is_closed() -> None:
    shop, called = Shop(), Called("t", "http:shop")
    dependencies = Dependencies("r1", lambda: shop.now)
    slow = begins(dependencies, called, 6)
    for seconds, state in TURNS:
        news = BreakerTurned(
            breaker_id=called.breaker_id, dependency="http:shop", state=state,
            reason="", turned_at=(START + timedelta(seconds=seconds)).isoformat(),
        )  # fmt: skip
        dependencies.turn(news)
    assert fail(dependencies, slow, shop) == []
    assert shop.version == 0
    fresh = begins(dependencies, called, 6)
    assert len(fresh) == 6
    assert fail(dependencies, fresh, shop) == ["open"]
