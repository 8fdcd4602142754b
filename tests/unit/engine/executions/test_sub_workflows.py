"""SUB_WORKFLOW and RESPOND: children that are begun once, cancelled with us, and told of."""

from typing import Any

import pytest
from families import Family
from perdure_common.decider import Recorded
from perdure_contracts.engine import (
    CancelExecution,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    NodeFailed,
)
from perdure_contracts.flow import (
    ChildRefused,
    ChildRequested,
    ExecutionResponded,
    NoteChildEnd,
    StartChild,
)
from perdure_engine.executions.route import LONG_AGO
from perdure_engine.executions.why import why
from perdure_engine.promises import Judge
from playing import EXECUTION_ID, Play, failed, http, node, play, workflow, workflow_id

SUB, SET, RESPOND = "FLOW.SUB_WORKFLOW", "ACTION.SET", "FLOW.RESPOND"
UP = {"values": {"n": "{{ $json.n + 1 }}"}}


def calling(name: str = "child", **more: Any) -> dict[str, Any]:
    parameters = {"workflow": name, **more.pop("parameters", {})}
    nodes = [node("sub", SUB, parameters=parameters, **more), node("end")]
    return workflow(nodes, ["t>sub", "sub>end"], recovery="off")


def adding() -> dict[str, Any]:
    return workflow([node("up", SET, parameters=UP)], ["t>up"])


def asking() -> dict[str, Any]:
    return workflow([http("ask", max_retries=0)], ["t>ask"], recovery="off")


def family(child: dict[str, Any], parent: dict[str, Any] | None = None) -> Family:
    return Family({"parent": parent or calling(), "child": child})


def result(played: Play) -> Any:
    (end,) = played.told(ExecutionCompleted)
    return end.result


def error(played: Play) -> Any:
    (end,) = played.told(ExecutionFailed)
    return end.error


def test_a_child_runs_as_an_execution_of_its_own_and_its_result_comes_back() -> None:
    made = family(adding())
    parent = made.start("parent", [{"n": 1}, {"n": 2}])
    [child] = made.children
    assert result(child) == result(parent) == [{"n": 2}, {"n": 3}]
    (started,) = child.told(ExecutionStarted)
    assert started.parent_execution_id == EXECUTION_ID
    assert (started.mode, started.triggered_by) == ("MANUAL", "SUB_WORKFLOW:sub")
    [row] = child.table("workflow_executions")
    assert (row["status"], row["parent_execution_id"]) == ("SUCCESS", EXECUTION_ID)


def test_the_input_and_the_version_can_be_chosen() -> None:
    parameters = {"input": {"n": "{{ $json.n * 10 }}"}, "version": 1}
    made = family(adding(), calling(parameters=parameters))
    assert result(made.start("parent", {"n": 4})) == [{"n": 41}]


def test_a_workflow_may_be_called_by_its_id() -> None:
    made = family(adding(), calling(workflow_id("child")))
    assert result(made.start("parent", {"n": 1})) == [{"n": 2}]


def test_while_the_child_runs_the_parent_waits_and_can_say_for_whom() -> None:
    made = family(asking())
    parent = made.start("parent", {"n": 1})
    [child] = made.children
    assert (parent.state.status, parent.statuses()["sub"]) == ("RUNNING", "RUNNING")
    [reason] = why(parent.state, parent.workflow)
    assert (reason.waits_for, reason.what) == ("child", child.execution_id)
    child.answer("ask", {"n": 9})
    made.settle()
    assert result(parent) == [{"n": 9}]


