"""Items carry files by reference: which nodes pass them on, and what refers to them."""

from dataclasses import replace
from typing import Any

import pytest
from perdure_contracts.admission import NoteSlot
from perdure_contracts.control import AdoptRuns, RerunExecution
from perdure_contracts.engine import ExecutionFailed, ExecutionStarted, NodeTask, StartExecution
from perdure_contracts.files import FilesReferred
from perdure_contracts.flow import ExecutionResponded, NoteChildEnd, ResumeWait, StartChild
from playing import EXECUTION_ID, WORKFLOW_ID, Play, failed, http, link, node, workflow

ONE, TWO = "1" * 64, "2" * 64


def ref(file_id: str = ONE, name: str = "a.txt") -> Any:
    return {"file_id": file_id, "file_name": name, "mime_type": "text/plain", "size": 3}


def files(**named: str) -> dict[str, Any]:
    return {name: ref(file_id) for name, file_id in named.items()}


ITEMS = [{"n": 1}, {"n": 2}]
FILES = {"0": files(data=ONE), "1": files(data=TWO)}


def play(*nodes: Any, links: list[Any], data: Any = None, carried: Any = None, **more: Any) -> Play:
    made = Play(workflow(list(nodes), links), **more)
    return made.start(ITEMS if data is None else data, files=FILES if carried is None else carried)


def carried(done: Play, node_id: str, port: str = "main") -> list[Any]:
    """Return the file ids of each item that a node emitted, by name."""
    return [
        {name: each["file_id"] for name, each in item.get("binary_ref", {}).items()}
        for item in done.run(node_id).ports.get(port, [])
    ]


BOTH = [{"data": ONE}, {"data": TWO}]


KEPT: list[tuple[str, Any, str, Any]] = [
        ("FLOW.IF", {"condition": "{{ $json.n > 1 }}"}, "true", [{"data": TWO}]),
        ("FLOW.IF", {"condition": "{{ $json.n > 1 }}"}, "false", [{"data": ONE}]),
        ("FLOW.SWITCH", {"rules": [{"name": "x", "condition": "{{ $json.n === 2 }}"}]}, "fallback",
         [{"data": ONE}]),
        ("FLOW.FILTER", {"condition": "{{ $json.n > 1 }}"}, "main", [{"data": TWO}]),
        ("FLOW.FILTER", {"condition": "{{ $json.n > 1 }}"}, "discarded", [{"data": ONE}]),
        ("FLOW.SORT", {"by": [{"field": "n", "order": "desc"}]}, "main", BOTH[::-1]),
        ("FLOW.LIMIT", {"count": 1, "from": "last"}, "main", [{"data": TWO}]),
        ("FLOW.DEDUPE", {"keys": ["n"]}, "main", BOTH),
        ("FLOW.NOOP", {}, "main", BOTH),
        ("FLOW.RACE", {}, "main", BOTH),
        ("FLOW.RESPOND", {}, "main", BOTH),
        ("FLOW.AGGREGATE", {"field": "n"}, "main", [{"data": ONE, "data_1": TWO}]),
        ("FLOW.SUMMARIZE", {"measures": [{"function": "count", "as": "n"}]}, "main", [{}]),
        ("ACTION.SET", {"values": {"a": 1}, "keep": "none"}, "main", BOTH),
        ("ACTION.RENAME", {"fields": {"n": "m"}}, "main", BOTH),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "parameters", "port", "expected"), KEPT)
def test_a_node_passes_on_the_files_of_the_items_that_it_emits(
    kind: str, parameters: Any, port: str, expected: Any
) -> None:
    done = play(node("n", kind, parameters=parameters), links=["t>n"])
    assert done.state.status == "SUCCESS"
    assert carried(done, "n", port) == expected


