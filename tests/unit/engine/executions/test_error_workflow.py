"""Error workflows: started with the failure, once, and never without an end."""

from typing import Any

import pytest
from perdure_common.decider import Rejected
from perdure_contracts.control import ErrorWorkflowStarted, StartErrorWorkflow
from perdure_contracts.engine import ExecutionFailed, StartExecution
from perdure_contracts.flow import StartChild
from perdure_engine.definition import validate
from perdure_engine.executions.decider import decider_with
from playing import EXECUTION_ID, Play, failed, http, node, workflow

HANDLER = "0190f3c0-0000-7000-8000-00000000e440"
ROW = {
    "id": HANDLER,
    "name": "alarm",
    "newest_version": 3,
    "deployment_status": "ACTIVE",
    "deployment_version": 2,
}
ONE = workflow([http("a", max_retries=0)], ["t>a"], recovery="off", error_workflow="alarm")


def started(definition: dict[str, Any] = ONE, rows: Any = (ROW,), **more: Any) -> Play:
    played = Play(definition, workflows=list(rows))
    return played.start({"n": 1}, **more)


def failing(**more: Any) -> Play:
    played = started(**more)
    played.answer("a", error=failed("upstream", status_code=503))
    assert played.state.status == "ERROR"
    return played


def test_a_failure_starts_the_error_workflow_once_with_what_failed() -> None:
    played = failing()
    (command,) = played.sent
    assert isinstance(command, StartErrorWorkflow)
    played.give(command)
    _, start = played.sent
    assert isinstance(start, StartExecution)
    assert (start.workflow_id, start.version, start.mode) == (HANDLER, 2, "TRIGGER")
    assert (start.parent_execution_id, start.handles) == (EXECUTION_ID, EXECUTION_ID)
    assert start.data["execution"]["error"]["type"] == "upstream"
    assert start.data["execution"]["node_id"] == "a"
    assert start.data["workflow"]["name"] == "played"
    (told,) = played.told(ErrorWorkflowStarted)
    assert told.handler_execution_id == start.execution_id
    assert any("error workflow" in r["message"] for r in played.table("workflow_execution_logs"))


def test_the_same_failure_has_the_same_execution_another_one_another() -> None:
    played = failing()
    played.give(played.sent[0])
    played.give(played.sent[0])
    first, again = [m for m in played.sent if isinstance(m, StartExecution)]
    assert first.execution_id == again.execution_id
    played.give(played.retry("a"))
    played.answer("a", error=failed())
    played.give(played.sent[-1])
    assert played.sent[-1].execution_id != first.execution_id


def test_a_time_out_is_a_failure_a_cancel_is_none() -> None:
    definition = {**ONE, "settings": {**ONE["settings"], "execution_timeout": 5}}
    played = started(definition)
    played.wake()
    (command,) = played.sent
    assert command.status == "TIMEOUT"
    canceled = started()
    canceled.give(canceled.cancel())
    assert canceled.sent == []


def test_a_failure_that_a_foreach_collects_starts_nothing() -> None:
    definition = workflow(
        [
            node("each", "FLOW.FOREACH", parameters={"on_item_error": "collect"}),
            http("body", max_retries=0),
        ],
        ["t>each", "each.item>body", "body>each"],
        recovery="off",
        error_workflow="alarm",
    )
    played = started(definition)
    played.answer("each.0@body", error=failed())
    assert (played.state.status, played.sent) == ("SUCCESS", [])


def test_an_execution_that_handles_a_failure_starts_no_error_workflow() -> None:
    played = failing(handles="another")
    assert played.sent == []
    assert played.told(ExecutionFailed)[0].error_workflow == ""


def test_without_a_serving_version_the_newest_runs() -> None:
    row = {**ROW, "deployment_status": "IDLE"}
    played = failing(rows=[row])
    played.give(played.sent[0])
    assert played.sent[-1].version == 3


@pytest.mark.parametrize("rows", [[], [ROW, {**ROW, "id": EXECUTION_ID}]])
def test_a_name_that_means_no_one_workflow_is_a_dead_letter(rows: list[Any]) -> None:
    played = failing(rows=rows)
    refused = played.ask(played.sent[0])
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.dead_letter) == ("workflow_not_found", True)


def test_an_error_workflow_is_looked_up_by_its_id_or_its_name() -> None:
    facts = decider_with(10.0).facts
    played = failing()
    by_name = facts(played.state, played.sent[0])["error_workflow"]
    assert by_name.where == {"name": "alarm"}
    command = StartErrorWorkflow(
        execution_id=EXECUTION_ID,
        error_workflow=HANDLER,
        failure_id="f",
        status="ERROR",
        error=failed(),
    )
    assert facts(played.state, command)["error_workflow"].where == {"id": HANDLER}


def test_naming_an_error_workflow_is_no_warning_any_more() -> None:
    assert [each.code for each in validate(ONE).warnings] == []


def test_a_start_without_a_node_fires_the_trigger_of_a_start_by_hand() -> None:
    assert started(node_id="").statuses()["t"] == "SUCCESS"


def test_what_a_handler_calls_starts_no_error_workflow_either() -> None:
    definition = workflow(
        [node("call", "FLOW.SUB_WORKFLOW", parameters={"workflow": "other"})], ["t>call"]
    )
    played = Play(definition, others={"other": ONE}).start({}, handles="failed")
    (child,) = [each for each in played.sent if isinstance(each, StartChild)]
    assert child.handles == "failed"
