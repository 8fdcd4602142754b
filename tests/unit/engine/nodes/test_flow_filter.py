"""FLOW FILTER."""

from nodes_for_tests import failures, made, refused, run, told


def test_items_leave_where_the_condition_says() -> None:
    outcome = run(made("FLOW.FILTER", condition="{{ $json.n > 1 }}"), {"n": 1}, {"n": 2}, {"n": 3})
    assert told(outcome) == [({"n": 2}, 1), ({"n": 3}, 2)]
    assert told(outcome, "discarded") == [({"n": 1}, 0)]


def test_an_item_that_cannot_be_asked_fails_alone() -> None:
    outcome = run(made("FLOW.FILTER", condition="{{ $json.ok }}"), {}, {"ok": True}, {"ok": 1})
    assert failures(outcome) == [(0, "condition_not_boolean"), (2, "condition_not_boolean")]
    assert told(outcome) == [({"ok": True}, 1)]
    assert told(outcome, "discarded") == []


def test_a_condition_must_be_one_expression() -> None:
    assert refused("FLOW.FILTER", condition="$json.n > 1") == [("invalid_parameter", "condition")]
    assert refused("FLOW.FILTER") == [("missing_parameter", "condition")]