def test_each_entry_of_a_list_has_the_files_of_the_item_that_had_the_list() -> None:
    split = node("n", "FLOW.SPLIT_OUT", parameters={"field": "list"})
    done = play(split, links=["t>n"], data=[{"list": [1, 2]}, {"list": [3]}])
    assert carried(done, "n") == [{"data": ONE}, {"data": ONE}, {"data": TWO}]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"mode": "append"}, [{"data": ONE}, {"data": TWO}, {"data": ONE}]),
        ({"mode": "choose"}, [{"data": ONE}, {"data": TWO}]),
        ({"mode": "position"}, [{"data": ONE}, {"data": TWO}]),
        ({"mode": "cross"}, [{"data": ONE}, {"data": ONE}]),
        ({"mode": "fields", "keys": [{"left": "n", "right": "n"}]}, [{"data": ONE}]),
    ],
)
def test_merged_items_have_the_files_of_all_that_they_come_from(
    parameters: Any, expected: Any
) -> None:
    first = node("first", "FLOW.LIMIT", parameters={"count": 1})
    done = play(
        first, node("n", "FLOW.MERGE", parameters=parameters),
        links=["t>n.input1", "t>first", "first>n.input2"],
    )  # fmt: skip
    assert carried(done, "n") == expected


def test_the_later_input_wins_a_name_that_both_have() -> None:
    done = play(
        http("get"), node("n", "FLOW.MERGE", parameters={"mode": "position"}),
        links=["t>n.input1", "t>get", "get>n.input2"],
        data={"n": 1}, carried={"0": {**files(data=ONE), **files(other=ONE)}},
    )  # fmt: skip
    answered(done, "get", files(data=TWO))
    assert carried(done, "n") == [{"data": TWO, "other": ONE}]


def test_what_two_inputs_have_in_common_has_the_files_of_both() -> None:
    last = node("last", "FLOW.LIMIT", parameters={"count": 1, "from": "last"})
    done = play(
        last, node("n", "FLOW.COMPARE", parameters={"keys": ["n"]}),
        links=["t>n.input1", "t>last", "last>n.input2"],
    )  # fmt: skip
    assert carried(done, "n", "only_a") == [{"data": ONE}]
    assert carried(done, "n", "both") == [{"data": TWO, "data_1": TWO}]


def answered(done: Play, node_id: str, *named: dict[str, Any]) -> None:
    """Let a runner answer, each item with files."""
    result = done.result(node_id)
    items = [
        {"json": item["json"], "binary_ref": each}
        for item, each in zip(result.ports["main"], named, strict=True)
    ]
    done.give(replace(result, ports={"main": items}))


def test_a_runner_gets_the_files_of_the_items_and_those_that_it_made_leave() -> None:
    done = play(http("get"), node("n"), links=["t>get", "get>n"])
    task = done.task("get")
    assert task.files == FILES
    three = "3" * 64
    answered(done, "get", files(page=three), {})
    assert carried(done, "n") == [{"page": three}, {}]
    told = [each.files for each in done.told(FilesReferred)]
    assert told == [(ref(ONE), ref(TWO)), (ref(three),)]
    assert {row["node_id"] for row in done.table("execution_files")} == {"t", "get"}


def test_files_that_a_node_gives_back_are_not_told_again() -> None:
    done = play(http("get"), links=["t>get"])
    answered(done, "get", files(data=ONE), files(data=TWO))
    assert [each.node_id for each in done.told(FilesReferred)] == ["t"]


def test_a_node_that_answers_with_something_of_its_own_carries_no_files_on() -> None:
    done = play(http("get"), links=["t>get"])
    done.answer("get", {"status": 200}, {"status": 200})
    assert carried(done, "get") == [{}, {}]


def test_an_attempt_that_did_some_items_keeps_their_files_and_the_next_has_those_of_the_rest() -> (
    None
):
    done = play(http("get", max_retries=1), node("n"), links=["t>get", "get>n"])
    result = done.result("get", errors={1: failed("timeout", retryable=True)})
    item = {"json": {"n": 1}, "binary_ref": files(page=ONE)}
    done.give(replace(result, ports={"main": [item, None]}))
    done.wake()
    assert done.task("get").files == {"0": files(data=TWO)}
    answered(done, "get", files(page=TWO))
    assert carried(done, "n") == [{"page": ONE}, {"page": TWO}]


