"""How things are put into words: durations, statuses, why an execution waits, what is stuck."""

import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from perdure_cli import demo
from perdure_cli.blocked import NAMED_MAX, Blocked
from perdure_cli.condition import Status, figures, trouble
from perdure_cli.deploying import problem_line
from perdure_cli.executions import WAITS, reasons
from perdure_cli.follow import PlainStage, changes, scope_text
from perdure_cli.output import (
    Shown,
    ago,
    duration,
    instant,
    print_table,
    say,
    short,
    show,
    show_line,
)
from perdure_cli.pictures import Picture, as_json, scope_of
from perdure_cli.steering import changed
from perdure_contracts.shown import ShownStatus
from perdure_engine.executions.state import ENDED, OPEN
from perdure_engine.executions.why import WaitsFor

AT = 1_767_600_000_000
"""An instant, in milliseconds since 1970."""

DEFINITION = {
    "name": "triage",
    "nodes": [
        {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
        {"node_id": "file", "name": "File it", "node_type": "EXTERNAL_ACTION"},
        {"node_id": "end", "node_type": "ACTION"},
    ],
}


def node(node_id: str, status: str, **more: Any) -> dict[str, Any]:
    row = {
        "node_id": node_id,
        "status": status,
        "scope": "",
        "run": 1,
        "retry_count": 0,
        "start_time": AT,
        "end_time": AT + 1_500,
        "output_data": {"main": [{"a": 1}]} if status == "SUCCESS" else None,
        "error_data": None,
    }
    return row | more


def picture(status: str = "RUNNING", nodes: Iterable[dict[str, Any]] = (), **more: Any) -> Picture:
    execution = {
        "execution_id": "01a2-x",
        "workflow_id": "w",
        "workflow_version": 3,
        "status": status,
        "metadata": {"workflow_name": "triage"},
        "start_time": AT,
        "end_time": AT + 2_000 if status != "RUNNING" else None,
        "error_message": None,
        "error_details": None,
        "run_data": {"result": [{"a": 1}]} if status == "SUCCESS" else None,
    }
    return Picture(execution | more, DEFINITION, list(nodes))


def attempt(status: str, **more: Any) -> dict[str, Any]:
    row = {"id": "a1", "node_id": "file", "status": status, "failure_id": "f1"}
    return row | {"recovery_reason": "it passes", "attempt_number": 1} | more


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 ms"),
        (840, "840 ms"),
        (3_240, "3.2 s"),
        (245_000, "4 min 5 s"),
        (7_380_000, "2 h 3 min"),
        (450_000_000, "5 d 5 h"),
    ],
)
def test_a_duration_is_told_as_people_do(milliseconds: float, words: str) -> None:
    assert duration(milliseconds) == words


def test_an_instant_is_read_from_milliseconds_and_from_text() -> None:
    moment = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
    assert instant(int(moment.timestamp() * 1000)) == moment
    assert instant("2026-01-05T08:00:00+00:00") == moment
    assert instant("2026-01-05T08:00:00") == moment
    assert instant(None) is None
    assert ago("2026-01-05T07:59:00Z", moment) == "1 min 0 s ago"


def test_a_long_text_is_cut_and_a_broken_one_is_one_line() -> None:
    assert short("a\n b") == "a b"
    assert len(short("x" * 100)) == 60
    assert short(None) == ""


def test_a_problem_is_told_with_file_place_and_node() -> None:
    problem = {"path": "nodes[1].name", "node_id": "b", "message": "rename it", "code": "c"}
    assert problem_line("f.yaml", problem) == "f.yaml: nodes[1].name (node 'b'): rename it [c]"
    whole = {"path": "", "node_id": None, "message": "too large", "code": "c"}
    assert problem_line("f.yaml", whole) == "f.yaml: definition: too large [c]"


def test_the_scope_of_a_run_is_a_list_of_regions_and_iterations() -> None:
    assert scope_of({"scope": "each.0/in.ner.12"}) == [("each", 0), ("in.ner", 12)]
    assert scope_of({"scope": ""}) == []
    assert scope_text({"scope": "each.0"}) == " [each.0]"


