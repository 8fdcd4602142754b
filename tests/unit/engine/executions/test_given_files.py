"""Files that people give by hand: to a retry, a rerun, a mark, a test run's pins."""

from typing import Any

import pytest
from perdure_contracts.admission import NoteSlot
from perdure_contracts.control import AdoptRuns, MarkNode, RerunExecution
from perdure_contracts.engine import RetryNode, StartExecution
from perdure_contracts.files import FilesReferred
from playing import EXECUTION_ID, WORKFLOW_ID, Play, failed, http, node, workflow

ONE, TWO = "1" * 64, "2" * 64
LINKS = ["t>get", "get>n"]


def ref(file_id: str = ONE) -> Any:
    return {"file_id": file_id, "file_name": "a.txt", "mime_type": "text/plain", "size": 3}


def made() -> Any:
    return workflow([http("get"), node("n")], LINKS, recovery="off")


def broken() -> Play:
    """Return an execution in which the request has failed; its trigger's item had a file."""
    done = Play(made()).start({"n": 1}, files={"0": {"data": ref()}})
    done.answer("get", error=failed("upstream"))
    assert done.state.status == "ERROR"
    return done


def carried(done: Play, node_id: str, port: str = "main") -> list[Any]:
    return [
        {name: each["file_id"] for name, each in item.get("binary_ref", {}).items()}
        for item in done.run(node_id).ports.get(port, [])
    ]


def referred(done: Play) -> list[tuple[str, str]]:
    """Return nodes and files of the rows that keep files from being swept."""
    return [(row["node_id"], row["file_id"]) for row in done.table("execution_files")]


INPUT = {"input": [{"n": 5}, {"n": 6}], "files": {"1": {"data": ref(TWO)}}}


def test_the_changed_input_of_a_retry_has_the_files_that_were_given() -> None:
    done = broken()
    done.give(RetryNode(execution_id=EXECUTION_ID, overrides=INPUT))
    assert done.task("get").files == {"1": {"data": ref(TWO)}}
    assert ("get", TWO) in referred(done)


@pytest.mark.parametrize("node_id", ["t", "get"])
def test_the_changed_input_of_a_rerun_has_the_files_that_were_given(node_id: str) -> None:
    done = broken()
    order = RerunExecution(
        execution_id=EXECUTION_ID, new_execution_id="new", origin="node", node_id=node_id,
        overrides=INPUT,
    )  # fmt: skip
    done.give(order)
    assert TWO not in [file_id for _, file_id in referred(done)], "nothing comes after its end"
    again = Play(made(), execution_id="new")
    for message in done.sent:
        assert isinstance(message, StartExecution | AdoptRuns)
        again.give(message)
    assert again.task("get").items == [{"n": 5}, {"n": 6}]
    assert again.task("get").files == {"1": {"data": ref(TWO)}}
    assert TWO in [file_id for _, file_id in referred(again)]


def test_a_node_that_is_marked_done_emits_the_files_that_were_given() -> None:
    done = broken()
    mark = MarkNode(
        execution_id=EXECUTION_ID, node_id="get", outcome="done", data=[{"a": 1}, {"a": 2}],
        files={"1": {"page": ref(TWO)}},
    )  # fmt: skip
    done.give(mark)
    assert done.state.status == "SUCCESS"
    assert carried(done, "n") == [{}, {"page": TWO}]
    assert ("get", TWO) in referred(done)


def test_files_of_a_mark_are_counted_on_from_port_to_port() -> None:
    branch = node("get", "FLOW.WAIT", parameters={"webhook": True, "timeout_seconds": 60})
    done = Play(workflow([branch], ["t>get"])).start({"n": 1})
    data = {"ports": {"main": [{"a": 1}], "timeout": [{"a": 2}]}}
    mark = MarkNode(
        execution_id=EXECUTION_ID, node_id="get", outcome="done", data=data,
        files={"0": {"x": ref()}, "1": {"y": ref(TWO)}},
    )  # fmt: skip
    done.give(mark)
    assert carried(done, "get") == [{"x": ONE}]
    assert carried(done, "get", "timeout") == [{"y": TWO}]


