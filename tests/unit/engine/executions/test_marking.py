"""Nodes settled by hand, and nodes run again with something changed."""

from datetime import timedelta
from typing import Any, Literal

import pytest
from perdure_contracts.control import MarkNode, NodeMarked, RerunExecution
from perdure_contracts.engine import NodeResult, NodeSkipped
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import why
from playing import EXECUTION_ID, Play, failed, http, node, play, workflow

OFF = workflow([http("a"), node("b")], ["t>a", "a>b"], recovery="off")


def mark(
    node_id: str, outcome: Literal["done", "skipped"] = "done", data: Any = None, **more: Any
) -> MarkNode:
    return MarkNode(
        execution_id=EXECUTION_ID,
        node_id=node_id,
        outcome=outcome,
        data=data,
        asked_by="me",
        **more,
    )


def test_an_open_node_that_is_marked_done_emits_the_data_and_its_answer_is_stale() -> None:
    played = play(OFF)
    late = played.result("a", {"late": 1})
    played.give(mark("a", data={"by": "hand"}))
    assert played.state.status == "SUCCESS"
    assert played.emitted("b") == [{"by": "hand"}]
    assert played.refused(late) == "stale_result"
    (row,) = [row for row in played.table("node_executions") if row["node_id"] == "a"]
    assert (row["status"], row["output_data"]) == ("SUCCESS", {"main": [{"by": "hand"}]})


def test_a_claimed_attempt_that_is_marked_is_told_to_stop() -> None:
    definition = workflow([http("a", parameters={"method": "POST"})], ["t>a"], recovery="off")
    played = play(definition)
    token = played.told_token("a")
    played.give(mark("a", "skipped"))
    (claim,) = played.table("node_claims")
    assert (claim["token"], claim["canceled"]) == (token, True)


def test_a_failed_node_that_is_marked_done_revives_the_execution() -> None:
    played = play(OFF)
    played.answer("a", error=failed())
    assert played.state.status == "ERROR"
    played.give(mark("a", data=[{"n": 1}, {"n": 2}], reason="paid by hand"))
    assert played.state.status == "SUCCESS"
    assert played.emitted("b") == [{"n": 1}, {"n": 2}]
    runs = [(r["run"], r["status"]) for r in played.table("node_executions") if r["node_id"] == "a"]
    assert runs == [(1, "ERROR"), (2, "SUCCESS")]
    (told,) = played.told(NodeMarked)
    assert (told.run, told.reason) == (2, "paid by hand")


def test_a_node_that_is_marked_skipped_has_dead_edges() -> None:
    played = play(OFF)
    played.answer("a", error=failed())
    played.give(mark("a", "skipped"))
    assert played.state.status == "SUCCESS"
    assert played.statuses() == {"t": "SUCCESS", "a": "SKIPPED", "b": "SKIPPED"}
    assert [each.node_id for each in played.told(NodeSkipped)] == ["a", "b"]


def test_a_marked_node_without_data_passes_on_what_arrived() -> None:
    played = play(OFF, {"n": 7})
    played.give(mark("a"))
    assert played.emitted("b") == [{"n": 7}]


def test_marking_may_name_ports_and_refuses_those_that_are_not_there() -> None:
    played = play(OFF)
    assert played.refused(mark("a", data={"ports": {"side": [{}]}})) == "unknown_port"
    assert played.refused(mark("a", data={"x": "y" * 700_000})) == "data_too_large"
    played.give(mark("a", data={"ports": {"main": [{"x": 1}]}}))
    assert played.emitted("a") == [{"x": 1}]


@pytest.mark.parametrize("node_id", ["t", "b", "nobody"])
def test_only_what_is_open_or_ended_badly_can_be_marked(node_id: str) -> None:
    played = play(OFF)
    assert played.refused(mark(node_id)) == "not_markable"


def test_a_loop_that_failed_can_be_marked_done() -> None:
    definition = workflow(
        [node("each", "FLOW.FOREACH"), http("body"), node("end")],
        ["t>each", "each.item>body", "body>each", "each.done>end"],
        recovery="off",
    )
    played = play(definition, [{"n": 1}])
    assert played.refused(mark("each")) == "not_markable"
    played.answer("each.0@body", error=failed())
    assert played.statuses()["each"] == "ERROR"
    played.give(mark("each", data={"ports": {"done": [{"n": 9}]}}))
    assert played.state.status == "SUCCESS"
    assert played.emitted("end") == [{"n": 9}]


