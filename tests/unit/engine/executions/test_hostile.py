"""Workflows that are made to hurt: bounded work, or a typed error, and never a hang."""

import json
from itertools import pairwise
from typing import Any

import pytest
from perdure_common.adapters.postgres_types import to_json
from perdure_common.decider import Rejected
from perdure_contracts.engine import NodeErrored, Scope, StartExecution
from perdure_contracts.executions import ExecutionYielded, NodeScheduled
from perdure_engine.definition import validate
from perdure_engine.executions import bounds, progress
from perdure_engine.executions.progress import FUEL
from perdure_engine.executions.state import edge_key
from perdure_engine.runner.perform import at_once
from playing import WORKFLOW_ID, Play, node, play, workflow


def fan(branches: int, **place: Any) -> dict[str, Any]:
    names = [f"n{at}" for at in range(branches)]
    nodes = [*(node(name, **place) for name in names), node("join")]
    links = [*(f"t>{name}" for name in names), *(f"{name}>join" for name in names)]
    return workflow(nodes, links)


def to_its_end(played: Play) -> int:
    """Let everything happen that waits to; return how many turns it took."""
    turns = 0
    while played.state.status == "RUNNING":
        if not played.state.tokens:
            played.wake()
        for place in list(played.state.tokens.values()):
            known = played.state.runs[place].dispatch
            assert known is not None
            result = at_once(played.tasks[known.token], "runner")
            assert result is not None
            played.give(result)
        turns += 1
    return turns


def chain_of(count: int) -> dict[str, Any]:
    names = [f"n{at}" for at in range(count - 1)]
    return workflow([node(name) for name in names], ["t>n0", *map(">".join, pairwise(names))])


def test_thousands_of_nodes_run_in_turns() -> None:
    played = Play(chain_of(4_500), snapshots=False).start({"n": 1})
    assert to_its_end(played) >= 4_500 // FUEL - 1
    assert (played.state.status, len(played.state.runs)) == ("SUCCESS", 4_500)


def test_more_than_ten_thousand_nodes_are_refused_with_the_limit() -> None:
    found = validate(chain_of(10_001))
    assert found.workflow is None
    assert [problem.code for problem in found.errors] == ["definition_too_large"]
    small = {"name": "w", "nodes": [{"node_id": str(at)} for at in range(10_001)]}
    assert "too_many_nodes" in [problem.code for problem in validate(small).errors]


def test_a_thousand_branches_side_by_side_are_joined_once() -> None:
    played = Play(fan(1_000, run_in="runner"), snapshots=False).start({"n": 1})
    assert len(played.told(NodeScheduled)) + len(played.state.ready) >= 1_000 - FUEL
    to_its_end(played)
    assert played.state.status == "SUCCESS"
    assert len(played.told(NodeScheduled)) == 1_000
    assert len(played.emitted("join")) == 1_000


def foreach() -> dict[str, Any]:
    body = node("body", "ACTION.SET", parameters={"values": {"b": 1}})
    return workflow([node("each", "FLOW.FOREACH"), body], ["t>each", "each.item>body", "body>each"])


def test_a_foreach_over_a_million_items_is_a_typed_error_before_any_of_them_runs() -> None:
    played = Play(foreach(), snapshots=False).start([{"n": n} for n in range(1_000_000)])
    assert played.state.status == "ERROR"
    (errored,) = played.told(NodeErrored)
    assert (errored.node_id, errored.error.type) == ("each", "too_many_items")
    assert len(played.events) < 10


def test_what_a_foreach_refuses_leaves_by_its_error_port_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "ITEMS_MAX", 10)
    definition = foreach()
    each = definition["nodes"][1]
    each["error_handling"] = "CONTINUE_ERROR_OUTPUT_ON_ERROR"
    definition["nodes"].append(node("told", "FLOW.AGGREGATE", parameters={"as": "all"}))
    definition["connections"].append(
        {"source_node_id": "each", "target_node_id": "told", "source_port": "error"}
    )
    played = Play(definition, snapshots=False).start([{}] * 11)
    assert played.state.status == "SUCCESS"
    assert played.statuses() == {"t": "SUCCESS", "each": "SUCCESS", "told": "SUCCESS"}
    (told,) = played.emitted("told")
    assert len(told["all"]) == 11


def test_a_million_items_that_a_node_makes_are_a_typed_error_too() -> None:
    split = node("split", "FLOW.SPLIT_OUT", parameters={"field": "many"})
    body = node("body", "ACTION.SET", parameters={"values": {"b": 1}})
    nodes = [split, node("each", "FLOW.FOREACH"), body]
    links = ["t>split", "split>each", "each.item>body", "body>each"]
    many: dict[str, Any] = {"many": [{}] * 1_000_000}
    assert len(json.dumps(many)) < 8 * 1024 * 1024
    played = Play(workflow(nodes, links), snapshots=False).start(many)
    assert played.state.status == "ERROR"
    assert played.told(NodeErrored)[-1].error.type in ("too_many_items", "output_too_large")


