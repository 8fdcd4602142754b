"""Who may call a dependency, and what counts against which breaker."""

from datetime import UTC, datetime, timedelta

import pytest
from perdure_common.breaking import LATE_S, breaker_of, passes, strikes
from perdure_contracts.breakers import BreakerState, BreakerTurned
from perdure_contracts.engine import ErrorFacts

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def turned(state: BreakerState, *, until_s: float | None = None, prober: str = "") -> BreakerTurned:
    until = None if until_s is None else (NOW + timedelta(seconds=until_s)).isoformat()
    return BreakerTurned(
        breaker_id="b",
        dependency="http:shop",
        state=state,
        reason="",
        turned_at=NOW.isoformat(),
        until=until,
        prober=prober,
    )


def error(code: str = "http_status", status: int | None = None) -> ErrorFacts:
    return ErrorFacts(type=code, message="", status_code=status)


def test_an_open_breaker_lets_nobody_through_before_its_time_and_the_news_of_it() -> None:
    assert passes(None, NOW, "r1")
    assert passes(turned("closed"), NOW, "r1")
    assert not passes(turned("open", until_s=1), NOW, "r1")
    assert not passes(turned("open", until_s=0), NOW, "r1"), "who may call is told in a moment"
    assert passes(turned("open", until_s=-LATE_S), NOW, "r1"), "nobody tells any more"


def test_a_half_open_breaker_lets_one_runner_through_until_its_time_is_over() -> None:
    half_open = turned("half_open", until_s=60, prober="r1")
    assert passes(half_open, NOW, "r1")
    assert not passes(half_open, NOW, "r2")
    assert not passes(half_open, NOW + timedelta(seconds=60), "r2")
    assert passes(half_open, NOW + timedelta(seconds=60 + LATE_S), "r2")
    assert passes(turned("half_open", until_s=60), NOW, "r2")


@pytest.mark.parametrize(
    ("failed", "against"),
    [
        (error(status=503), "dependency"),
        (error(status=529), "dependency"),
        (error(status=408), "dependency"),
        (error("dns_failed"), "dependency"),
        (error(status=429), "credential"),
        (error(status=401), "credential"),
        (error(status=404), None),
        (error(status=501), None),
        (error("pool_timeout"), None),
        (error("tls_failed"), None),
    ],
)
def test_only_what_shows_that_a_dependency_is_down_counts_against_it(
    failed: ErrorFacts, against: str | None
) -> None:
    assert strikes(failed) == against


def test_a_credential_has_a_breaker_of_its_own() -> None:
    asked = (("t", "http:shop", ""), ("t", "http:shop", "c"), ("u", "http:shop", ""))
    assert len({breaker_of(*each) for each in asked}) == 3
