"""A node that a runner can run gives the same there as in the engine, whatever its items are."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perdure_contracts.engine import ExecutionCompleted, NodeErrored
from perdure_contracts.executions import NodeScheduled
from perdure_engine.definition import validate
from perdure_engine.executions import running
from perdure_engine.executions.dispatching import TASK_BYTES_MAX
from perdure_engine.runner.perform import at_once
from playing import Play, failed, link, node, play, workflow

MODES = (
    "STOP_WORKFLOW_ON_ERROR",
    "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    "CONTINUE_ERROR_OUTPUT_ON_ERROR",
)
VALUES = {
    "half": "{{ 1 / $json.n }}",
    "was": "{{ $json.text }}",
    "all": "{{ $input.all().length }}",
}


def answered(definition: dict[str, Any], data: Any, most: int = 100) -> Play:
    """Play an execution to its end; a runner answers each task."""
    played = play(definition, data)
    for _ in range(most):
        waiting = list(played.state.tokens)
        if not waiting:
            return played
        answer = at_once(played.tasks[waiting[0]], "r")
        assert answer is not None
        played.give(answer)
    raise AssertionError("it does not end")


def chain(run_in: str, mode: str, keep: Any) -> dict[str, Any]:
    parameters = {"values": VALUES, "keep": keep}
    return workflow(
        [
            node("set", "ACTION.SET", parameters=parameters, error_handling=mode, run_in=run_in),
            node("pass", run_in=run_in),
            node("bad", "ACTION.SET", parameters={"values": {"bad": True}}, run_in=run_in),
        ],
        ["t>set", "set>pass", link("set>bad", "ERROR")],
    )


def told(played: Play) -> dict[str, Any]:
    """Return what may not depend on where a node ran."""
    runs = {place: (run.status, run.inputs, run.ports) for place, run in played.state.runs.items()}
    rows = {
        row["node_id"]: (row["status"], row.get("output_data"), row.get("error_data"))
        for row in played.table("node_executions")
    }
    errors = [(each.node_id, each.error) for each in played.told(NodeErrored)]
    results = [each.result for each in played.told(ExecutionCompleted)]
    return {
        "status": played.state.status,
        "runs": runs,
        "edges": played.state.edges,
        "rows": rows,
        "errors": errors,
        "results": results,
    }


@st.composite
def items(draw: st.DrawFn) -> Any:
    """Return what a trigger brings for one item: a number, or some fields."""
    if draw(st.booleans()):
        return draw(st.integers(-2, 2))
    made: dict[str, Any] = {"n": draw(st.sampled_from([0, 1, 2, None, "x"]))}
    if draw(st.booleans()):
        made["text"] = draw(st.text(max_size=5))
    return made


@settings(max_examples=60, deadline=None)
@given(
    data=st.one_of(items(), st.lists(items(), max_size=6)),
    mode=st.sampled_from(MODES),
    keep=st.sampled_from(["all", "none", ["n"], ["text", "half"]]),
)
def test_a_run_is_the_same_in_the_engine_and_in_a_runner(data: Any, mode: str, keep: Any) -> None:
    here = answered(chain("auto", mode, keep), data)
    there = answered(chain("runner", mode, keep), data)
    assert not here.told(NodeScheduled)
    assert told(there) == told(here)


def test_a_node_that_is_to_run_in_a_runner_sends_a_pure_short_task() -> None:
    played = play(workflow([node("a", run_in="runner")], ["t>a"]), [{"n": 1}, {"n": 2}])
    task = played.task("a")
    assert (task.effect, task.length, task.items) == ("pure", "short", [{"n": 1}, {"n": 2}])
    played.answer("a")
    assert played.emitted("a") == [{"n": 1}, {"n": 2}]
    assert played.state.status == "SUCCESS"


def test_a_lost_attempt_of_such_a_node_is_tried_again_like_any_other() -> None:
    definition = workflow([node("a", run_in="runner", max_retries=1)], ["t>a"])
    played = play(definition, {"n": 1})
    played.answer("a", error=failed("worker_lost", retryable=True))
    played.wake()
    played.answer("a")
    assert (played.run("a").attempt, played.state.status) == (2, "SUCCESS")


def test_a_large_input_goes_to_a_runner_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LARGE_ITEMS", 3)
    definition = workflow([node("a"), node("b", "FLOW.MERGE")], ["t>a", "a>b.input1"])
    small, large = play(definition, [{}] * 3), play(definition, [{}] * 4)
    assert small.state.status == "SUCCESS"
    assert len(large.task("a").items) == 4
    large.answer("a")
    assert large.state.status == "SUCCESS", "what no runner can do runs here"


def test_what_does_not_fit_into_a_task_runs_in_the_engine() -> None:
    big = {"text": "x" * (TASK_BYTES_MAX // 2 + 10_000)}
    nodes = [
        node("a", "ACTION.SET", parameters={"values": {"n": 1}, "keep": "none"}, run_in="runner")
    ]
    values = {"copy": "{{ $json.text }}"}
    nodes.append(node("b", "ACTION.SET", parameters={"values": values}, run_in="runner"))
    played = answered(workflow(nodes, ["t>a", "t>b"], recovery="off"), big)
    assert [each.node_id for each in played.told(NodeScheduled)] == ["a"]
    assert played.told(NodeErrored) == []
    assert played.emitted("b") == [{**big, "copy": big["text"]}]


def test_a_disabled_node_goes_to_no_runner() -> None:
    played = play(workflow([node("a", run_in="runner", disabled=True)], ["t>a"]), {"n": 1})
    assert (played.emitted("a"), played.state.status) == ([{"n": 1}], "SUCCESS")


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("FLOW.MERGE", "runner", "run_in_not_supported"),
        ("TRIGGER.MANUAL", "runner", "run_in_not_supported"),
        ("FLOW.NOOP", "engine", "invalid_value"),
        ("FLOW.NOOP", True, "invalid_value"),
    ],
)
def test_a_place_to_run_in_that_cannot_be_is_refused(kind: str, value: Any, code: str) -> None:
    definition = workflow([node("a", kind, run_in=value)], [])
    found = [(each.code, each.path) for each in validate(definition).errors]
    assert found == [(code, "nodes[1].run_in")]


def test_a_defect_in_a_node_is_an_error_of_its_item_and_not_the_end_of_the_runner() -> None:
    definition = workflow(
        [node("a", "ACTION.SET", parameters={"values": {}}, run_in="runner")], ["t>a"]
    )
    task = play(definition, [{}, {}]).task("a")
    task.parameters[1] = {}  # as the engine never sends them
    answer = at_once(task, "r")
    assert answer is not None
    assert (answer.outcome, answer.ports) == ("failed", {"main": [{"json": {}}, None]})
    assert [(place, error.type) for place, error in answer.failed] == [(1, "code_bug")]
