"""What is decided about a dead letter stands among the decisions, and its pattern is told of it."""

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from one_stream import OneStream
from perdure_common.decider import Recorded
from perdure_contracts.dead_letters import (
    DeadLetterKept,
    DeadLetterSettled,
    EditDeadLetter,
    KeepDeadLetter,
    RedriveDeadLetter,
)
from perdure_contracts.patterns import NoteOccurrence
from perdure_contracts.shell import DeadLettered
from perdure_recovery import letters
from perdure_recovery.app import letter_streams, pattern_streams
from perdure_recovery.explain import texts_of
from perdure_recovery.faithful import is_complete
from perdure_recovery.letter_decisions import ATTEMPTS, EXPLANATIONS, explained
from perdure_recovery.letter_words import ACTIONS, TYPES
from perdure_recovery.letters import Letter
from perdure_recovery.retention import FOREVER, LONG, SHORT

SCHEMA = (Path(__file__).parents[3] / "migrations/recovery/schema.sql").read_text("utf-8")
RECORD = DeadLettered(
    topic="perdure.engine.commands.v1", partition=3, offset=17, code="poison",
    reason="KeyError: 'n' at line 17", value=b'{"n": 1}', stream="e1",
)  # fmt: skip
KEEP = KeepDeadLetter(
    letter_id="l", service="engine", letter=RECORD, signature="v1:0", told_by="/engine/1/7.1"
)
STREAM = letters.stream_of(KEEP)


def required(table: str) -> set[str]:
    """Return the columns that a row must have said, from the picture of the tables."""
    body = SCHEMA.partition(f"\nTABLE {table}\n")[2].partition("\n\n")[0]
    return set(re.findall(r"^    (\w+) [a-z ]+ NOT NULL$", body, re.MULTILINE))


