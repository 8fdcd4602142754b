"""When a lane takes its next turn, and when a reader asks for more records."""

import asyncio
from typing import Any

import pytest
import uvloop
from perdure_common.adapters.kafka_pacing import (
    HOLD_MAX_S,
    HOLD_S,
    MANY_PER_S,
    MEMORY_S,
    Rate,
    pace,
)
from perdure_common.shell.pace import MANY, PACE_S, PATIENCE_S, REST_MAX_S, Bell, Pace


def after(records: int, took_s: float) -> Pace:
    found = Pace()
    found.begins(100.0)
    found.ends(100.0 + took_s, records)
    return found


@pytest.mark.parametrize("records", [0, 1])
def test_after_a_lone_record_the_next_turn_comes_at_once(records: int) -> None:
    assert after(records, 0.01).rest_s(100.01) <= 0


def test_turns_of_a_rush_are_followed_by_a_rest_as_long_as_themselves() -> None:
    assert after(MANY.start, 0.001).rest_s(100.001) == pytest.approx(PACE_S - 0.001)
    assert after(MANY.start, 0.010).rest_s(100.010) == pytest.approx(0.010)
    assert after(MANY.stop - 1, 5.0).rest_s(100.010) == pytest.approx(REST_MAX_S - 0.010)
    assert after(MANY.stop - 1, 5.0).rest_s(105.0) < 0


@pytest.mark.parametrize("records", [2, MANY.start - 1, MANY.stop])
def test_after_other_turns_there_is_the_pace_alone(records: int) -> None:
    assert after(records, 0.001).rest_s(100.001) == pytest.approx(PACE_S - 0.001)
    assert after(records, 0.010).rest_s(100.010) < 0


async def test_a_bell_rings_soon_for_what_can_wait_unless_a_turn_comes_before() -> None:
    bell = Bell()
    bell.set_soon()
    bell.set_soon()
    assert not bell.is_set()
    async with asyncio.timeout(10 + PATIENCE_S):
        await bell.wait()
    bell.clear()
    bell.set_soon()
    bell.clear()  # a turn of others took it
    await asyncio.sleep(2 * PATIENCE_S)
    assert not bell.is_set()
    bell.set_soon()
    bell.set()
    assert bell.is_set()


class Fetcher:
    """As much of aiokafka's as is paced: each request is answered at once, and noted."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []

    async def _proc_fetch_request(self, *request: Any) -> bool:
        self.asked_at.append(asyncio.get_running_loop().time())
        return bool(request)


async def test_records_are_asked_for_at_once_where_nothing_is_being_written() -> None:
    fetcher: Any = Fetcher()
    pace(fetcher, lambda: False, Rate())
    assert [await fetcher._proc_fetch_request("a"), await fetcher._proc_fetch_request("b")]
    assert len(fetcher.asked_at) == 2


async def test_records_are_asked_for_again_as_soon_as_the_batch_is_written() -> None:
    fetcher: Any = Fetcher()
    looked = 0

    def busy() -> bool:
        nonlocal looked
        looked += 1
        return looked < 3

    pace(fetcher, busy, Rate())
    await fetcher._proc_fetch_request("first")
    assert looked == 0, "nothing was asked for before: it is due"
    await fetcher._proc_fetch_request("second")
    assert looked > 0
    assert len(fetcher.asked_at) == 2


async def test_a_batch_that_takes_too_long_keeps_nobody_from_asking() -> None:
    fetcher: Any = Fetcher()
    pace(fetcher, lambda: True, Rate())
    async with asyncio.timeout(10 + HOLD_S):
        for _ in range(3):
            await fetcher._proc_fetch_request("again")
    assert len(fetcher.asked_at) == 3


def test_a_batch_is_waited_for_by_the_event_loop_of_services_too() -> None:
    """Its timers have whole milliseconds: shorter waits would be none."""

    async def asked() -> list[float]:
        fetcher: Any = Fetcher()
        pace(fetcher, lambda: True, Rate())
        for _ in range(4):
            await fetcher._proc_fetch_request("again")
        return fetcher.asked_at

    times = uvloop.run(asked())
    assert times[-1] - times[0] >= HOLD_S, "three waits, of which none was as long as one"


async def test_a_request_that_is_given_up_while_it_waits_says_that_nothing_came() -> None:
    fetcher: Any = Fetcher()
    pace(fetcher, lambda: True, Rate())
    await fetcher._proc_fetch_request("first")
    waiting = asyncio.create_task(fetcher._proc_fetch_request("second"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await waiting is False
    assert len(fetcher.asked_at) == 1


def test_a_rate_is_what_came_of_late() -> None:
    rate = Rate()
    for tick in range(1_000):  # 2,000 a second
        rate.count(20, 50.0 + tick / 100)
    assert rate.per_s(60.0) == pytest.approx(2_000, rel=0.05)
    assert rate.per_s(60.0 + 4 * MEMORY_S) < MANY_PER_S / 10
    assert Rate().per_s(60.0) == 0


async def test_where_many_records_come_requests_lie_apart_even_if_nothing_is_written() -> None:
    fetcher: Any = Fetcher()
    rate = Rate()
    pace(fetcher, lambda: False, rate)
    rate.count(int(MANY_PER_S), asyncio.get_running_loop().time())
    for _ in range(3):
        await fetcher._proc_fetch_request("again")
    assert fetcher.asked_at[-1] - fetcher.asked_at[0] >= 2 * HOLD_MAX_S - 0.002