def test_items_that_failed_have_their_files() -> None:
    bad = {"condition": "{{ $json.n > 1 ? true : 1 }}"}
    regular = node(
        "n", "FLOW.IF", parameters=bad, error_handling="CONTINUE_REGULAR_OUTPUT_ON_ERROR"
    )
    done = play(regular, links=["t>n"])
    assert carried(done, "n", "false") == [{"data": ONE}]
    assert carried(done, "n", "true") == [{"data": TWO}]
    port = node("n", "FLOW.IF", parameters=bad, error_handling="CONTINUE_ERROR_OUTPUT_ON_ERROR")
    done = play(port, node("m"), links=["t>n", link("n>m", "ERROR")])
    assert carried(done, "m") == [{"data": ONE}]


def test_a_disabled_node_passes_files_on_whatever_it_is() -> None:
    done = play(http("get", disabled=True), links=["t>get"])
    assert carried(done, "get") == BOTH


def test_conditional_connections_carry_files_and_see_them() -> None:
    asks = {"condition": f"{{{{ $binary.data.file_id === '{TWO}' }}}}"}
    done = play(
        node("n"), node("m"), links=["t>n", link("n>m", "CONDITIONAL", conditions=asks)]
    )  # fmt: skip
    assert carried(done, "m") == [{"data": TWO}]


@pytest.mark.parametrize("body", ["FLOW.NOOP", "ACTION.SET"])
def test_loops_give_each_round_its_files_and_done_has_those_that_came_back(body: str) -> None:
    parameters = {"values": {"a": 1}, "keep": "all"} if body == "ACTION.SET" else {}
    step = node("b", body, parameters=parameters)
    for kind, port in (("FLOW.LOOP", "loop"), ("FLOW.FOREACH", "item")):
        done = play(
            node("l", kind), step, node("n"), links=["t>l", f"l.{port}>b", "b>l", "l.done>n"]
        )
        assert carried(done, "n") == BOTH, kind


def test_an_item_that_lost_its_files_in_a_loop_has_none_at_its_end() -> None:
    summed = node(
        "b", "FLOW.SUMMARIZE", parameters={"measures": [{"function": "count", "as": "n"}]}
    )
    done = play(node("l", "FLOW.LOOP"), summed, links=["t>l", "l.loop>b", "b>l"])
    assert carried(done, "l", "done") == [{}, {}]


def test_an_iteration_that_failed_leaves_its_item_with_its_files() -> None:
    each = node("l", "FLOW.FOREACH", parameters={"on_item_error": "collect"})
    stop = node("b", "FLOW.STOP_AND_ERROR", parameters={"message": "no"})
    done = play(each, stop, links=["t>l", "l.item>b"])
    assert carried(done, "l", "done") == BOTH


def test_an_execution_answers_with_a_file_of_its_first_item() -> None:
    done = play(node("r", "FLOW.RESPOND", parameters={"file": "data"}), links=["t>r"])
    assert done.state.flow is not None and done.state.flow.response is not None
    assert done.state.flow.response["file"] == ref(ONE)
    assert done.told(ExecutionResponded)[0].body is None
    for name in ("other", "{{ $json.n }}"):
        none = node("r", "FLOW.RESPOND", parameters={"file": name})
        made = workflow([none], ["t>r"], recovery="off")
        done = Play(made).start(ITEMS, files=FILES)
        assert done.state.status == "ERROR"
        assert done.told(ExecutionFailed)[0].error.type == "file_not_found"
        assert done.told(ExecutionResponded) == []


def test_what_waits_keeps_its_files() -> None:
    done = play(node("w", "FLOW.WAIT", parameters={"seconds": 5}), links=["t>w"])
    done.pass_time(10)
    assert carried(done, "w") == BOTH
    hook = node("w", "FLOW.WAIT", parameters={"webhook": True})
    carry = {"0": files(data=ONE)}
    done = play(hook, links=["t>w"], data={"n": 1}, carried=carry)
    assert done.state.flow is not None
    token = done.state.flow.resume_token
    call = ResumeWait(execution_id=EXECUTION_ID, token=token, signal_id="s", payload={"ok": 1})
    done.give(call)
    assert carried(done, "w") == [{"data": ONE}]


