"""What a node did is undone by the compensation that it declares, once recovery says so."""

from dataclasses import replace
from typing import Any

import pytest
from perdure_contracts.engine import ErrorFacts, NodeErrored, NodeFailed, NodeRecovered
from perdure_contracts.executions import AttemptFailed, NodeScheduled
from perdure_contracts.undoing import NodeCompensated
from perdure_engine.definition import validate
from playing import Play, failed, http, link, node, play, workflow

UNDO = {"compensate": True}
DOUBT = replace(failed("read_timeout", retryable=True), effect_state="unknown")
REFUSED = replace(failed("http_status"), effect_state="refused")
POST: dict[str, Any] = {
    "method": "POST",
    "url": "https://shop.example/orders/{{ $json.n }}",
    "headers": {"X-Shop": "1"},
    "auth": {"kind": "bearer", "token": "t"},
    "compensate": {"method": "DELETE", "url": "https://shop.example/orders/{{ $json.n }}"},
}


def ordering(error_handling: str = "STOP_WORKFLOW_ON_ERROR", **more: Any) -> dict[str, Any]:
    nodes = [
        http("h", parameters=POST, error_handling=error_handling, **more),
        node("end"),
        node("other"),
    ]
    links: list[Any] = ["t>h", "h>end"]
    if error_handling == "CONTINUE_ERROR_OUTPUT_ON_ERROR":
        links.append(link("h>other", "ERROR"))
    return workflow(nodes, links, recovery="on")


def asked(error: ErrorFacts = DOUBT, **more: Any) -> Play:
    played = play(ordering(**more), [{"n": 1}, {"n": 2}])
    played.answer("h", {"made": 1}, errors={1: error})
    return played


def means(played: Play) -> Any:
    told: dict[str, Any] = played.told(NodeFailed)[-1].means or {}
    return told.get("skip_compensate")


def test_recovery_is_told_that_what_may_have_happened_can_be_undone() -> None:
    assert means(asked()) == "request"
    one = play(ordering(), [{"n": 1}])
    one.answer("h", error=REFUSED)
    assert means(one) is None, "nothing has happened"
    assert means(asked(REFUSED)) == "request", "what was done of the others is undone with it"
    goes_on = asked(REFUSED, error_handling="CONTINUE_ERROR_OUTPUT_ON_ERROR")
    assert means(goes_on) == "error_port", "the others' work stands"


def test_a_compensation_is_one_more_attempt_and_then_the_node_has_failed_as_it_had() -> None:
    played = asked()
    played.verdict("h", "retry", overrides=UNDO)
    task = played.task("h")
    assert task.indexes == (0, 1)
    assert [each["method"] for each in task.parameters] == ["DELETE", "DELETE"]
    assert task.parameters[1]["url"] == "https://shop.example/orders/2"
    assert task.parameters[1]["auth"] == POST["auth"]
    assert "headers" not in task.parameters[1]
    played.answer("h", {"status": 200}, {"status": 200})
    (undone,) = played.told(NodeCompensated)
    assert (undone.indexes, undone.attempt) == ((0, 1), 2)
    assert undone.failure_id == played.told(NodeFailed)[-1].failure_id
    (errored,) = played.told(NodeErrored)
    assert errored.error.type == "read_timeout", "the failure is the one that it had"
    assert played.state.status == "ERROR"
    assert played.emitted("h") == []


def test_with_an_error_port_only_what_failed_is_undone_and_goes_that_way() -> None:
    played = asked(error_handling="CONTINUE_ERROR_OUTPUT_ON_ERROR")
    played.verdict("h", "retry", overrides=UNDO)
    assert played.task("h").indexes == (1,)
    played.answer("h", {"status": 200})
    assert played.state.status == "SUCCESS"
    assert played.emitted("end") == [{"made": 1}]
    assert len(played.emitted("other")) == 1
    assert len(played.told(NodeCompensated)) == len(played.told(NodeRecovered)) == 1


def test_a_compensation_that_fails_is_told_and_tried_again_when_recovery_says_so() -> None:
    played = asked()
    played.verdict("h", "retry", overrides=UNDO)
    down = replace(failed("http_status", retryable=True), status_code=503, effect_state="unknown")
    played.answer("h", error=down)
    told = played.told(NodeFailed)[-1]
    assert (told.attempt, told.error.stage, told.error.status_code) == (2, "compensate", 503)
    assert told.error.message.startswith("the compensation failed")
    assert means(played) == "request"
    recorded = played.told(AttemptFailed)[-1]
    assert recorded.failed == (), "the items keep the errors that they have"
    played.verdict("h", "retry", delay_s=3, overrides=UNDO)
    played.wake()
    assert [each["method"] for each in played.task("h").parameters] == ["DELETE", "DELETE"]
    played.answer("h", {"status": 204}, {"status": 204})
    assert len(played.told(NodeCompensated)) == 1
    (errored,) = played.told(NodeErrored)
    assert errored.error.type == "read_timeout"


