"""Loops as they go: rounds, what comes out of them, errors in them, stops and second lives."""

from typing import Any

import pytest
from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    NodeCanceled,
    NodeErrored,
    NodeSkipped,
)
from perdure_contracts.executions import (
    ExecutionYielded,
    IterationFailed,
    IterationStarted,
    RegionExited,
)
from playing import Play, failed, http, link, node, play, workflow

LOOP, FOREACH, SET, IF = "FLOW.LOOP", "FLOW.FOREACH", "ACTION.SET", "FLOW.IF"
UP = {"values": {"n": "{{ $json.n + 1 }}"}}


def items(*numbers: int) -> list[dict[str, Any]]:
    return [{"n": number} for number in numbers]


def result(played: Play) -> Any:
    (end,) = played.told(ExecutionCompleted)
    return end.result


def foreach(mode: str = "fail", concurrency: int = 10, **more: Any) -> dict[str, Any]:
    parameters = {"on_item_error": mode, "max_concurrency": concurrency}
    return node("each", FOREACH, parameters=parameters, **more)


def around(entry: dict[str, Any], body: dict[str, Any], port: str, **settings: Any) -> Any:
    """Return a workflow of a loop around one node, and a node behind it."""
    name, inner = entry["node_id"], body["node_id"]
    links = [f"t>{name}", f"{name}.{port}>{inner}", f"{inner}>{name}", f"{name}.done>end"]
    return workflow([entry, body, node("end")], links, **settings)


def test_batches_go_round_one_after_the_other_and_leave_together() -> None:
    entry = node("loop", LOOP, parameters={"items_per_batch": 2})
    played = play(around(entry, node("a", SET, parameters=UP), "loop"), items(1, 2, 3))
    assert result(played) == items(2, 3, 4)
    assert [each.iteration for each in played.told(IterationStarted)] == [0, 1]
    scopes = [row["scope"] for row in played.table("node_executions") if row["node_id"] == "a"]
    assert scopes == ["loop.0", "loop.1"]


def test_items_go_round_while_the_condition_holds_and_leave_once() -> None:
    entry = node("loop", LOOP, parameters={"while": "{{ $json.n < 3 }}"})
    played = play(around(entry, node("a", SET, parameters=UP), "loop"), items(0, 2, 5))
    assert result(played) == items(3, 6, 3)
    assert [each.iteration for each in played.told(IterationStarted)] == [0, 1, 2]


def test_a_loop_that_would_go_round_too_often_stops_with_a_typed_error() -> None:
    entry = node("loop", LOOP, parameters={"while": "{{ true }}", "max_iterations": 4})
    played = play(around(entry, node("a"), "loop"), items(1))
    (failure,) = played.told(ExecutionFailed)
    assert failure.error.type == "max_iterations" and failure.node_id == "loop"
    assert len(played.told(IterationStarted)) == 4


def test_a_bare_cycle_goes_round_while_an_edge_back_is_live() -> None:
    definition = workflow(
        [
            node("a", SET, parameters=UP),
            node("more", IF, parameters={"condition": "{{ $json.n < 3 }}"}),
            node("end"),
        ],
        ["t>a", "a>more", "more.true>a", "more.false>end"],
    )
    played = play(definition, items(0, 2))
    assert result(played) == items(3, 3)
    assert [each.iteration for each in played.told(IterationStarted)] == [0, 1, 2]


def test_iterations_run_side_by_side_and_leave_in_the_order_of_the_items() -> None:
    played = play(around(foreach(concurrency=2), http("h"), "item"), items(1, 2, 3))
    assert sorted(played.state.tokens.values()) == ["each.0@h", "each.1@h"]
    played.answer("each.1@h", {"n": 20})
    assert sorted(played.state.tokens.values()) == ["each.0@h", "each.2@h"]
    played.answer("each.2@h", {"n": 30})
    played.answer("each.0@h", {"n": 10})
    assert result(played) == items(10, 20, 30)


@pytest.mark.parametrize(
    ("mode", "left"), [("drop", [1, 3]), ("collect", [1, 2, 3])], ids=["drop", "collect"]
)
def test_a_failed_item_is_dropped_or_collected_at_its_place(mode: str, left: list[int]) -> None:
    definition = around(foreach(mode), http("h"), "item", recovery="off")
    played = play(definition, items(1, 2, 3))
    played.answer("each.1@h", error=failed("broken"))
    for place in ("each.0@h", "each.2@h"):
        played.answer(place)
    found = result(played)
    assert [each["n"] for each in found] == left
    errors = [each["error"]["type"] for each in found if "error" in each]
    assert errors == (["broken"] if mode == "collect" else [])
    (told,) = played.told(IterationFailed)
    assert (told.iteration, told.failed_node_id) == (1, "h")


