"""Families link what is alike, whatever the order, and guess only where no rule knows."""

import random
from typing import Any

import pytest
from perdure_contracts.engine import ErrorFacts
from perdure_recovery.classify import classify
from perdure_recovery.families import (
    branch,
    families,
    neighbour_lookups,
    neighbours_of,
    prior_type,
    recognised,
)
from recovery_story import Story, failed

MESSAGES = {
    f"v1:{n:016x}": text
    for n, text in enumerate(
        (
            "The grip of frobnicator left on the shaft was lost",
            "The grip of frobnicator right on the shaft was lost",
            "The grip of frobnicator left on the shaft was gone",
            "Valve number <number> does not open",
            "Valve number <number> does not close",
            "Nothing like the others",
        )
    )
}
STRANGE = ErrorFacts(type="odd", message="The grip of frobnicator upper on the shaft was lost")


def row(message: str, failure_type: str, count: int = 3, signature: str = "v1:a") -> dict[str, Any]:
    return {
        "pattern_signature": signature,
        "error_message": message,
        "failure_type": failure_type,
        "occurrence_count": count,
    }


def test_messages_that_are_alike_make_a_family() -> None:
    sizes = [len(family.members) for family in families(MESSAGES)]
    assert sizes == [3, 2, 1]
    valves = next(f for f in families(MESSAGES) if f.template.startswith("Valve"))
    assert valves.template == "Valve number <number> does not <*>"


def test_families_do_not_depend_on_the_order_in_which_they_were_heard() -> None:
    expected = families(MESSAGES)
    for seed in range(20):
        shuffled = list(MESSAGES.items())
        random.Random(seed).shuffle(shuffled)
        assert families(dict(shuffled)) == expected


def test_all_of_a_family_have_the_same_branch() -> None:
    for family in families(MESSAGES):
        assert len({branch(MESSAGES[name]) for name in family.members}) == 1


@pytest.mark.parametrize("message", ["", "one", "one two", "disk2 full", "a " * 400, "\n\t"])
def test_every_message_has_a_short_branch(message: str) -> None:
    assert 0 < len(branch(message)) <= 120
    assert neighbours_of(message, [row("another message here", "timeout")]) is None


def test_neighbours_of_one_mind_give_their_type() -> None:
    rows = [
        row("The grip of frobnicator left on the shaft was lost", "resource_exhausted", 4, "v1:b"),
        row("The grip of frobnicator right on the shaft was lost", "resource_exhausted", 5, "v1:c"),
        row("The grip was never built in this country at all", "validation", 9, "v1:d"),
    ]
    kind, kept = recognised(STRANGE, {"neighbours": rows})
    assert (kind.failure_type, kind.rule_id, kind.source) == (
        "resource_exhausted",
        "family",
        "neighbour",
    )
    assert kept["family"]["patterns"] == 2
    assert kept["family"]["occurrences"] == 9


@pytest.mark.parametrize("second", ["validation", "timeout"])
def test_neighbours_who_disagree_say_nothing(second: str) -> None:
    rows = [
        row("The grip of frobnicator left on the shaft was lost", "auth", 4, "v1:b"),
        row("The grip of frobnicator right on the shaft was lost", second, 500, "v1:c"),
    ]
    assert recognised(STRANGE, {"neighbours": rows}) == (classify(STRANGE), {})


def test_neighbours_that_nobody_knows_are_passed_over() -> None:
    rows = [
        row("The grip of frobnicator left on the shaft was lost", "unknown", 90, "v1:b"),
        row("The grip of frobnicator right on the shaft was lost", "auth", 1, "v1:c"),
    ]
    assert recognised(STRANGE, {"neighbours": rows})[0].failure_type == "auth"


def test_a_failure_that_a_rule_knows_asks_no_neighbour() -> None:
    known = ErrorFacts(type="http_status", message=STRANGE.message, status_code=503)
    rows = [row("The grip of frobnicator left on the shaft was lost", "auth")]
    assert neighbour_lookups("ws", known, classify(known).failure_type) == {}
    assert recognised(known, {"neighbours": rows})[0].failure_type == "dependency_down"
    assert set(neighbour_lookups("ws", STRANGE, "unknown")) == {"neighbours"}


def test_a_guess_changes_no_belief_and_begets_no_guess() -> None:
    assert prior_type("rate_limit", "neighbour") == "unknown"
    assert prior_type("rate_limit", "rule") == "rate_limit"
    where = neighbour_lookups("ws", STRANGE, "unknown")["neighbours"].where
    assert where["pattern_source"] == ("rule", "override")


def test_what_the_neighbours_were_is_copied_into_the_event_and_told() -> None:
    rows = [row("The grip of frobnicator left on the shaft was lost", "rate_limit", 7, "v1:b")]
    story = Story({"neighbours": rows})
    noted: Any = story.hears(failed(error=STRANGE))[0]
    assert noted.pattern.rule_id == "family"
    assert noted.pattern.context["family"]["occurrences"] == 7
    assert noted.success_mean == pytest.approx(0.30)  # the prior of what nobody knows
    told = story.table("recovery_explanations")[0]
    assert "likeness to failures that are known (1 patterns, seen 7 times)" in str(
        told["root_cause"]
    )
    assert told["faithfulness"] == 1.0