def test_an_execution_as_json_has_the_shape_that_is_documented() -> None:
    nodes = [node("start", "SUCCESS"), node("file", "SUCCESS", retry_count=2)]
    found = as_json(picture("SUCCESS", nodes))
    assert found["status"] == "SUCCESS"
    assert found["error"] is None
    assert found["result"] == [{"a": 1}]
    assert found["unreached"] == ["end"]
    assert found["nodes"][1] == {
        "node_id": "file",
        "scope": [],
        "run": 1,
        "attempt": 3,
        "status": "SUCCESS",
        "ports": {"main": [{"a": 1}]},
        "error": None,
    }


def test_an_error_is_told_with_its_message_type_and_node() -> None:
    details = {"type": "http_status", "node_id": "file"}
    found = as_json(picture("ERROR", error_message="it said 503", error_details=details))
    assert found["error"] == {"message": "it said 503", "type": "http_status", "node_id": "file"}
    assert found["result"] is None


def test_why_names_the_attempt_the_instant_and_what_recovery_says() -> None:
    waits = [
        {
            "waits_for": "retry",
            "until": "2026-01-05T08:00:00Z",
            "node_id": "file",
            "attempt": 2,
            "failure_id": "f1",
        }
    ]
    seen = picture(nodes=[node("file", "RETRYING")])
    seen.attempts = [attempt("planned")]
    (row,) = reasons(seen, waits, [])
    assert row["waits_for"] == "retry"
    assert "attempt 2 failed; the next one begins at 2026-01-05" in row["text"]
    assert "recovery says: it passes." in row["text"]


def test_why_has_words_for_all_that_the_engine_says_is_waited_for() -> None:
    assert set(WAITS) == set(get_args(WaitsFor))
    asked = {
        "waits_for": "person",
        "until": None,
        "node_id": "sign",
        "attempt": 1,
        "failure_id": "",
        "what": "w1; the service hil has not taken it: it may not run here",
    }
    (row,) = reasons(picture(nodes=[node("sign", "WAITING_INPUT")]), [asked], [])
    assert "it waits for people (w1; the service hil has not taken it" in row["text"]


def test_every_status_of_an_execution_has_its_place_in_what_is_printed_for_programs() -> None:
    assert set(get_args(ShownStatus)) == {*OPEN, *ENDED}


def test_why_names_the_dead_letter_that_a_stream_waits_for() -> None:
    (row,) = reasons(picture(), [], [{"id": "d1", "error": "poison: it broke"}])
    assert "perdure dead-letters redrive d1" in row["text"]


def test_why_says_that_an_execution_is_stalled_only_if_nothing_can_make_it_go_on() -> None:
    deadline = {
        "waits_for": "deadline",
        "until": "2026-01-05T08:00:00Z",
        "node_id": "",
        "attempt": 0,
        "failure_id": "",
    }
    rows = reasons(picture(), [deadline], [])
    assert [row["waits_for"] for row in rows] == ["deadline", "unknown"]
    ended = reasons(picture("ERROR", error_message="no", error_details={"type": "x"}), [], [])
    assert [row["text"] for row in ended] == ["it has ended with ERROR: no"]


def test_an_execution_is_settled_when_recovery_knows_what_came_of_its_attempts() -> None:
    seen = picture("SUCCESS")
    seen.attempts = [attempt("planned")]
    assert seen.ended and not seen.settled
    seen.attempts = [attempt("succeeded")]
    assert seen.settled


def test_changes_are_told_once_each_and_in_order() -> None:
    said: list[str] = []
    stage = PlainStage(said.append)
    stage.update([picture(nodes=[node("file", "RUNNING", end_time=None)])])
    stage.update([picture(nodes=[node("file", "RUNNING", end_time=None)])])
    stage.update([picture("SUCCESS", [node("file", "SUCCESS")])])
    told = [line.split("  ", 1)[1] for line in said]
    assert told == [
        "01a2-x  triage version 3 began",
        "01a2-x    File it: RUNNING",
        "01a2-x    File it: SUCCESS after 1.5 s",
        "01a2-x  triage ended with SUCCESS after 2.0 s",
    ]


def test_the_end_tells_the_error() -> None:
    lines = [text for _, text in changes(picture("ERROR", error_message="it said 503"))]
    assert lines[-1].endswith("ended with ERROR after 2.0 s: it said 503")


