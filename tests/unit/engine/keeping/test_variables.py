"""Variables and static data: kept from one execution to the next, frozen for each."""

from dataclasses import replace
from typing import Any

import pytest
from perdure_common.ids import static_data_stream, variables_stream
from perdure_contracts.engine import ExecutionStarted, SaveWorkflow, StartExecution
from perdure_contracts.kept import (
    DeleteVariable,
    SetVariable,
    StaticDataRefused,
    StaticDataUpdated,
    UpdateStaticData,
    VariableSet,
)
from playing import WORKFLOW_ID, http, node, workflow
from streams import TENANT, Streams

OTHER = "0190f3c0-0000-7000-8000-0000000000bb"
DEFAULT = "00000000-0000-7000-8000-000000000002"


def saved(made: dict[str, Any], streams: Streams | None = None) -> Streams:
    streams = streams or Streams()
    assert streams.send(SaveWorkflow(workflow_id=WORKFLOW_ID, definition=made)) is None
    return streams


def started(streams: Streams, name: str, data: Any = None) -> Streams:
    streams.send(
        StartExecution(
            execution_id=name, workflow_id=WORKFLOW_ID, version=1, node_id="t", mode="MANUAL",
            triggered_by="", trigger={}, data={"n": 1} if data is None else data,
        )
    )  # fmt: skip
    streams.pass_time(0)
    return streams


def put(streams: Streams, name: str, value: Any, workspace: str = "", **more: Any) -> Any:
    (row,) = [*streams.rows["workflow_versions"].values()][:1]
    where = workspace or str(row["workspace_id"])
    return streams.send(
        SetVariable(
            variables_id=variables_stream(TENANT, where),
            workspace_id=where,
            name=name,
            value=value,
            **more,
        )
    )


def seen(streams: Streams, execution_id: str, node_id: str = "n") -> list[Any]:
    run = streams.execution(execution_id).runs[node_id]
    return [item["json"] for item in run.ports["main"]]


READS = workflow(
    [node("n", "ACTION.SET", parameters={"values": {"url": "{{ $vars.url }}"}, "keep": "none"})],
    ["t>n"],
)
COUNTS: dict[str, Any] = {
    **workflow(
        [
            node(
                "n",
                "ACTION.STATIC_DATA",
                parameters={"values": {"last": "{{ $execution.static_data.last + $json.n }}"}},
            ),
            node(
                "after",
                "ACTION.SET",
                parameters={"values": {"last": "{{ $execution.static_data.last }}"}},
            ),
        ],
        ["t>n", "n>after"],
    ),
    "static_data": {"last": 10, "kept": True},
}


def test_an_execution_sees_the_variables_of_its_workspace_as_they_were_when_it_began() -> None:
    slow = workflow([http("h"), *READS["nodes"][1:]], ["t>h", "h>n"])
    streams = saved(slow)
    put(streams, "url", "https://one.example/")
    put(streams, "url", "https://elsewhere.example/", OTHER)
    started(streams, "a")
    put(streams, "url", "https://two.example/")
    streams.answer("a")
    assert seen(streams, "a") == [{"url": "https://one.example/"}]
    (begun,) = streams.told("a", ExecutionStarted)
    assert begun.vars == {"url": "https://one.example/"}
    started(streams, "b")
    streams.answer("b")
    assert seen(streams, "b") == [{"url": "https://two.example/"}]
    streams.check()


def test_a_variable_that_was_taken_away_or_never_there_is_null() -> None:
    streams = saved(READS)
    put(streams, "url", "https://one.example/")
    stream = variables_stream(TENANT, DEFAULT)
    (row,) = streams.rows["variables"].values()
    stream = variables_stream(TENANT, row["workspace_id"])
    gone = DeleteVariable(variables_id=stream, workspace_id=row["workspace_id"], name="url")
    assert streams.send(gone) is None
    started(streams, "a")
    assert seen(streams, "a") == [{"url": None}]
    assert streams.send(gone).code == "variable_not_found"  # pyright: ignore[reportOptionalMemberAccess]
    streams.check()


def test_a_variable_is_set_only_if_nobody_was_faster() -> None:
    streams = saved(READS)
    assert put(streams, "url", 1, expected=0) is None
    assert put(streams, "url", 2, expected=0).code == "variable_changed"
    assert put(streams, "url", 2, expected=1) is None
    (stream,) = [each for each, events in streams.events.items()
                 if isinstance(events[0], VariableSet)]  # fmt: skip
    assert [event.number for event in streams.events[stream]] == [1, 2]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("1st", 1, "invalid_variable"),
        ("a.b", 1, "invalid_variable"),
        ("", 1, "invalid_variable"),
        ("big", "x" * 40_000, "variable_too_large"),
        ("nul", "a\0b", "variable_too_large"),
    ],
)
def test_what_cannot_be_a_variable_is_refused(name: str, value: Any, code: str) -> None:
    assert put(saved(READS), name, value).code == code