def test_the_first_failed_item_fails_the_foreach_and_cancels_the_others() -> None:
    definition = around(foreach(), http("h"), "item", recovery="off")
    played = play(definition, items(1, 2, 3))
    played.answer("each.1@h", error=failed("broken"))
    (failure,) = played.told(ExecutionFailed)
    assert (failure.node_id, failure.error.type) == ("each", "broken")
    canceled = {each.scope for each in played.told(NodeCanceled) if each.node_id == "h"}
    assert canceled == {(("each", 0),), (("each", 2),)}
    assert [each.node_id for each in played.told(NodeErrored)] == ["h", "each"]
    assert played.state.tokens == {} and played.state.open == {}


def test_an_error_mode_of_a_foreach_takes_all_its_items_and_kills_what_leaves_it() -> None:
    entry = foreach(error_handling="CONTINUE_ERROR_OUTPUT_ON_ERROR")
    definition = workflow(
        [entry, http("h"), node("e"), node("x"), node("end")],
        [
            "t>each", "each.item>h", "h>each", "each.done>end", "each.error>e",
            "each.item>x", "t>x",
        ],
        recovery="off",
    )  # fmt: skip
    played = play(definition, items(1, 2))
    played.answer("each.0@h", error=failed("broken"))
    assert [each["n"] for each in played.emitted("e")] == [1, 2]
    assert played.run("end").status == "SKIPPED"
    assert played.emitted("x") == items(1, 2), "only the trigger's own edge is LIVE"


def test_what_leaves_a_loop_waits_for_its_end_and_carries_all_iterations() -> None:
    entry = node("loop", LOOP, parameters={"items_per_batch": 1})
    definition = workflow(
        [entry, node("a", SET, parameters=UP), node("m", "FLOW.MERGE")],
        ["t>loop", "loop.loop>a", "a>loop", "a>m.input2", "t>m.input1"],
    )
    played = play(definition, items(1, 2))
    assert result(played) == items(1, 2, 2, 3)
    (exited,) = played.told(RegionExited)
    assert exited.iterations == 2 and len(exited.live) == 1


def test_a_loop_to_which_nothing_comes_is_skipped_with_all_that_leaves_it() -> None:
    definition = workflow(
        [
            node("no", IF, parameters={"condition": "{{ false }}"}),
            node("loop", LOOP), node("a"), node("end"), node("x"),
        ],
        ["t>no", "no.true>loop", "loop.loop>a", "a>loop", "loop.done>end", "a>x", "no.false>x"],
    )  # fmt: skip
    played = play(definition, items(1))
    assert {each.node_id for each in played.told(NodeSkipped)} == {"loop", "end"}
    assert played.emitted("x") == items(1)
    assert played.told(IterationStarted) == []


def test_a_node_with_join_each_runs_once_for_each_edge_that_is_live() -> None:
    definition = workflow(
        [http("a"), http("b"), node("j", SET, join="each", parameters=UP), node("end")],
        ["t>a", "t>b", "a>j", "b>j", "j>end"],
    )
    played = play(definition, items(1))
    played.answer("b", {"n": 20})
    assert [each.iteration for each in played.told(IterationStarted)] == [1], "it does not wait"
    played.answer("a", {"n": 10})
    assert result(played) == items(11, 21)


def test_a_disabled_loop_passes_its_items_on_done() -> None:
    entry = node("loop", LOOP, disabled=True)
    played = play(around(entry, node("a"), "loop"), items(1, 2))
    assert result(played) == items(1, 2)
    assert played.told(IterationStarted) == []


def test_expressions_in_a_loop_see_their_own_round_and_after_it_the_last() -> None:
    values = {"seen": "{{ $('a').first().json.n }}"}
    definition = workflow(
        [
            node("loop", LOOP, parameters={"items_per_batch": 1}),
            node("a", SET, parameters=UP),
            node("b", SET, parameters={"values": values}),
            node("end", SET, parameters={"values": {"last": "{{ $('a').first().json.n }}"}}),
        ],
        ["t>loop", "loop.loop>a", "a>b", "b>loop", "loop.done>end"],
    )
    played = play(definition, items(1, 5))
    assert [(each["seen"], each["last"]) for each in result(played)] == [(2, 6), (6, 6)]