def test_a_result_of_a_hundred_megabytes_is_a_typed_error_and_the_execution_ends() -> None:
    definition = workflow([node("a", run_in="runner")], ["t>a"])
    played = play(definition, {"n": 1})
    played.answer("a", {"text": "x" * 100_000_000})
    assert played.state.status == "ERROR"
    assert played.told(NodeErrored)[-1].error.type == "output_too_large"


def deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = {"a": made}
    return made


def test_data_nested_deeper_than_a_row_can_show_is_a_typed_error() -> None:
    told = node("told", "FLOW.AGGREGATE", parameters={"as": "all"})
    definition = workflow([node("a", run_in="runner"), told], ["t>a", "a>told"])
    for levels, ends in ((200, "SUCCESS"), (260, "ERROR"), (900, "ERROR")):
        played = play(definition, {"n": 1})
        played.answer("a", deep(levels))
        assert played.state.status == ends
        assert levels == 200 or played.told(NodeErrored)[-1].error.type == "output_not_json"
        for table, _ in played.rows:
            for row in played.table(table):
                to_json(row)


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"parent_execution_id": LONG}, "invalid_execution_id"),
        ({"overrides": [1]}, "invalid_overrides"),
        ({"overrides": "x"}, "invalid_overrides"),
        ({"node_id": LONG}, "trigger_not_found"),
        ({"workflow_id": "../"}, "workflow_not_found"),
        ({"version": 10**30}, "workflow_not_found"),
        ({"execution_id": LONG}, "invalid_execution_id"),
    ],
)
def test_a_start_that_makes_no_sense_is_a_dead_letter(fields: dict[str, Any], code: str) -> None:
    plain: dict[str, Any] = {
        "execution_id": "e", "workflow_id": WORKFLOW_ID, "version": 1, "node_id": "t",
        "mode": "MANUAL", "triggered_by": LONG, "trigger": {}, "data": {},
    }  # fmt: skip
    refused = Play(chain_of(2)).ask(StartExecution(**{**plain, **fields}))
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.dead_letter) == (code, True)


def test_a_chain_that_nests_its_data_without_end_stops_at_the_limit() -> None:
    names = [f"n{at}" for at in range(150)]
    nodes = [node(name, "FLOW.AGGREGATE", parameters={"as": "all"}) for name in names]
    definition = workflow(nodes, ["t>n0", *map(">".join, pairwise(names))])
    played = play(definition, {"n": 1})
    while played.state.status == "RUNNING":
        played.wake()
    assert played.state.status == "ERROR"
    assert played.told(NodeErrored)[-1].error.type == "output_not_json"


def test_a_start_looks_at_each_node_once_however_many_triggers_lead_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 400
    others = [node(f"t{n}", "TRIGGER.MANUAL") for n in range(count)]
    links = ["t>join", *(f"t{n}>join" for n in range(count))]
    looked = 0
    key = edge_key

    def counted(index: int, scope: Scope) -> str:
        nonlocal looked
        looked += 1
        return key(index, scope)

    monkeypatch.setattr(progress, "edge_key", counted)
    played = Play(workflow([*others, node("join")], links), snapshots=False).start({"n": 1})
    assert (played.state.status, played.emitted("join")) == ("SUCCESS", [{"n": 1}])
    assert count < looked < 8 * count


SLOW = "{{ 'x'.repeat(3000).split('').map(a => a + 'b').length > 4 }}"
"""Some 30,000 units of work: three milliseconds."""


def test_a_turn_ends_sooner_where_its_expressions_work_longer() -> None:
    names = [f"n{at}" for at in range(400)]
    slow = [node(name, "ACTION.SET", parameters={"values": {"a": SLOW}}) for name in names]
    played = Play(workflow(slow, ["t>n0", *map(">".join, pairwise(names))]), snapshots=False).start(
        {"n": 1}
    )
    assert len(played.told(ExecutionYielded)) == 1
    assert 100 < len(played.state.runs) < 350
    to_its_end(played)
    assert (played.state.status, len(played.state.runs)) == ("SUCCESS", 401)


@pytest.mark.parametrize("run_in", ["runner"])
def test_the_expressions_of_all_items_are_bounded_wherever_the_node_runs(run_in: str) -> None:
    slow = node("slow", "ACTION.SET", run_in=run_in, parameters={"values": {"a": SLOW}})
    slow["error_handling"] = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
    played = Play(workflow([slow], ["t>slow"]), snapshots=False).start(
        [{"n": n} for n in range(900)]
    )
    to_its_end(played)
    assert played.state.status == "SUCCESS"
    told = [each.get("error", {}).get("type") for each in played.emitted("slow")]
    assert len(told) == 900
    assert set(told) == {None, "expression_fuel"}
    assert told == sorted(told, key=lambda each: each is not None), "the first ones were done"
