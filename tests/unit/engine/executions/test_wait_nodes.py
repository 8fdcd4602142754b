"""WAIT, signals and resume URLs: who goes on when, with what, and what is kept meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from perdure_common.ids import event_register
from perdure_contracts.engine import ExecutionCompleted, ExecutionFailed, NodeCanceled
from perdure_contracts.flow import (
    ResumeUrlMade,
    ResumeWait,
    SignalExecution,
    WaitBegun,
    WaitEnded,
)
from perdure_contracts.scheduler import ForgetWait, RegisterWait
from perdure_engine.definition import validate
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import stalled, why
from playing import BEGAN, EXECUTION_ID, Play, http, node, play, workflow

WAIT, RACE = "FLOW.WAIT", "FLOW.RACE"


def waiting(*links: str, more: tuple[Any, ...] = (), **parameters: Any) -> dict[str, Any]:
    """Return a workflow with a WAIT `w`, `end` behind it and `late` behind its time-out."""
    nodes = [node("w", WAIT, parameters=parameters), node("end"), node("late"), *more]
    return workflow(nodes, ["t>w", "w>end", "w.timeout>late", *links])


def signal(name: str = "paid", id: str = "s1", **more: Any) -> SignalExecution:
    return SignalExecution(execution_id=EXECUTION_ID, name=name, signal_id=id, **more)


def result(played: Play) -> Any:
    (end,) = played.told(ExecutionCompleted)
    return end.result


def status_of(played: Play, node_id: str) -> str:
    (row,) = [row for row in played.table("node_executions") if row["node_id"] == node_id]
    return row["status"]


# Time -----------------------------------------------------------------------------------


def test_a_wait_of_no_seconds_goes_on_at_once() -> None:
    played = play(waiting(seconds=0), {"n": 1})
    assert result(played) == [{"n": 1}]


def test_a_wait_goes_on_when_its_seconds_are_over() -> None:
    played = play(waiting(seconds="{{ $json.s }}"), {"s": 90})
    assert wake_at(played.state) == BEGAN + timedelta(seconds=90)
    assert status_of(played, "w") == "RUNNING"
    played.pass_time(89)
    assert played.state.status == "RUNNING"
    played.pass_time(1)
    assert result(played) == [{"s": 90}]
    assert played.statuses()["late"] == "SKIPPED"
    assert status_of(played, "w") == "SUCCESS"


def test_a_wait_goes_on_at_an_instant_and_at_once_if_that_has_passed() -> None:
    played = play(waiting(until="2026-01-01T01:00:00+01:00"), {"n": 1})
    assert result(played) == [{"n": 1}] and played.told(WaitBegun) == []
    played = play(waiting(until="2026-01-01T00:00:05Z"), {"n": 1})
    assert played.state.status == "RUNNING"
    played.pass_time(5)
    assert result(played) == [{"n": 1}]


def test_a_time_out_that_comes_first_lets_the_items_leave_there() -> None:
    played = play(waiting(seconds=60, timeout_seconds=5), {"n": 1})
    played.pass_time(5)
    assert result(played) == [{"n": 1}]
    assert played.statuses()["end"] == "SKIPPED" and played.statuses()["late"] == "SUCCESS"
    assert [each.by for each in played.told(WaitEnded)] == ["timeout"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"seconds": "{{ 'soon' }}"},
        {"seconds": "{{ -1 }}"},
        {"until": "{{ 'tomorrow' }}"},
        {"until": "2026-05-05T10:00:00"},
        {"event": {"name": "{{ null }}"}},
    ],
)
def test_a_wait_that_cannot_be_told_fails_with_a_typed_error(parameters: Any) -> None:
    played = play(waiting(**parameters), {"n": 1})
    end = played.events[-1]
    assert isinstance(end, ExecutionFailed) and end.error.type == "invalid_wait"


@pytest.mark.parametrize("parameters", [{}, {"seconds": 1, "webhook": True}])
def test_a_wait_for_nothing_or_for_two_things_is_refused(parameters: Any) -> None:
    (problem,) = validate(waiting(**parameters)).errors
    assert problem.code == "invalid_parameter"
    assert problem.path.startswith("nodes[1].parameters.")


# Signals --------------------------------------------------------------------------------


def test_a_signal_lets_the_wait_for_its_name_go_on_with_what_it_says() -> None:
    played = play(waiting(event={"name": "paid"}, timeout_seconds=60), {"n": 1})
    assert status_of(played, "w") == "WAITING_INPUT"
    played.give(signal(name="other", id="s0"))
    assert played.state.status == "RUNNING"
    played.give(signal(payload={"amount": 5}, sent_by="me"))
    assert result(played) == [{"amount": 5}]
    assert wake_at(played.state) is None


def test_a_key_must_be_that_of_the_wait() -> None:
    played = play(waiting(event={"name": "paid", "key": "{{ $json.order }}"}), {"order": 7})
    played.give(signal(key="8", id="s0"))
    assert played.state.status == "RUNNING"
    played.give(signal(key="7", payload=[{"a": 1}, {"a": 2}]))
    assert result(played) == [{"a": 1}, {"a": 2}]


def test_a_signal_that_comes_first_is_kept_for_the_wait_that_comes() -> None:
    nodes = [http("first"), node("w", WAIT, parameters={"event": {"name": "paid"}}), node("end")]
    played = play(workflow(nodes, ["t>first", "first>w", "w>end"]), {"n": 1})
    played.give(signal(payload={"early": True}))
    played.give(signal(payload={"early": "too"}, id="s2"))
    played.answer("first")
    assert result(played) == [{"early": True}]
    assert played.outgoing == [], "the scheduler need not be asked"


def test_a_signal_that_comes_again_is_taken_once() -> None:
    played = play(waiting(event={"name": "paid"}), {"n": 1})
    played.give(signal(name="other"))
    assert played.refused(signal()) == "duplicate_signal"
    assert played.state.status == "RUNNING"


def test_signals_that_cannot_be_taken_are_refused_with_a_reason() -> None:
    played = play(waiting(event={"name": "paid"}), {"n": 1})
    assert played.refused(signal(name="")) == "invalid_signal"
    assert played.refused(signal(id="")) == "invalid_signal"
    assert played.refused(signal(payload="x" * 300_000)) == "payload_too_large"
    assert played.refused(signal(wait_id="gone")) == "stale_signal"
    for n in range(100):
        played.give(signal(name="other", id=f"o{n}"))
    assert played.refused(signal(name="other")) == "too_many_signals"
    played.give(played.cancel())
    assert played.refused(signal()) == "execution_ended"


def test_each_iteration_waits_for_itself() -> None:
    parameters = {"event": {"name": "paid", "key": "{{ $json.k }}"}}
    nodes = [node("each", "FLOW.FOREACH"), node("w", WAIT, parameters=parameters), node("end")]
    links = ["t>each", "each.item>w", "w>each", "each.done>end"]
    played = play(workflow(nodes, links), [{"k": "a"}, {"k": "b"}])
    played.give(signal(key="b", payload={"got": "b"}, id="s1"))
    played.give(signal(key="a", payload={"got": "a"}, id="s2"))
    assert result(played) == [{"got": "a"}, {"got": "b"}]


def test_the_register_of_the_name_is_told_when_a_wait_begins_and_ends() -> None:
    played = play(waiting(event={"name": "paid", "key": "7"}, timeout_seconds=60), {"n": 1})
    register = event_register("tenant", "paid", "7")
    (begun,) = played.told(WaitBegun)
    [sent] = played.outgoing
    assert (sent.topic, sent.stream) == ("perdure.scheduler.commands.v1", register)
    assert sent.message == RegisterWait(
        register_id=register,
        name="paid",
        key="7",
        wait_id=begun.wait_id,
        execution_id=EXECUTION_ID,
        until=begun.until,
    )
    played.give(signal(payload={"x": 1}, wait_id=begun.wait_id))
    assert played.outgoing[-1].message == ForgetWait(register_id=register, wait_id=begun.wait_id)
    assert result(played) == [{"x": 1}]


def test_a_wait_is_forgotten_when_its_execution_is_cancelled() -> None:
    played = play(waiting(event={"name": "paid"}), {"n": 1})
    played.give(played.cancel())
    assert isinstance(played.outgoing[-1].message, ForgetWait)
    assert [each.by for each in played.told(WaitEnded)] == ["canceled"]
    assert status_of(played, "w") == "CANCELED"


def test_a_wait_that_loses_a_race_is_stopped() -> None:
    definition = workflow(
        [node("w", WAIT, parameters={"seconds": 50}), http("a"), node("r", RACE)],
        ["t>w", "t>a", "w>r", "a>r"],
    )
    played = play(definition, {"n": 1})
    played.answer("a", {"n": 2})
    assert result(played) == [{"n": 2}]
    assert [each.raced for each in played.told(NodeCanceled)] == [True]


def test_why_names_what_a_wait_waits_for() -> None:
    played = play(waiting(event={"name": "paid", "key": "7"}, timeout_seconds=60), {"n": 1})
    [reason] = why(played.state, played.workflow)
    assert (reason.waits_for, reason.what, reason.node_id) == ("event", "paid 7", "w")
    assert reason.until == BEGAN + timedelta(seconds=60)
    played = play(waiting(webhook=True), {"n": 1})
    [reason] = why(played.state, played.workflow)
    assert reason.waits_for == "webhook" and reason.what.startswith("http://engine/v1/resume/")
    assert not stalled(played.state, played.workflow)


def test_a_wait_that_an_execution_s_deadline_overtakes_ends_with_it() -> None:
    definition = {**waiting(seconds=100), "settings": {"execution_timeout": 10}}
    played = play(definition, {"n": 1})
    played.pass_time(10)
    assert played.state.status == "TIMEOUT"
    assert played.statuses()["w"] == "CANCELED"


def test_a_wait_that_was_cancelled_waits_anew_when_the_execution_is_revived() -> None:
    definition = waiting(seconds=100)
    played = play(definition, {"n": 1})
    played.give(played.cancel())
    played.give(played.retry("w"))
    assert [each.run for each in played.told(WaitBegun)] == [1, 2]
    played.pass_time(100)
    assert result(played) == [{"n": 1}]


def test_a_disabled_wait_passes_its_items_on() -> None:
    definition = waiting(seconds=100)
    definition["nodes"][1]["disabled"] = True
    assert result(play(definition, {"n": 1})) == [{"n": 1}]


# Resume URLs ----------------------------------------------------------------------------


def resume(played: Play, id: str = "c1", **more: Any) -> ResumeWait:
    (made,) = played.told(ResumeUrlMade)
    more = {"token": made.token, **more}
    return ResumeWait(execution_id=EXECUTION_ID, signal_id=id, **more)


def test_a_call_of_the_resume_url_lets_the_wait_go_on() -> None:
    played = play(waiting(webhook=True), {"n": 1})
    assert status_of(played, "w") == "WAITING_INPUT"
    played.give(resume(played, payload={"ok": True}))
    assert result(played) == [{"ok": True}]


def test_the_resume_url_is_there_from_the_start_and_its_calls_are_kept() -> None:
    ask = http("ask", parameters={"headers": {"x": "{{ $execution.resume_url }}"}})
    nodes = [ask, node("w", WAIT, parameters={"webhook": True})]
    played = play(workflow(nodes, ["t>ask", "ask>w"]), {"n": 1})
    (made,) = played.told(ResumeUrlMade)
    assert played.task("ask").parameters[0]["headers"]["x"] == made.url
    assert made.url == f"http://engine/v1/resume/{EXECUTION_ID}/{made.token}"
    played.give(resume(played, payload={"ok": 1}))
    played.answer("ask")
    assert result(played) == [{"ok": 1}]


def test_a_wrong_token_is_refused_and_so_is_one_where_there_is_none() -> None:
    played = play(waiting(webhook=True), {"n": 1})
    assert played.refused(resume(played, token="0" * 64)) == "wrong_token"
    assert played.refused(resume(played, token="")) == "wrong_token"
    played = play(waiting(seconds=9), {"n": 1})
    call = ResumeWait(execution_id=EXECUTION_ID, signal_id="c1", token="")
    assert played.refused(call) == "wrong_token"
    assert played.told(ResumeUrlMade) == []


def test_of_several_waits_the_call_may_name_one() -> None:
    nodes = [node(name, WAIT, parameters={"webhook": True}) for name in ("v", "w")]
    played = play(workflow(nodes, ["t>v", "t>w"]), {"n": 1})
    played.give(resume(played, node_id="w", payload={"for": "w"}))
    assert played.statuses()["w"] == "SUCCESS" and played.statuses()["v"] == "WAITING_INPUT"
    played.give(resume(played, id="c2", payload={"for": "any"}))
    assert result(played) == [{"for": "any"}, {"for": "w"}]