def test_a_child_is_begun_once_however_often_it_is_asked_for() -> None:
    made = family(asking())
    made.start("parent", {"n": 1})
    [child] = made.children
    (asked,) = made.first.told(ChildRequested)
    again = StartChild(
        execution_id=asked.child_execution_id,
        workflow="child",
        version=None,
        data={"n": 1},
        parent_execution_id=EXECUTION_ID,
        root_execution_id=asked.child_root_execution_id,
        wait_id=asked.wait_id,
        wait=True,
        depth=1,
        mode="MANUAL",
        triggered_by="",
    )
    assert child.refused(again) == "duplicate"
    assert len(child.told(ExecutionStarted)) == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_child_that_has_ended_tells_its_end_again_to_a_parent_that_asks_again(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = family(asking())
    made.start("parent", {"n": 1})
    (asked,) = made.first.told(ChildRequested)
    [child] = made.children
    again = StartChild(
        execution_id=asked.child_execution_id, workflow="child", version=None, data={"n": 1},
        parent_execution_id=EXECUTION_ID, root_execution_id=asked.child_root_execution_id,
        wait_id=asked.wait_id, wait=True, depth=1, mode="MANUAL", triggered_by="",
    )  # fmt: skip
    assert child.refused(again) == "duplicate"
    child.answer("ask", {"n": 9})
    (first,) = [each for each in child.sent if isinstance(each, NoteChildEnd)]
    if not known:
        for module in ("version_of", "facts"):
            name = f"perdure_engine.executions.{module}.kept"
            monkeypatch.setattr(name, nothing_kept)
    child.sent.clear()
    child.give(again)
    assert child.sent == [first]
    assert child.state.status == "SUCCESS"
    assert broken(child) == []


def test_a_child_that_was_cancelled_tells_so_again() -> None:
    made = family(asking())
    made.start("parent", {"n": 1})
    (asked,) = made.first.told(ChildRequested)
    [child] = made.children
    child.give(CancelExecution(execution_id=child.execution_id, reason="no", asked_by="me"))
    child.sent.clear()
    child.give(
        StartChild(
            execution_id=asked.child_execution_id, workflow="child", version=None, data={"n": 1},
            parent_execution_id=EXECUTION_ID, root_execution_id=asked.child_root_execution_id,
            wait_id=asked.wait_id, wait=True, depth=1, mode="MANUAL", triggered_by="",
        )
    )  # fmt: skip
    (told,) = child.sent
    assert (told.status, told.wait_id) == ("CANCELED", asked.wait_id)


def nothing_kept(sha256: str) -> None:
    """Return what a process knows that has just begun."""
    del sha256


def broken(played: Play) -> list[Any]:
    """Return the promises that `perdure verify` finds broken in an execution."""
    judge = Judge()
    times = zip(played.events, played.times, strict=True)
    return [
        found
        for version, (event, at) in enumerate(times, 1)
        for found in judge.see(Recorded(event, "tenant", played.execution_id, version, at))
    ]


def test_a_child_that_fails_fails_its_node_by_that_node_s_error_mode() -> None:
    made = family(asking())
    parent = made.start("parent", {"n": 1})
    [child] = made.children
    child.answer("ask", error=failed())
    made.settle()
    assert error(parent).type == "sub_workflow_failed"
    assert error(parent).detail["execution_id"] == child.execution_id
    (told,) = parent.told(NodeFailed)
    assert not told.asked and not told.error.retryable
    mode = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
    made = family(asking(), calling(error_handling=mode))
    parent = made.start("parent", {"n": 1})
    made.children[0].answer("ask", error=failed())
    made.settle()
    [item] = result(parent)
    assert item["n"] == 1 and item["error"]["type"] == "sub_workflow_failed"


def test_a_child_that_is_revived_after_its_parent_failed_changes_nothing_there() -> None:
    made = family(asking())
    made.start("parent", {"n": 1})
    [child] = made.children
    child.answer("ask", error=failed())
    made.settle()
    child.give(child.retry("ask"))
    child.answer("ask", {"n": 2})
    made.settle()
    assert child.state.status == "SUCCESS" and made.first.state.status == "ERROR"
    assert [each.code for each in made.refused] == ["stale_child_end"]


def test_a_node_that_is_run_again_calls_a_new_child_with_the_keys_of_the_first() -> None:
    made = family(asking())
    parent = made.start("parent", {"n": 1})
    made.children[0].answer("ask", error=failed())
    made.settle()
    parent.give(parent.retry("sub"))
    made.settle()
    first, second = made.children
    keys = [t.idempotency_key for child in (first, second) for t in child.tasks.values()]
    assert len(keys) == 2 and keys[0] == keys[1]
    second.answer("ask", {"n": 5})
    made.settle()
    assert result(parent) == [{"n": 5}]


def looking() -> dict[str, Any]:
    orders = {"method": "POST", "verify": {"url": "https://example.org/orders/4"}}
    return workflow([http("ask", parameters=orders)], ["t>ask"])


def test_what_a_child_does_first_is_not_looked_for_however_deep_the_child_is() -> None:
    made = Family({"parent": calling("middle"), "middle": calling("lowest"), "lowest": looking()})
    made.start("parent", {"n": 1})
    child = made.children[-1]
    assert (child.task("ask").effect, child.task("ask").again) == ("verify_first", "")
    child.answer("ask", error=failed(effect_state="unknown"))
    child.verdict("ask", "retry")
    assert child.state.started_at is not None
    assert child.task("ask").again == child.state.started_at.isoformat()


def test_what_a_child_of_a_second_run_does_is_looked_for_since_ever() -> None:
    made = family(looking())
    parent = made.start("parent", {"n": 1})
    made.children[0].answer("ask", error=failed(effect_state="unknown"))
    made.children[0].verdict("ask", "give_up")
    made.settle()
    parent.give(parent.retry("sub"))
    made.settle()
    assert made.children[1].task("ask").again == LONG_AGO


def test_what_a_child_of_a_rerun_does_is_looked_for_since_ever() -> None:
    made = Family({"parent": calling("middle"), "middle": calling("lowest"), "lowest": looking()})
    made.start("parent", {"n": 1}, root_execution_id="what it is a rerun of")
    assert made.children[-1].task("ask").again == LONG_AGO


def test_cancelling_the_parent_cancels_the_child() -> None:
    made = family(asking())
    parent = made.start("parent", {"n": 1})
    parent.give(parent.cancel())
    made.settle()
    assert made.children[0].state.status == "CANCELED"


def test_a_child_that_has_not_begun_is_cancelled_before_it_does() -> None:
    made = family(asking())
    made.held.append(StartChild)
    parent = made.start("parent", {"n": 1})
    made.held.append(CancelExecution)
    parent.give(parent.cancel())
    made.settle()
    start, stop = made.kept
    made.kept.clear()
    made.held.clear()
    made.deliver(start)
    [child] = made.children
    assert child.state.status == "NEW"
    assert child.table("workflow_executions")[0]["status"] == "NEW"
    made.deliver(stop)
    made.settle()
    assert child.state.status == "CANCELED" and child.told(ExecutionStarted) == []
    assert child.table("workflow_executions")[0]["status"] == "CANCELED"


def test_a_child_that_takes_longer_than_its_node_may_is_cancelled() -> None:
    made = family(asking(), calling(timeout_s=30))
    parent = made.start("parent", {"n": 1})
    parent.pass_time(30)
    made.settle()
    assert error(parent).type == "timeout"
    assert made.children[0].state.status == "CANCELED"


def test_a_child_that_nobody_waits_for_goes_on_by_itself() -> None:
    made = family(asking(), calling(parameters={"wait": False}))
    parent = made.start("parent", {"n": 1})
    [child] = made.children
    assert result(parent) == [{"execution_id": child.execution_id}]
    child.answer("ask", {"n": 2})
    made.settle()
    assert child.state.status == "SUCCESS" and made.refused == []


@pytest.mark.parametrize(
    ("called", "kind"),
    [("nobody", "workflow_not_found"), ("no trigger", "trigger_not_found")],
)
def test_a_workflow_that_cannot_begin_is_told_to_the_parent(called: str, kind: str) -> None:
    untriggered = {"name": "x", "nodes": [node("a")], "connections": []}
    made = Family({"parent": calling(called), "no trigger": untriggered})
    parent = made.start("parent", {"n": 1})
    assert error(parent).type == "sub_workflow_failed"
    assert error(parent).detail["type"] == kind
    [child] = made.children
    assert len(child.told(ChildRefused)) == 1


def test_a_workflow_that_calls_itself_comes_to_an_end() -> None:
    made = Family({"parent": calling("parent")})
    made.start("parent", {"n": 1})
    made.settle()
    assert len(made.plays) == 17
    assert {each.state.status for each in made.plays.values()} == {"ERROR"}
    deepest = made.children[-1]
    assert error(deepest).type == "sub_workflow_depth"


def test_each_item_of_a_loop_may_call_a_child_of_its_own() -> None:
    nodes = [node("each", "FLOW.FOREACH"), node("sub", SUB, parameters={"workflow": "child"})]
    links = ["t>each", "each.item>sub", "sub>each", "each.done>end"]
    parent = workflow([*nodes, node("end")], links)
    made = family(adding(), parent)
    assert result(made.start("parent", [{"n": 1}, {"n": 5}])) == [{"n": 2}, {"n": 6}]
    assert len(made.children) == 2


def test_a_result_that_does_not_fit_into_a_message_is_a_typed_error() -> None:
    made = family(asking())
    parent = made.start("parent", {"n": 1})
    [child] = made.children
    child.answer("ask", {"text": "x" * 300_000})
    made.settle()
    assert error(parent).type == "child_result_too_large"


def test_an_end_that_nobody_waits_for_is_stale() -> None:
    played = play(workflow([http("a")], ["t>a"]), {"n": 1})
    end = NoteChildEnd(
        execution_id=EXECUTION_ID, wait_id="w", child_execution_id="c", status="SUCCESS"
    )
    assert played.refused(end) == "stale_child_end"


# RESPOND --------------------------------------------------------------------------------


def test_the_first_respond_answers_and_its_items_go_on() -> None:
    first = {"status": 201, "headers": {"x-n": "{{ $json.n }}"}, "body": {"got": "{{ $json.n }}"}}
    nodes = [node("a", RESPOND, parameters=first), node("b", RESPOND), http("ask")]
    played = play(workflow(nodes, ["t>a", "a>b", "b>ask"]), {"n": 7})
    (answer,) = played.told(ExecutionResponded)
    assert (answer.status, answer.headers, answer.body) == (201, {"x-n": "7"}, {"got": 7})
    [row] = played.table("workflow_executions")
    assert row["run_data"]["response"]["body"] == {"got": 7}
    played.answer("ask")
    [row] = played.table("workflow_executions")
    assert row["run_data"] == {
        "result": [{"n": 7}],
        "result_cut": False,
        "response": {"status": 201, "headers": {"x-n": "7"}, "body": {"got": 7}, "node_id": "a"},
    }


def test_without_a_body_the_first_item_is_the_answer() -> None:
    played = play(workflow([node("a", RESPOND)], ["t>a"]), [{"n": 1}, {"n": 2}])
    (answer,) = played.told(ExecutionResponded)
    assert (answer.status, answer.body) == (200, {"n": 1})


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "{{ 'ok' }}"},
        {"status": "{{ 99 }}"},
        {"headers": {"a": "b\r\nc: d"}},
        {"body": "{{ 'x'.repeat(300000) }}"},
    ],
)
def test_an_answer_that_cannot_be_given_is_a_typed_error(parameters: Any) -> None:
    played = play(workflow([node("a", RESPOND, parameters=parameters)], ["t>a"]), {"n": 1})
    assert error(played).type in ("invalid_response", "output_too_large", "too_much_memory")
    assert played.told(ExecutionResponded) == []
