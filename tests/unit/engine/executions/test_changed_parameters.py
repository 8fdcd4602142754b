"""Other parameters for a node that the engine runs itself: as if its version had them."""

from typing import Any

import pytest
from perdure_contracts.control import RerunExecution
from playing import EXECUTION_ID, Play, node, play, workflow


def failing(kind: str, parameters: dict[str, Any], *links: str) -> Play:
    """Play a node that fails with its own parameters."""
    rest = [node("yes"), node("no")] if links else []
    changed = node("n", kind, parameters=parameters)
    played = play(workflow([changed, *rest], ["t>n", *links]), {"n": 7, "text": "x"})
    assert played.state.status == "ERROR", played.statuses()
    return played


def again(played: Play, **parameters: Any) -> Play:
    played.give(played.retry("n", overrides={"parameters": parameters}))
    return played


def test_a_retry_may_change_values_and_they_may_be_expressions() -> None:
    played = failing("ACTION.SET", {"values": {"a": "{{ $json.n.toUpperCase() }}"}})
    again(played, values={"a": "{{ $json.n + 1 }}", "b": 2}, keep="none")
    assert played.state.status == "SUCCESS"
    assert played.emitted("n") == [{"a": 8, "b": 2}]


def test_a_retry_may_change_a_condition_and_its_connections_stay() -> None:
    played = failing("FLOW.IF", {"condition": "{{ $json.text }}"}, "n.true>yes", "n.false>no")
    again(played, condition="{{ $json.n > 5 }}")
    assert played.state.status == "SUCCESS"
    assert (played.statuses()["yes"], played.statuses()["no"]) == ("SUCCESS", "SKIPPED")


def test_a_retry_may_change_what_a_node_waits_for() -> None:
    played = failing("FLOW.WAIT", {"seconds": "{{ $json.text }}"})
    again(played, seconds=30)
    assert played.state.status == "RUNNING"
    played.pass_time(30)
    assert played.state.status == "SUCCESS"


def test_what_was_changed_for_one_retry_is_not_for_the_next_one() -> None:
    played = failing("ACTION.SET", {"values": {"a": "{{ $json.n.toUpperCase() }}"}})
    again(played, values={"a": "{{ $json.n.trim() }}"})
    assert played.state.status == "ERROR"
    played.give(played.retry("n"))
    assert "toUpperCase" in str(played.table("workflow_executions")[0]["error_message"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"rules": [{"name": "other", "condition": "{{ true }}"}]},
        {"rules": [{"name": "one", "condition": "{{ true"}]},
        {"rules": 7},
        {"no_such": 1},
    ],
)
def test_parameters_that_the_node_could_not_have_are_refused(parameters: Any) -> None:
    rules = [{"name": "one", "condition": "{{ $json.text }}"}]
    played = failing("FLOW.SWITCH", {"rules": rules}, "n.one>yes")
    command = played.retry("n", overrides={"parameters": parameters})
    assert played.refused(command) == "invalid_overrides"


def test_loops_are_not_changed_while_their_version_runs() -> None:
    stop = node("s", "FLOW.STOP_AND_ERROR", parameters={"message": "no"})
    played = play(workflow([node("each", "FLOW.FOREACH"), stop], ["t>each", "each.item>s"]))
    assert played.state.status == "ERROR"
    command = played.retry("each", overrides={"parameters": {"max_concurrency": 1}})
    assert played.refused(command) == "invalid_overrides"


def test_a_rerun_may_change_them_too() -> None:
    played = failing("ACTION.SET", {"values": {"a": "{{ $json.n.toUpperCase() }}"}})

    def order(parameters: Any) -> RerunExecution:
        return RerunExecution(
            execution_id=EXECUTION_ID, new_execution_id="new", origin="node", node_id="n",
            overrides={"parameters": parameters},
        )  # fmt: skip

    assert played.refused(order({"values": 7})) == "invalid_overrides"
    played.give(order({"values": {"a": "{{ $json.n * 2 }}"}, "keep": "none"}))
    start, *rest = played.sent
    new = Play(played.definition, execution_id="new")
    new.give(start)
    for each in rest:
        new.give(each)
    assert new.emitted("n") == [{"a": 14}]