def test_a_pinned_node_emits_the_files_of_the_test_run() -> None:
    pin: Any = {"ports": {"main": [{"a": 1}, {"a": 2}]}, "files": {"main": {"1": {"data": ref()}}}}
    done = Play(made()).start({"n": 1}, pin_data={"get": pin})
    assert done.state.status == "SUCCESS"
    assert carried(done, "n") == [{}, {"data": ONE}]
    assert referred(done) == [("get", ONE)]
    fails = {**pin, "fail": {"attempts": 1, "retryable": True}}
    tries = {**http("get"), "max_retries": 1}
    again = Play(workflow([tries, node("n")], LINKS, recovery="off"))
    again.start([{"n": 1}, {"n": 2}], pin_data={"get": fails})
    again.pass_time(600)
    assert carried(again, "n") == [{}, {"data": ONE}]


def test_a_pinned_trigger_emits_its_files() -> None:
    pin: Any = {"ports": {"main": [{"n": 7}]}, "files": {"main": {"0": {"data": ref()}}}}
    done = Play(made()).start({}, pin_data={"t": pin})
    assert carried(done, "t") == [{"data": ONE}]


def test_a_test_run_that_waits_for_its_turn_keeps_the_files_of_its_pins() -> None:
    pin: Any = {"ports": {"main": [{"n": 1}]}, "files": {"main": {"0": {"data": ref()}}}}
    waits = workflow([node("n")], ["t>n"], concurrency={"key": "k", "limit": 1})
    done = Play(waits).start({"n": 1}, pin_data={"n": pin})
    assert done.state.status == "NEW"
    assert done.told(FilesReferred)[0].files == (ref(),)
    done.give(NoteSlot(execution_id=EXECUTION_ID, kind="key", outcome="granted"))
    assert carried(done, "n") == [{"data": ONE}]


BAD: list[Any] = [
    [], {"0": []}, {"2": {"data": ref()}}, {"00": {"data": ref()}}, {"": {"data": ref()}},
    {"9" * 5_000: {"data": ref()}}, {"0": {"": ref()}}, {"0": {"data": "x"}},
    {"0": {"data": {**ref(), "size": -1}}}, {"0": {"data": {**ref(), "size": True}}},
    {"0": {"data": {**ref(), "size": 2**63}}},
    {"0": {"data": {**ref(), "file_id": "../etc"}}}, {"0": {"data": {**ref(), "more": 1}}},
    {"0": {"data": {"file_id": ONE}}}, {"0": {"data": {**ref(), "file_name": None}}},
]  # fmt: skip


@pytest.mark.parametrize("files", BAD)
def test_what_is_no_file_of_an_item_is_refused_and_changes_nothing(files: Any) -> None:
    done = broken()
    before = len(done.events)
    overrides = {"input": [{"n": 1}, {"n": 2}], "files": files}
    assert (
        done.refused(RetryNode(execution_id=EXECUTION_ID, overrides=overrides)) == "invalid_files"
    )
    rerun = RerunExecution(
        execution_id=EXECUTION_ID, new_execution_id="new", origin="node", node_id="get",
        overrides=overrides,
    )  # fmt: skip
    assert done.refused(rerun) == "invalid_files"
    assert len(done.events) == before
    pin: Any = {"ports": {"main": [{"n": 1}, {"n": 2}]}, "files": {"main": files}}
    start = StartExecution(
        execution_id="another", workflow_id=WORKFLOW_ID, version=1, node_id="t", mode="MANUAL",
        triggered_by="", trigger={}, data={}, pin_data={"get": pin},
    )  # fmt: skip
    assert Play(made()).refused(start) == "invalid_files"


def test_files_without_items_are_refused() -> None:
    done = broken()
    alone = RetryNode(execution_id=EXECUTION_ID, overrides={"files": {"0": {"data": ref()}}})
    assert done.refused(alone) == "invalid_files"
    for outcome, data in (("skipped", {"a": 1}), ("done", None)):
        mark = MarkNode(
            execution_id=EXECUTION_ID, node_id="get", outcome=outcome, data=data,  # pyright: ignore[reportArgumentType]
            files={"0": {"data": ref()}},
        )  # fmt: skip
        assert done.refused(mark) == "invalid_files"
    pin: Any = {"ports": {"main": [{"n": 1}]}, "files": []}
    start = StartExecution(
        execution_id="another", workflow_id=WORKFLOW_ID, version=1, node_id="t", mode="MANUAL",
        triggered_by="", trigger={}, data={}, pin_data={"get": pin},
    )  # fmt: skip
    assert Play(made()).refused(start) == "invalid_files"