def test_a_cancel_ends_a_loop_with_what_runs_in_it() -> None:
    played = play(around(foreach(), http("h"), "item"), items(1, 2))
    played.give(played.cancel())
    canceled = [(each.node_id, each.scope) for each in played.told(NodeCanceled)]
    assert canceled == [("each", ()), ("h", (("each", 0),)), ("h", (("each", 1),))]
    assert played.state.status == "CANCELED" and played.state.tokens == {}


def test_a_node_that_failed_in_a_loop_runs_again_and_the_loop_goes_on() -> None:
    entry = node("loop", LOOP, parameters={"items_per_batch": 1})
    played = play(around(entry, http("h"), "loop", recovery="off"), items(1, 2))
    played.answer("loop.0@h")
    played.answer("loop.1@h", error=failed("broken"))
    assert played.told(ExecutionFailed)[0].node_id == "h"
    played.give(played.retry("h", scope=(("loop", 1),)))
    played.answer("loop.1@h", {"n": 7})
    assert result(played) == items(1, 7)


def test_a_foreach_that_failed_runs_again_from_its_first_item() -> None:
    played = play(around(foreach(), http("h"), "item", recovery="off"), items(1, 2))
    played.answer("each.0@h", error=failed("broken"))
    played.give(played.retry("each"))
    played.answer("each.0@h")
    played.answer("each.1@h")
    assert result(played) == items(1, 2)
    runs = [(row["node_id"], row["run"]) for row in played.table("node_executions")]
    assert ("each", 2) in runs and ("h", 2) in runs


def test_ten_thousand_items_go_through_in_pieces_that_fuel_allows() -> None:
    definition = around(foreach("drop"), node("a", SET, parameters=UP), "item")
    played = play(definition, [{"n": n} for n in range(3_000)], snapshots=False)
    while played.state.status == "RUNNING":
        played.wake()
    assert len(played.told(ExecutionYielded)) >= 5
    (end,) = played.told(ExecutionCompleted)
    assert end.result is not None and len(end.result) == 3_000
    assert end.result[-1] == {"n": 3_000}


def test_rounds_in_rounds_keep_their_scopes_apart() -> None:
    definition = workflow(
        [
            node("out", LOOP, parameters={"items_per_batch": 1}),
            node("in", LOOP, parameters={"while": "{{ $json.n < 3 }}"}),
            node("a", SET, parameters=UP),
            node("end"),
        ],
        ["t>out", "out.loop>in", "in.loop>a", "a>in", "in.done>out", "out.done>end"],
    )
    played = play(definition, items(0, 2))
    assert result(played) == items(3, 3)
    scopes = [row["scope"] for row in played.table("node_executions") if row["node_id"] == "a"]
    assert scopes == ["out.0/in.0", "out.0/in.1", "out.0/in.2", "out.1/in.0"]


def test_conditional_edges_into_a_body_choose_among_the_items_of_each_round() -> None:
    definition = workflow(
        [node("loop", LOOP, parameters={"items_per_batch": 2}), node("a"), node("b"), node("end")],
        [
            "t>loop",
            link("loop.loop>a", "CONDITIONAL", conditions={"condition": "{{ $json.n > 1 }}"}),
            link("loop.loop>b", "CONDITIONAL", conditions={"else": True}),
            "a>loop", "b>loop", "loop.done>end",
        ],
    )  # fmt: skip
    played = play(definition, items(1, 2, 3))
    assert result(played) == items(2, 1, 3)


def test_on_no_input_that_a_round_begins_without_is_anything_missing() -> None:
    """Connections that lead back are not DEAD before the first round, they are not yet there."""
    nodes = [
        node("m", "FLOW.MERGE", parameters={"on_missing": "error"}),
        node("up", SET, parameters=UP),
        node("more", IF, parameters={"condition": "{{ $json.n < 3 }}"}),
        node("end"),
    ]
    links = ["t>m.input1", "m>up", "up>more", "more.true>m.input2", "more.false>end"]
    assert result(play(workflow(nodes, links), items(0))) == items(3)
