"""The scrubber's gate: nine of ten secrets in unseen formats go, plain words stay.

Shapes and lines are made anew from several seeds; none of the shapes has a prefix that the
scrubber knows.
"""

import re

import pytest
from perdure_common.scrub import scrub_json, scrub_text

from bench.recovery_corpus import STYLES, lines
from bench.recovery_secrets import SHAPES, is_removed, samples
from bench.recovery_text import plain_words_masked, secrets_removed

SEEDS = (1, 7, 20_261_128)
KNOWN_PREFIXES = ("sk-", "ghp_", "github_pat_", "glpat-", "xox", "AKIA", "AIza", "hf_", "npm_")


def test_no_shape_begins_as_a_known_one_does() -> None:
    assert len(SHAPES) > 50
    assert not [name for name, shape in SHAPES.items() if shape.startswith(KNOWN_PREFIXES)]


@pytest.mark.parametrize("seed", SEEDS)
def test_nine_of_ten_secrets_in_unseen_formats_are_removed(seed: int) -> None:
    share, by_name = secrets_removed(seed)
    assert share >= 0.9, sorted(by_name.items(), key=lambda each: each[1])[:10]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_key_names_as_secret_is_removed(seed: int) -> None:
    kept = [s for s in samples(seed, 1) if s.keyed and not is_removed(s, scrub_text(s.text))]
    assert kept == []


@pytest.mark.parametrize("seed", SEEDS)
def test_hardly_a_plain_word_of_a_log_is_taken_for_a_secret(seed: int) -> None:
    share, masked = plain_words_masked(seed, count=500)
    assert share < 0.005, masked.most_common(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_secrets_in_json_go_whatever_the_key(seed: int) -> None:
    found = list(samples(seed, 1))
    removed = sum(
        is_removed(s, str(scrub_json({"detail": {"value": [s.secret]}, "n": 1}))) for s in found
    )
    assert removed / len(found) >= 0.9


def test_scrubbing_twice_changes_nothing_in_any_sample() -> None:
    texts = [sample.text for sample in samples(3, 1)]
    texts += [line.text for style in STYLES for line in lines(style, 50, 3)]
    for text in texts:
        once = scrub_text(text)
        assert scrub_text(once) == once


def test_the_shapes_are_made_as_they_are_written_down() -> None:
    sample = next(s for s in samples(5, 1) if s.name == "airtable token")
    assert re.fullmatch(r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", sample.secret)
