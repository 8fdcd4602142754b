"""Errors that are planted in the engine are found by the specification, and made small."""

import pytest
import yaml
from engine_mutants import (
    MUTANTS,
    Mutant,
    answers_settle_whatever_runs,
    every_join_is_inner,
    losers_go_on,
    the_last_batch_is_lost,
)
from perdure_engine.definition import validate
from shrinking import shrunk
from told_graphs import Case, case_of, wrong

GRAPHS = 3_000
"""Random workflows in which each error must be found; of the 20,000 that there are."""


def first_wrong() -> tuple[Case, str]:
    """Return the first random workflow that differs, and how it does."""
    for seed in range(GRAPHS):
        case = case_of(seed)
        if found := wrong(case):
            return case, found
    raise AssertionError(f"none of {GRAPHS} workflows differs")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_an_error_that_is_planted_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    _, found = first_wrong()
    assert found


@pytest.mark.parametrize(
    ("mutant", "most"),
    [
        (every_join_is_inner, 3),
        (the_last_batch_is_lost, 3),
        (losers_go_on, 5),
        (answers_settle_whatever_runs, 3),
    ],
)
def test_what_differs_is_made_small_and_told_as_a_workflow(
    mutant: Mutant, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    case, found = first_wrong()
    small, found = shrunk(case, found)
    assert len(small.workflow["nodes"]) <= most, small.told(found)
    assert len(small.data) <= 2
    document = small.told(found)
    again = yaml.safe_load(document)
    assert validate(again).workflow is not None
    assert {name: again[name] for name in small.workflow} == small.workflow
    assert f"seed of the story: {small.seed}" in document
    assert wrong(small)
    monkeypatch.undo()
    assert wrong(small) == ""
