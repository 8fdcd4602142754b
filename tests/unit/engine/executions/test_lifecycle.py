"""The beginning, the end and the second life of an execution, and what is written of it."""

from datetime import timedelta
from typing import Any

import pytest
from perdure_common.decider import Due, Recorded, Rejected
from perdure_contracts.engine import (
    CancelExecution,
    ExecutionCanceled,
    ExecutionRevived,
    NodeResult,
    StartExecution,
)
from perdure_engine.definition import loading
from perdure_engine.executions.state import Execution, wake_at
from playing import (
    BEGAN,
    EXECUTION_ID,
    WORKFLOW_ID,
    WORKSPACE_ID,
    Play,
    decider,
    failed,
    http,
    node,
    play,
    workflow,
)

TWO = workflow(
    [http("a"), http("b"), node("m", "FLOW.MERGE")],
    ["t>a", "t>b", "a>m.input1", "b>m.input2"],
    recovery="off",
)


def start(**more: Any) -> StartExecution:
    fields: dict[str, Any] = {
        "execution_id": EXECUTION_ID,
        "workflow_id": WORKFLOW_ID,
        "version": 1,
        "node_id": "t",
        "mode": "MANUAL",
        "triggered_by": "MANUAL:t",
        "trigger": None,
        "data": {},
    }
    return StartExecution(**{**fields, **more})


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"workflow_id": "none"}, "workflow_not_found"),
        ({"version": 7}, "workflow_not_found"),
        ({"version": 2**40}, "workflow_not_found"),
        ({"node_id": "a"}, "trigger_not_found"),
        ({"node_id": "nobody"}, "trigger_not_found"),
        ({"execution_id": "x" * 300}, "invalid_execution_id"),
    ],
)
def test_a_start_that_cannot_be_is_a_dead_letter(more: dict[str, Any], code: str) -> None:
    refused = Play(TWO).ask(start(**more))
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.dead_letter) == (code, True)


def test_a_second_start_with_the_same_key_is_answered_with_the_first() -> None:
    played = play(TWO, {"n": 1})
    before = list(played.events)
    assert played.give(start(data={"n": 2})) == ()
    assert played.events == before


def test_a_key_that_another_workflow_has_taken_is_refused() -> None:
    played = play(TWO)
    other = "0190f3c0-0000-7000-8000-000000000002"
    assert played.refused(start(workflow_id=other)) == "execution_key_taken"


def test_commands_to_an_execution_that_is_not_there_are_refused() -> None:
    played = Play(TWO)
    result = NodeResult(execution_id=EXECUTION_ID, token="x", outcome="completed")
    assert played.refused(result) == "execution_not_found"
    assert played.refused(played.cancel()) == "execution_not_found"
    assert isinstance(played.ask(Due(EXECUTION_ID)), Rejected)


def test_the_version_is_fetched_again_only_when_it_is_not_kept() -> None:
    played = play(TWO)
    assert decider.facts(played.state, played.cancel()) == {}
    loading._kept.clear()  # pyright: ignore[reportPrivateUsage]
    assert set(decider.facts(played.state, played.cancel())) == {"version"}
    played.answer("a", {"ok": 1})
    played.answer("b", {"ok": 2})
    assert played.state.status == "SUCCESS"


def test_the_initial_state_stays_as_it_is() -> None:
    play(TWO).give(CancelExecution(execution_id=EXECUTION_ID))
    assert decider.initial == Execution()


# Cancel ---------------------------------------------------------------------------------


def test_a_cancel_stops_what_runs_and_begins_nothing() -> None:
    played = play(TWO)
    played.answer("a", {"ok": 1})
    played.give(played.cancel())
    assert played.state.status == "CANCELED"
    assert played.statuses() == {"t": "SUCCESS", "a": "SUCCESS", "b": "CANCELED"}
    assert wake_at(played.state) is None
    (event,) = played.told(ExecutionCanceled)
    assert (event.reason, event.asked_by) == ("no more", "me")
    assert played.refused(played.cancel()) == "execution_ended"


def test_a_claimed_attempt_is_told_to_stop() -> None:
    definition = workflow([http("h", parameters={"method": "POST"})], ["t>h"])
    played = play(definition)
    token = played.task("h").token
    played.give(played.cancel())
    (claim,) = played.table("node_claims")
    assert (claim["token"], claim["canceled"]) == (token, True)


def test_the_end_of_a_cancelled_run_writes_everything_that_its_open_row_may_have() -> None:
    """A rebuild writes ends first: what only the open row had would be missing in it."""
    played = play(workflow([http("h", max_retries=2)], ["t>h"]))
    played.give(played.cancel())
    rows = [u for u in played.upserts if u.table == "node_executions" and u.key["node_id"] == "h"]
    opened, ended = rows[0], rows[-1]
    assert (opened.lazy, ended.lazy, ended.set["max_retries"]) == (True, False, 2)
    assert opened.set.keys() <= ended.set.keys()


