"""Beliefs about failures: exact where mathematics is exact, careful where counts are few."""

import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_recovery.transience import (
    CONFIDENCE_MIN,
    HALF_LIFE_S,
    PRIOR_MEAN,
    PRIOR_WEIGHT,
    SHARED_MAX,
    WINDOW_S,
    Counts,
    Lessons,
    believe,
    beta_cdf,
    faded,
    taught,
    weights,
)

NOW = 1_800_000_000.0


def binomial_tail(x: float, a: int, b: int) -> float:
    """I_x(a, b) for whole a, b as a finite sum (DLMF 8.17.5)."""
    n = a + b - 1
    return sum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))


@given(st.floats(0.001, 0.999), st.integers(1, 40), st.integers(1, 40))
def test_the_tail_equals_the_binomial_sum(x: float, a: int, b: int) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(binomial_tail(x, a, b), abs=1e-12)


@given(st.floats(0.001, 0.999), st.floats(0.01, 500))
def test_one_parameter_of_one_has_a_closed_form(x: float, a: float) -> None:
    assert beta_cdf(x, a, 1.0) == pytest.approx(x**a, abs=1e-12)


@given(st.floats(0.05, 300))
def test_a_symmetric_distribution_has_its_middle_in_the_middle(a: float) -> None:
    assert beta_cdf(0.5, a, a) == pytest.approx(0.5, abs=1e-12)


@given(st.floats(0.001, 0.999), st.floats(0.05, 200), st.floats(0.05, 200))
def test_both_tails_together_are_everything(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) + beta_cdf(1 - x, b, a) == pytest.approx(1.0, abs=1e-12)


@given(st.floats(0.01, 0.98), st.floats(0.1, 100), st.floats(0.1, 100))
def test_the_tail_grows_with_x(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) <= beta_cdf(x + 0.01, a, b) + 1e-12


@pytest.mark.parametrize(("x", "a", "b"), [(-0.1, 1, 1), (1.1, 1, 1), (0.5, 0, 1), (0.5, 1, -2)])
def test_senseless_arguments_are_refused(x: float, a: float, b: float) -> None:
    with pytest.raises(ValueError, match="needs"):
        beta_cdf(x, a, b)


def test_the_ends_are_the_ends() -> None:
    assert (beta_cdf(0.0, 2, 3), beta_cdf(1.0, 2, 3)) == (0.0, 1.0)


def test_without_counts_the_prior_of_the_type_is_believed() -> None:
    belief = believe("rate_limit", Counts(), (), NOW)
    assert belief.mean == pytest.approx(PRIOR_MEAN["rate_limit"])
    assert belief.alpha + belief.beta == pytest.approx(PRIOR_WEIGHT)
    assert belief.transient is True
    assert believe("validation", Counts(), (), NOW).transient is False


def test_what_is_not_sure_is_not_said() -> None:
    belief = believe("resource_exhausted", Counts(0.5, 0.0, NOW), (), NOW)
    assert belief.confidence < CONFIDENCE_MIN
    assert belief.transient is None


def test_own_counts_turn_a_belief() -> None:
    assert believe("dependency_down", Counts(0, 9, NOW), (), NOW).transient is False
    assert believe("code_bug", Counts(12, 0, NOW), (), NOW).transient is True


def test_few_other_workspaces_are_not_heard_and_many_only_softly() -> None:
    loud = Counts(1000, 0, NOW)
    alone = believe("unknown", Counts(), (loud, loud), NOW)
    assert alone == believe("unknown", Counts(), (), NOW)
    shared = believe("unknown", Counts(), (loud, loud, loud), NOW)
    assert shared.alpha + shared.beta == pytest.approx(PRIOR_WEIGHT + SHARED_MAX)
    assert (shared.own, shared.shared) == (0.0, SHARED_MAX)


def test_half_is_forgotten_after_the_half_life() -> None:
    assert faded(Counts(8, 4, NOW), NOW + HALF_LIFE_S) == Counts(4, 2, NOW + HALF_LIFE_S)
    assert faded(Counts(8, 4, NOW), NOW - 60) == Counts(8, 4, NOW)


def test_an_outage_of_many_failures_is_one_observation() -> None:
    lessons = Lessons()
    for second in range(100):
        lessons = taught(lessons, succeeded=second % 4 == 0, at=NOW + second)
    counts = weights(lessons)
    assert counts.successes + counts.failures == pytest.approx(1.0)
    assert counts.successes == pytest.approx(0.25)


def test_windows_add_up_and_late_lessons_count_in_the_open_one() -> None:
    lessons = taught(Lessons(), succeeded=True, at=NOW)
    lessons = taught(lessons, succeeded=False, at=NOW + WINDOW_S)
    lessons = taught(lessons, succeeded=False, at=NOW)
    assert lessons.window == int(NOW // WINDOW_S) + 1
    counts = weights(lessons)
    assert counts.failures == pytest.approx(1.0)
    assert counts.successes == pytest.approx(1.0, abs=1e-3)


@given(st.lists(st.tuples(st.booleans(), st.floats(NOW, NOW + 1e6)), max_size=30))
def test_no_lessons_can_weigh_more_than_their_windows(lessons: list[tuple[bool, float]]) -> None:
    state = Lessons()
    for succeeded, at in lessons:
        state = taught(state, succeeded=succeeded, at=at)
    counts = weights(state)
    assert 0 <= counts.successes + counts.failures <= len(lessons) + 1e-9
    assert all(math.isfinite(value) for value in astuple(counts))