def test_the_figures_of_a_service_are_read_off_its_metrics() -> None:
    text = (
        'perdure_unpublished{service="engine"} 3.0\n'
        'perdure_oldest_unsent_seconds{service="engine"} 1.5\n'
        'perdure_consumer_lag{service="engine",topic="a"} 2.0\n'
        'perdure_consumer_lag{service="engine",topic="b"} 5.0\n'
        'perdure_parked_streams{service="engine"} 1.0\n'
    )
    assert figures(text) == {"unsent": 3, "oldest_unsent_s": 1.5, "lag": 7, "parked_streams": 1}


def test_who_has_parked_streams_is_sent_to_the_letters_that_wait_for_them() -> None:
    row = {"name": "engine", "ok": True, "parked_streams": 2}
    (text,) = trouble(Status(services=[row], untold=["dead-letter/3"]))
    assert text.startswith("2 streams of engine wait for a person")
    assert "`perdure dead-letters list`" in text


def test_nobody_is_sent_to_letters_that_recovery_could_not_keep() -> None:
    row = {"name": "recovery", "ok": True, "parked_streams": 1}
    (text,) = trouble(Status(services=[row], untold=["w/a3"]))
    assert "dead-letters list" not in text
    assert "`perdure dead-letters unpark recovery w/a3`" in text
    both = list(trouble(Status(services=[row | {"parked_streams": 3}], untold=["w/a3"])))
    assert [each.partition(" ")[0] for each in both] == ["2", "recovery"]


def test_what_waits_for_partitions_and_deployments_is_told_with_the_next_command() -> None:
    row = {"name": "engine", "ok": True, "missing_topics": 4}
    (text,) = trouble(Status(services=[row]))
    assert "4 partitions that do not exist" in text and "`perdure migrate`" in text
    waits = {
        "workflow_name": "my orders",
        "deployment_version": 3,
        "since": datetime.now(UTC) - timedelta(minutes=2),
        "reason": None,
    }
    (text,) = trouble(Status(blocked=Blocked(deployments=[waits])))
    assert text.startswith("version 3 of my orders waits to serve for 2 min")
    assert "`perdure workflow show 'my orders'`" in text


def test_of_many_things_alike_some_are_named_and_the_others_counted() -> None:
    rows = [
        {"dependency": f"http:h{n}", "credential": "", "state": "open", "until": None, "reason": ""}
        for n in range(NAMED_MAX + 2)
    ]
    *named, last = trouble(Status(blocked=Blocked(breakers=rows)))
    assert len(named) == NAMED_MAX and "no reason is known" in named[0]
    assert last == "2 more breakers are not closed: `perdure recovery breakers` has all"


STEERING = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eback\u2066"


def test_a_text_of_somebody_elses_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"it said {STEERING}, and \u05e9\u05dc\u05d5\u05dd")
    print_table(("what",), [(STEERING,)], "none")
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(shown)
    assert "red" in shown
    assert "\u05e9\u05dc\u05d5\u05dd" in shown


def test_the_consoles_own_colours_still_reach_a_terminal() -> None:
    file = io.StringIO()
    Shown(file=file, force_terminal=True, color_system="standard").print("[red]no[/red]")
    assert file.getvalue().startswith("\x1b[31mno")


def test_the_payloads_of_the_demonstration_are_issues_of_the_repository_it_listens_to() -> None:
    payloads = demo.payloads(demo.example())
    assert len(payloads) >= 5
    labels = [{label["name"] for label in each["issue"]["labels"]} for each in payloads]
    assert any("bug" in names for names in labels)
    assert any("bug" not in names for names in labels)
    assert all(each["repository"]["full_name"] == demo.REPOSITORY for each in payloads)
    assert len({each["issue"]["number"] for each in payloads}) == len(payloads)


def test_json_is_what_was_there_and_steers_no_terminal_either(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {"error": "a\x1b[2Jb\x7fc\x9b31md\u202ee\u2066f, é and 你好\n"}
    for printed in (show, show_line):
        printed(told)
        out = capsys.readouterr().out
        assert json.loads(out) == told
        assert "é and 你好" in out
        assert not set(out) & set("\x1b\x7f\x9b\u202e\u2066")


# What is changed ------------------------------------------------------------------------


def test_what_a_retry_changes_is_told_as_overrides() -> None:
    assert changed((), None, None, None) is None
    assert changed(["url=x"], "m", "spare", '{"n": 1}') == {
        "parameters": {"url": "x"},
        "model": "m",
        "credentials": {"credential": "spare"},
        "input": [{"n": 1}],
    }