def test_an_attempt_that_nobody_claims_writes_no_claim() -> None:
    played = play(TWO)
    played.give(played.cancel())
    assert played.table("node_claims") == []


# Revival --------------------------------------------------------------------------------


def test_a_retried_node_revives_the_execution_and_what_the_stop_had_cancelled() -> None:
    played = play(TWO)
    played.answer("a", error=failed())
    keys = {each.node_id: each.idempotency_key for each in played.tasks.values()}
    played.now += timedelta(minutes=1)
    played.give(played.retry("a", asked_by="me"))
    assert played.state.status == "RUNNING"
    assert (played.run("a").run, played.run("b").run) == (2, 2)
    (row,) = played.table("workflow_executions")
    assert (row["status"], row["end_time"], row["error_message"]) == ("RUNNING", None, None)
    assert {"a": played.task("a").idempotency_key, "b": played.task("b").idempotency_key} == keys
    played.answer("a", {"ok": 1})
    played.answer("b", {"ok": 2})
    assert played.state.status == "SUCCESS"
    assert played.emitted("m") == [{"ok": 1}, {"ok": 2}]
    rows = [(r["node_id"], r["run"], r["status"]) for r in played.table("node_executions")]
    assert set(rows) == {
        ("t", 1, "SUCCESS"), ("a", 1, "ERROR"), ("b", 1, "CANCELED"),
        ("a", 2, "SUCCESS"), ("b", 2, "SUCCESS"), ("m", 1, "SUCCESS"),
    }  # fmt: skip


def test_a_revival_may_change_parameters_of_its_node() -> None:
    played = play(TWO)
    played.answer("a", error=failed())
    overrides = {"parameters": {"url": "https://example.net/"}}
    played.give(played.retry("a", overrides=overrides))
    assert played.task("a").parameters[0]["url"] == "https://example.net/"
    assert played.task("b").parameters[0]["url"] == "https://example.org/"


def test_a_revival_may_name_another_credential_and_later_attempts_keep_it() -> None:
    named = {"url": "https://example.org/", "credential": "old"}
    definition = workflow([http("a", parameters=named, max_retries=1)], ["t>a"], recovery="off")
    played = play(definition)
    assert played.task("a").parameters[0]["credential"] == "old"
    played.answer("a", error=failed(retryable=False))
    assert played.state.status == "ERROR"
    played.give(played.retry("a", overrides={"credentials": {"credential": "spare"}}))
    assert played.task("a").parameters[0]["credential"] == "spare"
    assert played.task("a").parameters[0]["url"] == named["url"]
    played.answer("a", error=failed(retryable=True))
    played.wake()
    assert played.run("a").attempt == 2
    assert played.task("a").parameters[0]["credential"] == "spare"


def test_reviving_at_a_cancelled_node_runs_the_failed_one_too() -> None:
    played = play(TWO)
    played.answer("a", error=failed())
    played.give(played.retry("b"))
    assert (played.run("a").status, played.run("b").status) == ("RUNNING", "RUNNING")


def test_a_revived_execution_may_fail_again_and_be_revived_again() -> None:
    played = play(TWO)
    for run in (1, 2, 3):
        assert played.run("a").run == run
        played.answer("a", error=failed())
        assert played.state.status == "ERROR"
        played.give(played.retry("a"))
    assert len(played.told(ExecutionRevived)) == 3


def test_nodes_that_were_ready_when_the_execution_stopped_run_after_its_revival() -> None:
    definition = workflow(
        [
            node("s", "FLOW.STOP_AND_ERROR", parameters={"message": "no"}),
            node("later"),
            node("lonely"),
        ],
        ["t>s", "t>later"],
    )
    played = play(definition)
    assert "later" not in played.statuses()
    played.give(played.retry("s"))
    assert played.state.status == "ERROR"
    assert played.run("s").run == 2


def test_a_timed_out_execution_gets_a_new_deadline() -> None:
    definition = workflow([http("h", timeout_s=500)], ["t>h"], execution_timeout=60)
    played = play(definition)
    played.wake()
    assert played.state.status == "TIMEOUT"
    played.now += timedelta(hours=1)
    played.give(played.retry("h"))
    assert wake_at(played.state) == played.now + timedelta(seconds=60)


@pytest.mark.parametrize("node_id", ["t", "nobody", "m"])
def test_only_a_node_that_failed_or_was_cancelled_can_be_run_again(node_id: str) -> None:
    played = play(TWO)
    assert played.refused(played.retry("a")) == "execution_open"
    played.answer("a", error=failed())
    assert played.refused(played.retry(node_id)) == "not_retryable"
    assert played.refused(played.retry("a", overrides={"x": 1})) == "invalid_overrides"


# Rows -----------------------------------------------------------------------------------


