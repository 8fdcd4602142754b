"""Agents that wait for workflows and people: their runner is free, and they go on with answers."""

from typing import Any

import pytest
from perdure_common.decider import Recorded
from perdure_contracts.agent_asks import AgentAsk
from perdure_contracts.asking import (
    AskMemory,
    CancelInteraction,
    NoteAnswer,
    RequestInteraction,
)
from perdure_contracts.control import MarkNode, PauseExecution, ResumeExecution
from perdure_contracts.engine import CancelExecution, ErrorFacts, NodeErrored, NodeResult
from perdure_contracts.flow import NoteChildEnd, StartChild
from perdure_contracts.suspending import AskDropped, RunSuspended
from perdure_engine.definition import validate
from perdure_engine.executions.why import why
from perdure_engine.promises import Judge
from playing import BEGAN, EXECUTION_ID, Play, failed, link, node, play, workflow

CALL = AgentAsk(
    kind="workflow", request="r1", node_id="refund", name="refund",
    given={"workflow": "pay back", "version": None, "data": {"order": "7"}},
)  # fmt: skip
MAY_I = AgentAsk(
    kind="approval", request="r1.approval", node_id="refund", name="refund",
    given={"title": "May I?", "payload": {"tool": "refund"}, "assignees": ["billing"]},
)  # fmt: skip


def agent(items: int = 1, **more: Any) -> Play:
    tool = {
        "name": "refund",
        "description": "Pays back.",
        "workflow": "pay back",
        "approval": {"assignees": ["billing"]},
    }
    made = workflow(
        [
            node("a", "AI_AGENT.AGENT", parameters={"model": "m", "prompt": "p"}, **more),
            node("refund", "TOOL.WORKFLOW", parameters=tool),
        ],
        ["t>a", link("refund>a", "AI_TOOL")],
        recovery="off",
    )
    for each in made["connections"]:
        if each["connection_type"] == "AI_TOOL":
            del each["source_port"], each["target_port"]
    return play(made, [{"n": n} for n in range(items)])


def suspend(
    execution: Play, *asks: AgentAsk, at: int = 0, done: dict[int, Any] | None = None
) -> None:
    task = execution.task("a")
    made = [None if (done or {}).get(i) is None else {"json": (done or {})[i]}
            for i in range(len(task.items))]  # fmt: skip
    execution.give(
        NodeResult(
            execution_id=EXECUTION_ID, token=task.token, outcome="completed",
            ports={"main": made}, suspended=((at, asks),),
        )
    )  # fmt: skip


def ids(execution: Play) -> list[str]:
    return [ask_id for _, ask_id, _ in execution.told(RunSuspended)[-1].asks]


def child_end(
    execution: Play, status: Any = "SUCCESS", result: Any = None, **more: Any
) -> NoteChildEnd:
    return NoteChildEnd(
        execution_id=EXECUTION_ID, wait_id=ids(execution)[0], child_execution_id="child",
        status=status, result=result, **more,
    )  # fmt: skip


def verdict(execution: Play, port: str = "approved") -> NoteAnswer:
    return NoteAnswer(
        execution_id=EXECUTION_ID, wait_id=ids(execution)[0], service="hil", outcome="answered",
        port=port, by="ann",
    )  # fmt: skip


def sent(execution: Play, kind: type) -> list[Any]:
    return [each.message for each in execution.outgoing if isinstance(each.message, kind)]


def unbroken(execution: Play) -> None:
    judge = Judge()
    for version, event in enumerate(execution.events, 1):
        assert list(judge.see(Recorded(event, "t", EXECUTION_ID, version, BEGAN))) == []


def test_the_workflow_is_started_once_and_its_result_goes_to_the_agent() -> None:
    execution = agent()
    first = execution.task("a")
    suspend(execution, CALL)
    (start,) = sent(execution, StartChild)
    assert (start.workflow, start.data, start.wait) == ("pay back", {"order": "7"}, True)
    assert execution.run("a").status == "RUNNING"
    assert [each.waits_for for each in why(execution.state, execution.workflow)] == ["child"]
    execution.give(child_end(execution, result=[{"paid": 3}]))
    task = execution.task("a")
    assert task.attempt == 2 and task.token != first.token
    assert task.answers == {"0": {"r1": {"ok": True, "content": {"paid": 3}}}}
    assert task.idempotency_key == first.idempotency_key
    execution.answer("a", {"output": "done"})
    assert execution.state.status == "SUCCESS"
    assert len(sent(execution, StartChild)) == 1
    unbroken(execution)


def test_a_child_that_fails_is_told_to_the_agent() -> None:
    execution = agent()
    suspend(execution, CALL)
    error = ErrorFacts(type="oops", message="no money")
    execution.give(child_end(execution, "ERROR", error=error))
    answer = execution.task("a").answers["0"]["r1"]
    assert answer == {"ok": False, "content": "execution child ended with ERROR: no money"}


def test_a_person_is_asked_and_only_people_are_waited_for() -> None:
    execution = agent()
    suspend(execution, MAY_I)
    (asked,) = sent(execution, RequestInteraction)
    assert (asked.kind, asked.title, asked.assignees) == ("approval", "May I?", ("billing",))
    assert execution.run("a").status == "WAITING_INPUT"
    (row,) = execution.table("workflow_executions")
    assert row["status"] == "WAITING_FOR_HUMAN"
    (pause,) = execution.table("workflow_execution_pauses")
    assert (pause["pause_reason"], pause["status"]) == ("human_interaction", "active")
    assert pause["interaction_id"] == asked.interaction_id
    execution.give(verdict(execution))
    (pause,) = execution.table("workflow_execution_pauses")
    assert (pause["status"], pause["resume_trigger"]) == ("resumed", "answer")
    assert execution.task("a").answers["0"]["r1.approval"] == {
        "ok": True,
        "content": "approved by ann",
    }
    (row,) = execution.table("workflow_executions")
    assert row["status"] == "RUNNING"
    unbroken(execution)


