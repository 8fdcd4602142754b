"""People and memory: asked once, waited for, and gone on with by what their service says."""

from datetime import timedelta
from typing import Any

from perdure_contracts.asking import (
    AskMemory,
    CancelInteraction,
    ExecutionLeft,
    NoteAnswer,
    RequestInteraction,
)
from perdure_contracts.control import PauseExecution, ResumeExecution
from perdure_contracts.engine import CancelExecution, ErrorFacts, ExecutionCompleted, NodeErrored
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import stalled, why
from playing import BEGAN, EXECUTION_ID, Play, http, node, play, workflow

APPROVAL = "HUMAN_IN_THE_LOOP.APPROVAL"
LINKS = ("t>ask", "ask.approved>yes", "ask.rejected>no", "ask.response>said", "ask.timeout>late")


def asking(kind: str = APPROVAL, *links: str, more: tuple[Any, ...] = (), **given: Any) -> Any:
    """Return a workflow that asks people, with a node behind each answer."""
    parameters = {"title": "Refund {{ $json.id }}?", **given}
    ends = [node(each) for each in ("yes", "no", "said", "late")]
    return workflow([node("ask", kind, parameters=parameters), *ends, *more], [*LINKS, *links])


def asked(played: Play) -> Any:
    """Return the one question that was sent."""
    found = [
        each.message for each in played.outgoing
        if isinstance(each.message, RequestInteraction | AskMemory)
    ]  # fmt: skip
    assert len(found) == 1, "asked once, and only once"
    return found[0]


def answer(
    wait_id: str, outcome: Any = "answered", service: Any = "hil", **more: Any
) -> NoteAnswer:
    return NoteAnswer(
        execution_id=EXECUTION_ID, wait_id=wait_id, service=service, outcome=outcome, **more
    )


def row_status(played: Play) -> str:
    (row,) = played.table("workflow_executions")
    return row["status"]


def canceled(played: Play) -> list[CancelInteraction]:
    return [e.message for e in played.outgoing if isinstance(e.message, CancelInteraction)]


# People -----------------------------------------------------------------------------------


def test_people_are_asked_with_all_that_they_need() -> None:
    played = play(
        asking(
            payload="{{ $json }}",
            text="It is broken.",
            assignees=["leads", "{{ $json.owner }}"],
            channels=["slack", "email"],
            rule=2,
            timeout_s=600,
            priority="high",
        ),
        {"id": 7, "owner": "ann"},
    )
    request = asked(played)
    assert (request.kind, request.title, request.text) == ("approval", "Refund 7?", "It is broken.")
    assert request.payload == {"id": 7, "owner": "ann"}
    assert request.assignees == ("leads", "ann")
    assert (request.channels, request.rule) == (("slack", "email"), 2)
    assert (request.timeout_connected, request.priority) == (True, "high")
    assert request.timeout_at == (BEGAN + timedelta(seconds=600)).isoformat()
    (run,) = [each for each in played.table("node_executions") if each["node_id"] == "ask"]
    assert run["status"] == "WAITING_INPUT"


def test_what_arrived_goes_on_where_it_was_approved() -> None:
    played = play(asking(), {"id": 7})
    wait_id = asked(played).interaction_id
    played.give(
        answer(wait_id, port="approved", by="ann", answered_at="now", detail={"comment": "ok"})
    )
    (end,) = played.told(ExecutionCompleted)
    assert end.result == [
        {
            "id": 7,
            "interaction": {
                "interaction_id": wait_id,
                "outcome": "approved",
                "by": "ann",
                "answered_at": "now",
                "comment": "ok",
            },
        }
    ]
    statuses = played.statuses()
    assert (statuses["yes"], statuses["no"], statuses["late"]) == ("SUCCESS", "SKIPPED", "SKIPPED")
    assert canceled(played) == []


def test_what_people_wrote_or_edited_leaves_instead_of_what_arrived() -> None:
    form = {"type": "object", "properties": {"shelf": {"type": "integer"}}}
    played = play(asking("HUMAN_IN_THE_LOOP.INPUT", form=form), {"id": 7})
    request = asked(played)
    assert (request.kind, request.form) == ("input", form)
    played.give(answer(request.interaction_id, port="response", items=[{"shelf": 3}], by="bob"))
    (end,) = played.told(ExecutionCompleted)
    assert end.result[0]["shelf"] == 3
    assert "id" not in end.result[0]


def test_the_time_out_is_the_services_and_leaves_on_its_port() -> None:
    played = play(asking(), {"id": 7})
    assert wake_at(played.state) is None, "hil owns the time-out"
    played.give(answer(asked(played).interaction_id, port="timeout"))
    assert played.statuses()["late"] == "SUCCESS"


def test_an_execution_is_left_to_people_only_when_nothing_else_can_run() -> None:
    played = play(asking(payload=1), {"id": 7})
    assert row_status(played) == "WAITING_FOR_HUMAN"
    busy = asking(APPROVAL, "t>slow", more=(http("slow"),))
    played = play(busy, {"id": 7})
    assert row_status(played) == "RUNNING"
    assert played.told(ExecutionLeft) == []
    played.answer("slow")
    assert row_status(played) == "WAITING_FOR_HUMAN"
    played.give(answer(asked(played).interaction_id, port="approved"))
    assert row_status(played) == "SUCCESS"


def test_after_an_answer_that_gives_work_the_execution_runs_again() -> None:
    played = play(asking(APPROVAL, "yes>work", more=(http("work"),)), {"id": 7})
    assert row_status(played) == "WAITING_FOR_HUMAN"
    played.give(answer(asked(played).interaction_id, port="approved"))
    assert row_status(played) == "RUNNING"
    assert [each.to_people for each in played.told(ExecutionLeft)] == [True, False]
    played.answer("work")
    assert row_status(played) == "SUCCESS"