def test_the_row_of_an_execution_tells_its_beginning_and_its_end() -> None:
    played = play(TWO, {"n": 1})
    (row,) = played.table("workflow_executions")
    assert (row["status"], row["mode"], row["workspace_id"]) == ("RUNNING", "MANUAL", WORKSPACE_ID)
    assert row["start_time"] == int(BEGAN.timestamp() * 1000)
    played.now += timedelta(seconds=2)
    played.answer("a", {"x": 1})
    played.answer("b", {"y": 1})
    (row,) = played.table("workflow_executions")
    assert (row["status"], row["end_time"] - row["start_time"]) == ("SUCCESS", 2_000)
    assert row["run_data"]["result"] == [{"x": 1}, {"y": 1}]
    (latest,) = played.table("workflows")
    assert latest["latest_execution_status"] == "SUCCESS"
    assert latest["latest_execution_time"] == BEGAN


def test_an_open_run_is_shown_and_an_older_state_never_overwrites_a_newer() -> None:
    played = play(TWO, {"n": 1})
    runs = {row["node_id"]: row for row in played.table("node_executions")}
    assert (runs["a"]["status"], runs["a"]["input_data"]) == ("RUNNING", {"main": [{"n": 1}]})
    (scheduled,) = [
        (at, each)
        for at, each in enumerate(played.events, 1)
        if getattr(each, "token", "") == played.task("a").token
    ]
    recorded = Recorded(scheduled[1], "tenant", EXECUTION_ID, scheduled[0], played.now)
    (lazy,) = [
        each for each in decider.project(played.state, recorded) if each.table == "node_executions"
    ]
    assert lazy.lazy and lazy.guard == ("stream_version",)
    played.answer("a", {"x": 1})
    (ended,) = [row for row in played.table("node_executions") if row["node_id"] == "a"]
    assert ended["stream_version"] > int(str(lazy.set["stream_version"]))


def test_business_logs_tell_progress_and_technical_ones_each_failed_attempt() -> None:
    definition = workflow([http("h", max_retries=1), node("end")], ["t>h", "h>end"])
    played = play(definition)
    played.answer("h", error=failed("rate_limit", retryable=True, codes=("slow_down",)))
    played.wake()
    played.answer("h", {"ok": True})
    logs = sorted(played.table("workflow_execution_logs"), key=lambda row: row["position"])
    assert [(row["log_category"], row["event_type"], row["level"]) for row in logs] == [
        ("BUSINESS", "workflow_started", "INFO"),
        ("TECHNICAL", "step_error", "WARNING"),
        ("BUSINESS", "step_completed", "INFO"),
        ("BUSINESS", "workflow_completed", "INFO"),
    ]
    assert [row.get("progress_percentage") for row in logs] == [0.0, None, 66.67, 100.0]
    assert logs[1]["technical_details"]["codes"] == ["slow_down"]
    assert len({row["id"] for row in logs}) == len(logs)


def test_debug_logs_show_every_step_with_its_data() -> None:
    definition = workflow([node("a"), http("h")], ["t>a", "a>h"], log_level="DEBUG")
    played = play(definition, {"n": 1})
    played.answer("h", {"ok": True})
    logs = played.table("workflow_execution_logs")
    outputs = {row["node_id"]: row["data"] for row in logs if row["event_type"] == "step_output"}
    seen = {"main": [{"n": 1}]}
    assert outputs == {"t": seen, "a": seen, "h": {"main": [{"ok": True}]}}
    assert {row["node_id"] for row in logs if row["event_type"] == "step_input"} == {"a", "h"}
    (given,) = [
        row["data"] for row in logs if row["event_type"] == "step_input" and row["node_id"] == "a"
    ]
    assert given == seen


def test_debug_logs_show_what_each_run_was_given_that_is_in_no_runner() -> None:
    definition = workflow(
        [
            node("each", "FLOW.FOREACH"),
            node("wait", "FLOW.WAIT", parameters={"seconds": 5}),
            node("stop", "FLOW.STOP_AND_ERROR", parameters={"message": "no"}),
        ],
        ["t>each", "each.item>wait", "wait>each", "each.done>stop"],
        log_level="DEBUG",
    )
    played = play(definition, {"n": 1})
    played.pass_time(5)
    assert played.statuses()["stop"] == "ERROR"
    logs = sorted(played.table("workflow_execution_logs"), key=lambda row: row["position"])
    steps = ("step_started", "step_input", "step_completed", "step_output", "step_error")
    begun = ["step_started", "step_input"]
    ended = ["step_completed", "step_output"]
    for node_id, told in {
        "t": ["step_started", *ended],  # nothing arrives at a trigger
        "each": [*begun, *ended],
        "wait": [*begun, *ended],
        "stop": [*begun, "step_error"],
    }.items():
        rows = [row for row in logs if row.get("node_id") == node_id]
        assert [row["event_type"] for row in rows if row["event_type"] in steps] == told, node_id
        given = [row["data"] for row in rows if row["event_type"] == "step_input"]
        assert given == [{"main": [{"n": 1}]}] * len(given)