def test_a_node_in_an_iteration_that_failed_cannot_be_marked() -> None:
    definition = workflow(
        [node("each", "FLOW.FOREACH"), http("body")],
        ["t>each", "each.item>body", "body>each"],
        recovery="off",
    )
    played = play(definition, [{"n": 1}])
    played.answer("each.0@body", error=failed())
    assert played.refused(mark("body", scope=(("each", 0),))) == "not_markable"


# Run again, with something changed ----------------------------------------------------------


def failing() -> Play:
    played = play(OFF, {"n": 1})
    played.answer("a", error=failed())
    return played


def test_a_node_may_run_again_with_other_items() -> None:
    played = failing()
    played.give(played.retry("a", overrides={"input": [{"n": 5}, {"n": 6}]}))
    assert played.task("a").items == [{"n": 5}, {"n": 6}]
    rows = [row for row in played.table("node_executions") if row["node_id"] == "a"]
    assert rows[-1]["input_data"] == {"main": [{"n": 5}, {"n": 6}]}
    played.answer("a")
    assert played.emitted("b") == [{"n": 5}, {"n": 6}]
    assert played.state.status == "SUCCESS"


def test_a_loop_may_run_again_with_other_items() -> None:
    definition = workflow(
        [node("each", "FLOW.FOREACH"), http("body")],
        ["t>each", "each.item>body", "body>each"],
        recovery="off",
    )
    played = play(definition, [{"n": 1}])
    played.answer("each.0@body", error=failed())
    played.give(played.retry("each", overrides={"input": [{"n": 8}]}))
    played.answer("each.0@body")
    assert played.emitted("each", "done") == [{"n": 8}]


def test_a_revival_may_wait() -> None:
    played = failing()
    played.give(played.retry("a", delay_s=60.0))
    assert (played.state.status, played.statuses()["a"]) == ("RUNNING", "ERROR")
    (waits,) = why(played.state, played.workflow)
    assert (waits.waits_for, waits.node_id) == ("delay", "a")
    assert wake_at(played.state) == played.now + timedelta(seconds=60)
    stale = NodeResult(execution_id=EXECUTION_ID, token="x", outcome="completed")
    assert played.refused(stale) == "stale_result"
    played.wake()
    assert played.statuses()["a"] == "RUNNING"


def test_without_a_name_the_failed_node_runs_again() -> None:
    played = failing()
    played.give(played.retry(""))
    assert played.statuses()["a"] == "RUNNING"
    done = play(OFF)
    done.answer("a")
    assert done.refused(done.retry("")) == "not_retryable"


@pytest.mark.parametrize(
    "more",
    [
        {"overrides": {"input": []}},
        {"overrides": {"input": {"n": 1}}},
        {"overrides": {"model": 1}},
        {"overrides": {"model": "m"}},  # the node has none
        {"overrides": {}},
        {"overrides": {"credentials": "x"}},
        {"overrides": {"credentials": {}}},
        {"overrides": {"credentials": {"credential": "No Name"}}},
        {"overrides": {"credentials": {"credential": "spare", "token": "x"}}},
        {"overrides": {"credentials": {"credential": "spare"}}},  # the node names none
    ],
)
def test_overrides_that_do_not_fit_are_refused(more: dict[str, Any]) -> None:
    played = failing()
    assert played.refused(played.retry("a", **more)) == "invalid_overrides"


def test_parameters_of_a_node_are_changed_whoever_runs_it() -> None:
    stop = node("s", "FLOW.STOP_AND_ERROR", parameters={"message": "no"})
    far = node("far", "ACTION.SET", run_in="runner", parameters={"values": {"a": 0}})
    played = play(workflow([far, stop], ["t>far", "far>s"], recovery="off"))
    played.answer("far", error=failed())
    changed = {"parameters": {"values": {"a": 1}}}
    played.give(played.retry("far", overrides=changed))
    assert played.task("far").parameters[0]["values"] == {"a": 1}
    played.answer("far", {"a": 1})
    assert played.state.status == "ERROR"
    changed = {"parameters": {"message": "another"}}
    played.give(played.retry("s", overrides=changed))
    assert played.table("workflow_executions")[0]["error_message"] == "another"
    changed = {"parameters": {"message": 7}}
    assert played.refused(played.retry("s", overrides=changed)) == "invalid_overrides"
    order = RerunExecution(
        execution_id=EXECUTION_ID, new_execution_id="new", origin="node", node_id="s",
        overrides=changed,
    )  # fmt: skip
    assert played.refused(order) == "invalid_overrides"


@pytest.mark.parametrize("delay_s", [-1.0, 1e12])
def test_a_delay_must_be_one(delay_s: float) -> None:
    played = failing()
    assert played.refused(played.retry("a", delay_s=delay_s)) == "invalid_delay"