def test_expressions_see_what_is_known_of_files_and_no_bytes() -> None:
    values = {"name": "{{ $binary.data.file_name }}", "all": "{{ $binary }}"}
    done = play(node("n", "ACTION.SET", parameters={"values": values}), links=["t>n"])
    assert done.emitted("n")[0] == {"n": 1, "name": "a.txt", "all": {"data": ref(ONE)}}
    done = play(node("n", "ACTION.SET", parameters={"values": values}), links=["t>n"], carried={})
    assert done.emitted("n")[0] == {"n": 1, "name": None, "all": None}


# Other executions -------------------------------------------------------------------------


def test_a_child_gets_the_files_of_the_items_and_its_own_come_back() -> None:
    calls = node("c", "FLOW.SUB_WORKFLOW", parameters={"workflow": "child"})
    sort = node("s", "FLOW.SORT", parameters={"by": [{"field": "n", "order": "desc"}]})
    called = workflow([sort], ["t>s"])
    done = play(calls, node("n"), links=["t>c", "c>n"], others={"child": called})
    (start,) = [each for each in done.sent if isinstance(each, StartChild)]
    assert start.files == FILES
    child = Play(called, execution_id=start.execution_id, others={"child": called})
    child.give(start)
    assert child.told(FilesReferred)[0].files == (ref(ONE), ref(TWO)), "before it begins"
    child.wake()
    assert carried(child, "s") == BOTH[::-1]
    (end,) = [each for each in child.sent if isinstance(each, NoteChildEnd)]
    assert end.files == {"0": files(data=TWO), "1": files(data=ONE)}
    done.give(end)
    assert carried(done, "n") == BOTH[::-1]
    assert done.told(FilesReferred)[-1].node_id == "c"


def test_a_rerun_takes_the_files_of_the_trigger_and_of_what_it_adopts() -> None:
    made = workflow([http("get"), http("next")], ["t>get", "get>next"], recovery="off")
    done = Play(made).start({"n": 1}, files={"0": files(data=ONE)})
    answered(done, "get", files(page=TWO))
    done.answer("next", error=failed("upstream"))
    assert done.state.status == "ERROR"
    done.give(RerunExecution(execution_id=EXECUTION_ID, new_execution_id="new", origin="failed"))
    again = Play(made, execution_id="new")
    for message in done.sent:
        assert isinstance(message, StartExecution | AdoptRuns)
        again.give(message)
    assert carried(again, "t") == [{"data": ONE}]
    assert again.task("next").files == {"0": files(page=TWO)}
    referred = [each["file_id"] for told in again.told(FilesReferred) for each in told.files]
    assert set(referred) == {ONE, TWO}


def test_an_execution_that_waits_for_its_turn_refers_to_its_files_at_once() -> None:
    made = workflow([node("n")], ["t>n"], concurrency={"key": "k", "limit": 1})
    done = Play(made).start(ITEMS, files=FILES)
    assert done.state.status == "NEW"
    assert not done.told(ExecutionStarted)
    assert done.told(FilesReferred)[0].files == (ref(ONE), ref(TWO))
    done.give(NoteSlot(execution_id=EXECUTION_ID, kind="key", outcome="granted"))
    assert (done.state.status, carried(done, "n")) == ("SUCCESS", BOTH)


@pytest.mark.parametrize("place", ["2", "-1", "x", "²", "9" * 5_000])
def test_files_for_items_that_the_data_does_not_have_start_nothing(place: str) -> None:
    done = Play(workflow([node("n")], ["t>n"]))
    start = StartExecution(
        execution_id=EXECUTION_ID, workflow_id=WORKFLOW_ID, version=1, node_id="t", mode="MANUAL",
        triggered_by="MANUAL:t", trigger={}, data=ITEMS, files={place: files(data=ONE)},
    )  # fmt: skip
    assert done.refused(start) == "invalid_files"


def test_without_files_nothing_is_said_of_any() -> None:
    done = Play(workflow([http("get"), node("n")], ["t>get", "get>n"])).start({"n": 1})
    done.answer("get")
    assert (done.state.files, done.told(FilesReferred)) == (False, [])
    tasks: list[NodeTask] = list(done.tasks.values())
    assert [task.files for task in tasks] == [None]