def test_a_workspace_has_room_for_so_much_and_no_more() -> None:
    streams = saved(READS)
    for at in range(4):
        assert put(streams, f"v{at}", "x" * 32_000) is None
    assert put(streams, "v4", "x" * 32_000).code == "too_many_variables"
    assert put(streams, "v3", "small") is None
    assert put(streams, "v4", "x" * 32_000) is None


def test_a_workflow_without_variables_begins_at_once_and_looks_for_none() -> None:
    streams = saved(workflow([node("n")], ["t>n"]))
    put(streams, "url", 1)
    started(streams, "a")
    (begun,) = streams.told("a", ExecutionStarted)
    assert begun.vars is None and streams.events["a"][0] is begun


def test_static_data_goes_from_one_execution_to_the_next() -> None:
    streams = saved(COUNTS)
    for name, last in (("a", 11), ("b", 12), ("c", 13)):
        started(streams, name)
        assert streams.execution(name).status == "SUCCESS"
        assert seen(streams, name) == [{"n": 1}]
        assert seen(streams, name, "after") == [{"n": 1, "last": last}]
    stream = static_data_stream(WORKFLOW_ID)
    assert streams.states[stream].data == {"last": 13, "kept": True}
    assert streams.rows["workflow_static_data"][(WORKFLOW_ID,)]["data"]["last"] == 13
    streams.check()


def overtaken(on_conflict: str) -> Streams:
    """Return what became of an execution that was overtaken by another one."""
    made: dict[str, Any] = {**COUNTS, "nodes": [*COUNTS["nodes"], http("h")]}
    made["nodes"][1] = {
        **made["nodes"][1],
        "parameters": {"values": {"mine": "{{ $json.n }}"}, "on_conflict": on_conflict},
    }
    ends = {"source_node_id": "h", "target_node_id": "n"}
    made["connections"] = [
        {"source_node_id": "t", "target_node_id": "h"},
        ends,
        *made["connections"][1:],
    ]
    streams = started(saved(made), "a")
    stream = static_data_stream(WORKFLOW_ID)
    change = UpdateStaticData(
        static_data_id=stream, workflow_id=WORKFLOW_ID, values={"theirs": 1}, initial={}
    )
    assert streams.send(change) is None
    streams.answer("a")
    streams.pass_time(15)
    streams.check()
    return streams


def test_a_change_that_another_execution_has_overtaken_fails_the_node() -> None:
    streams = overtaken("error")
    assert streams.execution("a").status == "ERROR"
    (refused,) = streams.told(static_data_stream(WORKFLOW_ID), StaticDataRefused)
    assert refused.code == "static_data_conflict"
    row = streams.rows["workflow_executions"][("a",)]
    assert row["error_details"]["type"] == "static_data_conflict"


def test_a_change_may_overwrite_what_it_names_and_leaves_the_rest() -> None:
    streams = overtaken("overwrite")
    assert streams.execution("a").status == "SUCCESS"
    assert streams.states[static_data_stream(WORKFLOW_ID)].data == {"theirs": 1, "mine": 1}


def test_a_request_that_comes_twice_is_carried_out_once() -> None:
    streams = started(saved(COUNTS), "a")
    stream = static_data_stream(WORKFLOW_ID)
    (updated,) = streams.told(stream, StaticDataUpdated)
    again = UpdateStaticData(
        static_data_id=stream, workflow_id=WORKFLOW_ID, values={"last": 99},
        request_id=updated.request_id, execution_id="a",
    )  # fmt: skip
    assert streams.send(again) is None
    (_, told) = streams.told(stream, StaticDataUpdated)
    assert (told.again, told.data, told.number) == (True, updated.data, updated.number)
    assert streams.states[stream].data["last"] == 11
    refused = streams.send(replace(again, execution_id=""))
    assert refused is not None and refused.code == "duplicate"


def test_a_request_that_was_refused_and_comes_again_is_refused_again() -> None:
    streams = overtaken("error")
    stream = static_data_stream(WORKFLOW_ID)
    (refused,) = streams.told(stream, StaticDataRefused)
    number = streams.states[stream].number
    again = UpdateStaticData(
        static_data_id=stream, workflow_id=WORKFLOW_ID, values={"mine": 7},
        request_id=refused.request_id, execution_id=refused.execution_id,
    )  # fmt: skip
    assert streams.send(again) is None
    assert streams.told(stream, StaticDataRefused) == [refused, refused]
    assert streams.states[stream].number == number