def test_cancelling_the_execution_takes_the_question_back() -> None:
    played = play(asking(), {"id": 7})
    wait_id = asked(played).interaction_id
    played.give(CancelExecution(execution_id=EXECUTION_ID, reason="enough"))
    assert [each.interaction_id for each in canceled(played)] == [wait_id]
    assert row_status(played) == "CANCELED"
    assert played.refused(answer(wait_id, port="approved")) == "stale_answer"


def test_the_deadline_of_the_execution_takes_the_question_back() -> None:
    definition = asking()
    definition["settings"] = {"execution_timeout": 60}
    played = play(definition, {"id": 7})
    assert asked(played).timeout_at == (BEGAN + timedelta(seconds=60)).isoformat()
    played.pass_time(60)
    assert row_status(played) == "TIMEOUT"
    assert len(canceled(played)) == 1


def test_a_second_answer_is_stale_and_a_wrong_one_is_refused() -> None:
    played = play(asking(), {"id": 7})
    wait_id = asked(played).interaction_id
    assert played.refused(answer(wait_id, port="maybe")) == "invalid_answer"
    assert played.refused(answer(wait_id, port="approved", items={"no": 1})) == "invalid_answer"
    assert played.refused(answer("another", port="approved")) == "stale_answer"
    memory = answer(wait_id, service="memory", port="approved")
    assert played.refused(memory) == "stale_answer"
    played.give(answer(wait_id, port="rejected"))
    assert played.statuses()["no"] == "SUCCESS"
    assert played.refused(answer(wait_id, port="approved")) == "stale_answer"


def test_why_says_whether_a_service_has_taken_the_question() -> None:
    played = play(asking(), {"id": 7})
    (waiting,) = why(played.state, played.workflow)
    wait_id = asked(played).interaction_id
    assert (waiting.waits_for, waiting.node_id) == ("person", "ask")
    assert waiting.what == f"{wait_id}; the service hil has not taken it: it may not run here"
    assert not stalled(played.state, played.workflow)
    played.give(answer(wait_id, "taken", by="hil-1"))
    played.give(answer(wait_id, "taken", by="hil-1"))
    (waiting,) = why(played.state, played.workflow)
    assert waiting.what == wait_id


def test_a_question_that_cannot_be_asked_fails_its_node() -> None:
    played = play(asking(payload="{{ 'x'.repeat(200000) + $json.big }}"), {"big": "y" * 100_000})
    (failed,) = played.told(NodeErrored)
    assert failed.error.type == "interaction_too_large"
    assert played.outgoing == []


def test_a_race_that_others_win_takes_the_question_back() -> None:
    definition = workflow(
        [
            node("ask", APPROVAL, parameters={"title": "?"}),
            node("wait", "FLOW.WAIT", parameters={"seconds": 5}),
            node("race", "FLOW.RACE"),
        ],
        ["t>ask", "t>wait", "ask.approved>race", "wait>race"],
    )
    played = play(definition, {"id": 7})
    played.pass_time(5)
    assert row_status(played) == "SUCCESS"
    assert len(canceled(played)) == 1


# Memory -----------------------------------------------------------------------------------


def remembering(**given: Any) -> Any:
    parameters = {
        "memory_type": "knowledge",
        "operation": "search",
        "query": "{{ $json.q }}",
        **given,
    }
    links = ["t>m", "m>end"]
    return workflow([node("m", "MEMORY.STORE", parameters=parameters), node("end")], links)


def test_what_memory_finds_leaves_an_item_for_each() -> None:
    played = play(remembering(limit=2, user="ann"), {"q": "who"})
    request = asked(played)
    assert (request.operation, request.query, request.user, request.limit) == (
        "search", "who", "ann", 2,
    )  # fmt: skip
    assert row_status(played) == "RUNNING"
    played.give(
        answer(request.request_id, service="memory", port="main", items=[{"a": 1}, {"a": 2}])
    )
    (end,) = played.told(ExecutionCompleted)
    assert end.result == [{"a": 1}, {"a": 2}]


def test_memory_that_does_not_answer_in_time_fails_the_node_and_says_so() -> None:
    played = play(remembering(timeout_s=30), {"q": "who"})
    (waiting,) = why(played.state, played.workflow)
    assert waiting.waits_for == "memory"
    assert "the service memory has not taken it" in waiting.what
    played.pass_time(30)
    (failed,) = played.told(NodeErrored)
    assert failed.error.type == "memory_timeout"
    assert "no service of memory has taken the question" in failed.error.message


def test_memory_that_fails_fails_the_node_with_its_error() -> None:
    played = play(remembering(), {"q": "who"})
    error = ErrorFacts(type="memory_failed", message="the index is being rebuilt")
    played.give(answer(asked(played).request_id, "failed", "memory", error=error))
    (failed,) = played.told(NodeErrored)
    assert (failed.error.type, failed.error.message) == ("memory_failed", error.message)


def test_after_a_pause_an_execution_waits_for_people_again() -> None:
    played = play(asking(), {"id": 7})
    played.give(PauseExecution(execution_id=EXECUTION_ID))
    assert row_status(played) == "PAUSED"
    played.give(ResumeExecution(execution_id=EXECUTION_ID))
    assert row_status(played) == "WAITING_FOR_HUMAN"
    played.give(answer(asked(played).interaction_id, port="approved"))
    assert row_status(played) == "SUCCESS"
