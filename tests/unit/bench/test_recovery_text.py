"""The measures of texts mean what they say, and the texts are made the same again."""

import pytest

from bench.recovery_corpus import SLOTS, STYLES, lines
from bench.recovery_text import grouped, grouping_accuracy, measure


def test_grouping_counts_a_line_only_if_its_whole_group_is_right() -> None:
    truth = {"1": "a", "2": "a", "3": "b", "4": "c"}
    assert grouping_accuracy({"1": "x", "2": "x", "3": "y", "4": "z"}, truth) == 1.0
    assert grouping_accuracy({"1": "x", "2": "x", "3": "x", "4": "z"}, truth) == 0.25
    assert grouping_accuracy({"1": "x", "2": "w", "3": "y", "4": "z"}, truth) == 0.5


@pytest.mark.parametrize("style", STYLES)
def test_a_style_makes_the_same_lines_again_and_no_slot_is_left(style: str) -> None:
    made = list(lines(style, 200, 1))
    assert made == list(lines(style, 200, 1))
    assert made != list(lines(style, 200, 2))
    for line in made:
        assert not [name for name in SLOTS if f"{{{name}}}" in line.text]
        assert line.plain and set(line.plain) <= set(line.text.split())


def test_lines_of_several_systems_are_grouped_as_they_were_made() -> None:
    accuracies = grouped(seed=5, count=300)
    mean = sum(family for family, _ in accuracies.values()) / len(accuracies)
    assert mean >= 0.82, accuracies


def test_the_benchmark_tells_its_keys() -> None:
    told = measure()
    assert {"signature_median_us", "grouping_accuracy", "secrets_removed"} <= set(told)
    assert told["secrets_removed"] >= 0.9
    assert told["plain_words_masked"] < 0.005
