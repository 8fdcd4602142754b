"""The measures mean what they say: intervals, quantiles and the median with censoring."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from perdure_common.api import slow
from perdure_recovery.api_measures import SQL, Measures
from perdure_recovery.measures import (
    Counted,
    censored_median,
    kpis,
    measured,
    nearest_rank,
    wilson,
)

EPISODE = Counted(
    failure_type="timeout",
    dependency_class="http",
    fallback=False,
    outcome="recovered",
    eligible=True,
    false_positive=False,
    missed=False,
    duration_s=3.0,
)


def test_wilsons_interval_is_that_of_the_literature() -> None:
    share = wilson(81, 263)  # Newcombe 1998, Stat. Med. 17, 857: .2553 to .3662
    assert share.low == pytest.approx(0.2553, abs=5e-5)
    assert share.high == pytest.approx(0.3662, abs=5e-5)
    none = wilson(0, 20)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.1611, abs=5e-5)


def test_of_nothing_there_is_no_share() -> None:
    assert wilson(0, 0).value is None


@given(st.integers(0, 500), st.integers(1, 500))
def test_an_interval_holds_its_share(successes: int, more: int) -> None:
    share = wilson(successes, successes + more)
    assert share.value is not None and share.low is not None and share.high is not None
    assert 0 <= share.low <= share.value <= share.high <= 1


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_the_value_of_its_rank(values: list[float], share: float) -> None:
    found = nearest_rank([(value, 1) for value in values], share)
    assert found == sorted(values)[math.ceil(round(share * len(values), 9)) - 1]


def kaplan_meier(values: Sequence[tuple[float, bool]]) -> float | None:
    """The textbook's product, from its definition."""
    for time in sorted({t for t, _ in values}):
        survival = 1.0
        for other in sorted({t for t, event in values if event and t <= time}):
            events = sum(1 for t, event in values if event and t == other)
            at_risk = sum(1 for t, _ in values if t >= other)
            survival *= 1 - events / at_risk
        if survival <= 0.5 + 1e-12:
            return time
    return None


@given(st.lists(st.tuples(st.integers(1, 12).map(float), st.booleans()), max_size=30))
def test_the_censored_median_is_kaplan_and_meiers(values: list[tuple[float, bool]]) -> None:
    assert censored_median((t, event, 1) for t, event in values) == kaplan_meier(values)


def test_the_censored_median_counts_what_never_recovered() -> None:
    quick = [(1.0, True, 4)]
    assert censored_median(quick) == 1.0
    assert censored_median([*quick, (1.0, False, 5), (9.0, True, 5)]) == 9.0
    assert censored_median([*quick, (100.0, False, 90)]) is None


def test_the_figures_of_a_day() -> None:
    episodes = [
        replace(EPISODE, count=6),
        replace(EPISODE, duration_s=60.0, count=2),
        replace(EPISODE, outcome="escalated", false_positive=True, duration_s=9.0),
        replace(EPISODE, outcome="open"),
        replace(EPISODE, outcome="escalated", eligible=False, missed=True),
        replace(EPISODE, outcome="handled", eligible=False),
    ]
    made = measured(episodes)
    assert (made.episodes, made.eligible, made.recovered, made.open) == (12, 10, 8, 1)
    assert made.coverage.value == pytest.approx(10 / 12, abs=1e-6)
    assert made.success.value == pytest.approx(8 / 9, abs=1e-6)  # open ones are not over
    assert made.false_positive_rate.value == pytest.approx(1 / 12, abs=1e-6)
    assert (made.missed, made.handled) == (1, 1)
    times = made.time_to_recovery
    assert (times.p50_s, times.p90_s, times.mean_s) == (3.0, 60.0, 17.25)


def test_figures_are_told_by_type_dependency_and_fallback() -> None:
    other = replace(EPISODE, failure_type="auth", dependency_class="llm", fallback=True, count=3)
    told = kpis([EPISODE, other])
    assert {name: g["episodes"] for name, g in told["by_failure_type"].items()} == {
        "auth": 3,
        "timeout": 1,
    }
    assert {n: g["episodes"] for n, g in told["by_fallback"].items()} == {"with": 3, "without": 1}
    assert told["by_dependency_class"]["llm"]["recovered"] == 3
    assert told["all"]["episodes"] == 4


def test_without_episodes_there_are_no_figures_and_no_error() -> None:
    told = kpis([])
    assert told["all"]["success"]["value"] is None
    assert told["all"]["time_to_recovery"]["p50_s"] is None


class Slow:
    """A database of which one statement takes as long as is said."""

    def __init__(self) -> None:
        self.now, self.takes_s = 0.0, 0.0
        self.slow = slow.Slow(lambda: self.now)

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        if sql == SQL["episodes"]:
            self.now += self.takes_s
        found = {"explanations": 0, "complete": 0, "faithfulness": None}
        tried = {"succeeded": 0, "failed": 0}
        return {SQL["explanations"]: [found], SQL["attempts"]: [tried]}.get(sql, [])


async def test_a_statement_that_takes_long_is_an_alert_until_it_is_fast_again() -> None:
    database = Slow()
    reading: Any = database
    measures = Measures(reading, "t", lambda: database.now)
    asked = Request({"type": "http", "query_string": b"", "headers": []})
    database.takes_s = 0.5
    assert (await measures.kpis(asked))["alerts"] == []
    database.takes_s = 0.62
    (alert,) = (await measures.kpis(asked))["alerts"]
    assert alert.startswith("reading the episodes took 620 ms")
    database.takes_s = 0.1
    assert (await measures.kpis(asked))["alerts"] == []


async def test_a_list_that_took_long_is_an_alert_for_an_hour_or_until_it_is_fast() -> None:
    database = Slow()
    reading: Any = database
    measures = Measures(reading, "t", lambda: database.now)
    asked = Request({"type": "http", "query_string": b"", "headers": []})
    database.now = 10.0
    database.slow.note("list of recovery_attempts", 9.0)
    (alert,) = (await measures.kpis(asked))["alerts"]
    assert alert.startswith("reading the list of recovery_attempts took 1,000 ms")
    database.slow.note("list of recovery_attempts", 9.9)
    assert (await measures.kpis(asked))["alerts"] == []
    database.slow.note("list of recovery_attempts", 9.0)
    database.now += slow.SLOW_FOR_S
    assert (await measures.kpis(asked))["alerts"] == []