@pytest.mark.parametrize("overrides", [None, {"avoid": "runner-1"}])
def test_a_compensation_goes_on_though_the_verdict_only_says_retry(overrides: Any) -> None:
    played = asked()
    played.verdict("h", "retry", overrides=UNDO)
    played.answer("h", error=DOUBT)
    played.verdict("h", "retry", overrides=overrides)
    task = played.task("h")
    assert [each["method"] for each in task.parameters] == ["DELETE", "DELETE"]
    assert (task.indexes, task.avoid) == ((0, 1), "runner-1" if overrides else "")
    played.answer("h", {"status": 204}, {"status": 204})
    (undone,) = played.told(NodeCompensated)
    assert undone.attempt == 3
    (errored,) = played.told(NodeErrored)
    assert errored.error.type == "read_timeout"
    assert (played.state.status, played.emitted("h")) == ("ERROR", [])


def test_a_compensation_that_is_lost_or_given_up_completes_nothing() -> None:
    played = asked()
    played.verdict("h", "retry", overrides=UNDO)
    played.wake()  # no answer came
    assert played.told(NodeFailed)[-1].error.stage == "compensate"
    played.verdict("h", "give_up")
    assert played.told(NodeCompensated) == []
    assert played.state.status == "ERROR"
    assert [each.attempt for each in played.told(NodeScheduled)] == [1, 2]


def test_an_answer_to_a_compensation_that_comes_twice_is_stale() -> None:
    played = asked()
    played.verdict("h", "retry", overrides=UNDO)
    result = played.result("h", {"status": 200}, {"status": 200})
    played.give(result)
    assert played.refused(result) == "stale_result"
    assert len(played.told(NodeCompensated)) == 1


def first_key(played: Play) -> str:
    return next(iter(played.tasks.values())).idempotency_key


def test_after_it_was_undone_a_node_that_runs_again_has_another_key() -> None:
    played = asked()
    before = first_key(played)
    played.verdict("h", "retry", overrides=UNDO)
    assert played.task("h").idempotency_key == before, "the runner makes it one of its own"
    played.answer("h", {"status": 200}, {"status": 200})
    played.give(played.retry("h"))
    assert played.task("h").parameters[0]["method"] == "POST"
    assert played.task("h").idempotency_key != before
    other = asked()
    other.verdict("h", "give_up")
    other.give(other.retry("h"))
    assert other.task("h").idempotency_key == before, "nothing was undone"


def test_what_declares_no_compensation_cannot_be_asked_for_one() -> None:
    slack = node(
        "h",
        "EXTERNAL_ACTION.SLACK",
        parameters={"operation": "post", "token": "t", "channel": "C", "text": "x"},
    )
    played = play(workflow([slack], ["t>h"], recovery="on"), {"n": 1})
    played.answer("h", error=DOUBT)
    assert played.told(NodeFailed)[-1].means is None
    for asked_for in (UNDO, {"compensate": "yes"}):
        wrong = played.verdict_about("h", "retry", overrides=asked_for)
        assert played.refused(wrong) == "invalid_overrides"
    plain = play(workflow([http("h")], ["t>h"], recovery="on"), {"n": 1})
    plain.answer("h", error=DOUBT)
    plain.verdict("h", "retry", overrides=UNDO)
    assert (plain.state.status, plain.told(NodeCompensated)) == ("ERROR", [])


@pytest.mark.parametrize(
    ("compensate", "place"),
    [
        ({"url": "https://x.example/"}, "compensate.method"),
        ({"method": "PATCH", "url": "https://x.example/"}, "compensate.method"),
        ({"method": "PUT", "url": "ftp://x.example/"}, "compensate.url"),
        ({"method": "PUT", "url": "https://x.example/", "json": {}, "body": ""}, "compensate.body"),
        ({"method": "GET", "url": "https://x.example/"}, "compensate.method"),
    ],
)
def test_a_compensation_must_be_safe_to_send_twice(compensate: Any, place: str) -> None:
    parameters = {**POST, "compensate": compensate}
    found = validate(workflow([http("h", parameters=parameters)], ["t>h"]))
    assert any(problem.path.endswith(place) for problem in found.problems), found.problems


def test_a_compensation_with_a_key_may_be_any_request() -> None:
    compensate = {
        "method": "POST",
        "url": "https://x.example/",
        "idempotency_header": "Idempotency-Key",
    }
    parameters = {**POST, "compensate": compensate}
    found = validate(workflow([http("h", parameters=parameters)], ["t>h"]))
    assert found.problems == ()
