"""The three error modes, and where error items stand."""

from typing import Any

from perdure_engine.nodes.base import ErrorMode, Inputs, Item, Outcome
from perdure_engine.nodes.errors import Arranged, arrange, data_error

STOP: ErrorMode = "STOP_WORKFLOW_ON_ERROR"
REGULAR: ErrorMode = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
ERRORS: ErrorMode = "CONTINUE_ERROR_OUTPUT_ON_ERROR"
FACTS = data_error("bad", "no good")
INPUTS = Inputs({"main": [{"json": {"n": at}} for at in range(4)]})
OUT: list[Item] = [{"json": "b", "source": 1}, {"json": "d", "source": 3}]
OUTCOME = Outcome(ports={"main": OUT}, failed=((0, FACTS), (2, FACTS)))


def arranged(mode: ErrorMode, outcome: Outcome = OUTCOME, **changes: Any) -> Arranged:
    given: dict[str, Any] = {
        "node_id": "n", "error_handling": mode, "outputs": ("main", "other"),
        "regular_error_port": "main", "has_error_edge": True, **changes,
    }  # fmt: skip
    return arrange(outcome, INPUTS, **given)


def failed(n: int) -> dict[str, Any]:
    return {"n": n, "error": {"type": "bad", "message": "no good", "node": "n"}}


def test_with_stop_nothing_leaves() -> None:
    assert arranged(STOP) == Arranged(ports={}, error=FACTS)


def test_failed_items_leave_at_their_place_on_the_regular_port() -> None:
    found = arranged(REGULAR)
    assert found.ports == {
        "main": [
            {"json": failed(0)},
            {"json": "b"} | {"source": 1},
            {"json": failed(2)},
            {"json": "d"} | {"source": 3},
        ]
    }
    assert [item["json"] for item in found.errors] == [failed(0), failed(2)]
    assert found.handled == OUTCOME.failed
    assert found.error is None


def test_items_that_are_moved_still_say_where_they_come_from() -> None:
    outcome = Outcome(ports={"main": [{"json": "x"}]}, failed=((0, FACTS),))
    found = arranged(REGULAR, outcome)
    assert [item.get("source", at) for at, item in enumerate(found.ports["main"])] == [0, 0]


def test_failed_items_leave_on_the_error_port() -> None:
    found = arranged(ERRORS)
    assert found.ports["error"] == [{"json": failed(0)}, {"json": failed(2), "source": 2}]
    assert found.ports["main"] == OUT


def test_an_error_port_that_leads_nowhere_stops() -> None:
    assert arranged(ERRORS, has_error_edge=False) == Arranged(ports={}, error=FACTS)
    assert arranged(REGULAR, has_error_edge=False).error is None


def test_an_explicit_stop_heeds_no_mode() -> None:
    for mode in (STOP, REGULAR, ERRORS):
        found = arranged(mode, Outcome(ports={}, stop=FACTS), always_output_data=True)
        assert found == Arranged(ports={}, error=FACTS)


def test_ports_that_would_be_empty_emit_an_empty_item_when_asked_to() -> None:
    found = arranged(ERRORS, Outcome(ports={"main": []}), always_output_data=True)
    assert found.ports == {
        "main": [{"json": {}, "source": []}],
        "other": [{"json": {}, "source": []}],
    }
    assert arranged(STOP, Outcome(ports={"main": []})).ports == {}