class Told(OneStream[Letter]):
    """A letter's stream, and its rows as they are."""

    def __init__(self) -> None:
        super().__init__(letter_streams)

    def row(self, table: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for upsert in self.rows:
            if upsert.table == table:
                found |= {**upsert.key, **upsert.set}
        return found

    def settle(self, action: Any = "retry") -> list[Any]:
        return self.asked(RedriveDeadLetter(letter=STREAM, asked_by="ann", action=action))


def test_a_letter_is_decided_on_and_explained_with_every_column() -> None:
    told = Told()
    told.asked(KEEP)
    attempt, explanation = told.row(ATTEMPTS), told.row(EXPLANATIONS)
    assert required(ATTEMPTS) <= set(attempt)
    assert required(EXPLANATIONS) <= set(explanation)
    assert (attempt["triggered_by"], attempt["recovery_strategy"]) == (
        "dead_letter",
        "escalate_human",
    )
    assert (attempt["status"], attempt["recovery_outcome"]) == ("refused", "escalated")
    assert explanation["recovery_attempt_id"] == attempt["id"]
    assert attempt["dead_letter_id"] == explanation["dead_letter_id"] == "l"
    assert "What follows in the stream e1 waits for it." in explanation["retry_decision"]
    assert attempt["kept_until"] == explanation["kept_until"] == FOREVER, "it waits"


@pytest.mark.parametrize("code", sorted({*TYPES, *ACTIONS, "something_new"}))
def test_each_explanation_is_full_and_claims_nothing_without_a_source(code: str) -> None:
    explanation = explained(replace(RECORD, code=code))
    assert is_complete(texts_of(explanation))
    assert explanation.faithfulness == 1.0, explanation


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_what_a_person_did_about_it_stands_in_the_decision(action: str) -> None:
    told = Told()
    told.asked(KEEP)
    told.after(9).settle(action)
    attempt = told.row(ATTEMPTS)
    assert attempt["recovery_context"]["said"] == action
    assert attempt["recovery_context"]["asked_by"] == "ann"
    assert attempt["kept_until"] == told.now + LONG
    assert told.row(EXPLANATIONS)["kept_until"] == told.now + SHORT


def test_one_that_waits_again_has_all_of_its_rows_again() -> None:
    told = Told()
    told.asked(KEEP)
    told.settle()
    told.rows.clear()  # it was long ago, and is forgotten
    told.after(timedelta(days=365).total_seconds())
    told.asked(replace(KEEP, told_by="/engine/1/8.1"))
    assert required(ATTEMPTS) <= set(told.row(ATTEMPTS))
    assert told.row(ATTEMPTS)["attempt_number"] == 2
    assert told.row(EXPLANATIONS)["kept_until"] == FOREVER


def test_letters_that_are_alike_are_one_pattern_and_many_are_an_incident() -> None:
    pattern, letter = OneStream(pattern_streams), Told()
    for n in range(10):
        letter = Told()
        letter.asked(replace(KEEP, letter_id=f"l{n}"))
        (seen,) = [each for each in letter.sent if isinstance(each, NoteOccurrence)]
        assert (seen.pattern.dependency, seen.pattern.failure_type) == (
            "topic:perdure.engine.commands.v1",
            "code_bug",
        )
        pattern.asked(seen)
    assert pattern.state.occurrences == 10
    assert len(pattern.sent) == 1, "the tenth is told to the stream of incidents"
    letter.settle()
    assert not [m for m in letter.sent if isinstance(m, NoteOccurrence)][1:]


def test_a_letter_that_a_failure_made_has_that_failures_decision() -> None:
    told = Told()
    told.asked(replace(KEEP, pattern_id="p", letter=replace(RECORD, stream="", code="cancelled")))
    told.settle()
    assert {each.table for each in told.rows} == {letters.TABLE}
    assert not [each for each in told.sent if isinstance(each, NoteOccurrence)]


def test_a_letter_of_before_has_no_row_that_could_be_completed() -> None:
    old = DeadLetterKept(letter_id="l", service="engine", letter=RECORD)
    state = letters.evolve(Letter(), old)
    settled = DeadLetterSettled(
        letter_id="l", action="retry", asked_by="ann", settled_at="2026-01-02T00:00:00Z"
    )
    at = datetime(2026, 1, 2, tzinfo=UTC)
    for event in (old, settled):
        rows = letters.project(state, Recorded(event, "t", STREAM, 1, at))
        assert {each.table for each in rows} == {letters.TABLE}


def test_an_edit_says_nothing_new_of_the_decision() -> None:
    told = Told()
    told.asked(replace(KEEP, letter=replace(RECORD, stream="")))
    before = len(told.rows)
    told.asked(EditDeadLetter(letter=STREAM, value=b"{}", edited_by="ann"))
    assert [each.table for each in told.rows[before:]] == [letters.TABLE]


def literals(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return [*literals(node.body), *literals(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def codes_in(source: str) -> set[str]:
    """Return the codes with which a source refuses records for good."""
    found = set[str]()
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func).rpartition(".")[2]
        named = {each.arg: each.value for each in call.keywords}
        if name in ("CloudEventError", "_dead"):
            found.update(literals(call.args[0]))
        elif name == "Rejected" and "dead_letter" in named:
            found.update(literals(named.get("code") or call.args[1]))
        elif name == "DeadLettered" and "code" in named:
            found.update(literals(named["code"]))
    return found


def test_every_code_with_which_a_service_refuses_a_record_has_a_type_and_words() -> None:
    root = Path(__file__).parents[3]
    sources = [each for folder in ("services", "libs") for each in (root / folder).rglob("*.py")]
    codes = {code for each in sources for code in codes_in(each.read_text("utf-8"))}
    assert {"bad_json", "workflow_not_found", "invalid_concurrency_key"} <= codes
    assert sorted(codes - set(TYPES)) == [], "say in letter_words.py what it means"
    assert sorted(codes - set(ACTIONS)) == []