@pytest.mark.parametrize("port", ["rejected", "timeout"])
def test_what_a_person_does_not_allow_is_no(port: str) -> None:
    execution = agent()
    suspend(execution, MAY_I)
    execution.give(verdict(execution, port))
    assert execution.task("a").answers["0"]["r1.approval"]["ok"] is False


def test_an_answer_that_comes_twice_or_too_late_is_stale() -> None:
    execution = agent()
    suspend(execution, CALL)
    answer = child_end(execution, result=[])
    execution.give(answer)
    assert execution.refused(answer) == "stale_child_end"
    execution = agent()
    suspend(execution, MAY_I)
    answer = verdict(execution)
    execution.give(execution.cancel())
    assert execution.refused(answer) == "stale_answer"


def test_what_is_not_wanted_any_more_is_stopped() -> None:
    execution = agent()
    suspend(execution, CALL, MAY_I)
    execution.give(execution.cancel())
    (stop,) = sent(execution, CancelExecution)
    assert stop.execution_id == sent(execution, StartChild)[0].execution_id
    assert len(sent(execution, CancelInteraction)) == 1
    unbroken(execution)


def test_a_node_that_is_settled_by_hand_waits_no_more() -> None:
    execution = agent()
    suspend(execution, CALL)
    execution.give(MarkNode(execution_id=EXECUTION_ID, node_id="a", outcome="done", data={"x": 1}))
    assert execution.state.status == "SUCCESS"
    assert len(execution.told(AskDropped)) == 1
    unbroken(execution)


def test_a_suspended_attempt_uses_no_retry_up() -> None:
    execution = agent(max_retries=1, retry_wait_time=1)
    suspend(execution, CALL)
    execution.give(child_end(execution, result=[]))
    execution.answer("a", error=failed("busy", retryable=True))
    execution.wake()
    task = execution.task("a")
    assert task.attempt == 3
    assert task.answers == {"0": {"r1": {"ok": True, "content": []}}}
    execution.answer("a", error=failed("busy", retryable=True))
    assert execution.state.status == "ERROR"
    unbroken(execution)


def test_items_that_are_done_are_not_sent_again() -> None:
    execution = agent(items=3)
    suspend(execution, CALL, at=1, done={0: {"o": 0}, 2: {"o": 2}})
    execution.give(child_end(execution, result=[{"paid": 1}]))
    task = execution.task("a")
    assert task.indexes == (1,)
    assert list(task.answers) == ["1"]
    execution.answer("a", {"o": 1})
    assert execution.emitted("a") == [{"o": 0}, {"o": 1}, {"o": 2}]
    assert execution.state.status == "SUCCESS"


def test_answers_that_come_in_a_pause_are_kept_for_its_end() -> None:
    execution = agent()
    suspend(execution, CALL)
    execution.give(PauseExecution(execution_id=EXECUTION_ID))
    execution.give(child_end(execution, result=[{"paid": 1}]))
    assert not execution.state.tokens
    execution.give(ResumeExecution(execution_id=EXECUTION_ID))
    assert execution.task("a").answers["0"]["r1"]["ok"] is True
    unbroken(execution)


def test_the_time_of_the_run_ends_the_waiting_too() -> None:
    execution = agent(run_timeout_s=60)
    suspend(execution, CALL)
    execution.pass_time(61)
    (errored,) = execution.told(NodeErrored)
    assert errored.error.type == "timeout"
    assert len(sent(execution, CancelExecution)) == 1
    unbroken(execution)


def test_a_memory_is_asked_for_a_while_and_then_gone_on_without() -> None:
    made = workflow(
        [
            node("a", "AI_AGENT.AGENT", parameters={"model": "m", "prompt": "p"}),
            node("mem", "MEMORY.STORE", parameters={"memory_type": "graph", "operation": "read"}),
        ],
        ["t>a", {"source_node_id": "mem", "target_node_id": "a", "connection_type": "AI_MEMORY"}],
    )
    execution = play(made, [{}])
    parameters: Any = execution.task("a").parameters[0]
    assert [each["node_id"] for each in parameters["memories"]] == ["mem"]
    assert "mem" not in execution.state.runs
    given = {"operation": "read", "memory_type": "graph", "query": "p", "timeout_s": 60.0}
    ask = AgentAsk(kind="memory", request="m1", node_id="mem", name="read graph", given=given)
    suspend(execution, ask)
    (asked,) = sent(execution, AskMemory)
    assert (asked.memory_type, asked.query, asked.node_id) == ("graph", "p", "mem")
    assert [each.waits_for for each in why(execution.state, execution.workflow)] == ["memory"]
    execution.pass_time(61)
    answer = execution.task("a").answers["0"]["m1"]
    assert answer["ok"] is False
    unbroken(execution)


def test_a_memory_that_forgets_cannot_be_an_agents() -> None:
    given = {"memory_type": "graph", "operation": "forget", "user": "ann"}
    made = workflow(
        [
            node("a", "AI_AGENT.AGENT", parameters={"model": "m", "prompt": "p"}),
            node("mem", "MEMORY.STORE", parameters=given),
        ],
        ["t>a", {"source_node_id": "mem", "target_node_id": "a", "connection_type": "AI_MEMORY"}],
    )
    (problem,) = validate(made).errors
    assert (problem.code, problem.path) == ("not_attachable", "connections[1].source_node_id")
