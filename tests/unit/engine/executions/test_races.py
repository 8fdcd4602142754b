"""Races: the first that arrives goes on, and what ran only for the race is stopped."""

from typing import Any

from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    NodeCanceled,
    NodeSkipped,
)
from perdure_contracts.executions import RegionExited
from perdure_contracts.flow import RaceLost
from perdure_engine.definition import validate
from perdure_engine.executions.state import place_of
from playing import Play, failed, http, link, node, play, workflow

RACE, IF, SET = "FLOW.RACE", "FLOW.IF", "ACTION.SET"
CONTINUE = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"


def two(*more: str, first: Any = None, second: Any = None, **settings: Any) -> dict[str, Any]:
    """Return a workflow in which `a` and `b` race for `r`, with `end` behind it."""
    nodes = [first or http("a"), second or http("b"), node("r", RACE), node("end")]
    return workflow(nodes, ["t>a", "t>b", "a>r", "b>r", "r>end", *more], **settings)


def result(played: Play) -> Any:
    (end,) = played.told(ExecutionCompleted)
    return end.result


def stopped(played: Play) -> list[str]:
    return [place_of(e.node_id, e.scope) for e in played.told(NodeCanceled) if e.raced]


def test_the_first_that_arrives_goes_on_and_the_other_is_stopped() -> None:
    played = play(two(), {"n": 1})
    late = played.result("a")
    played.answer("b", {"n": 2})
    assert result(played) == [{"n": 2}]
    assert stopped(played) == ["a"]
    (canceled,) = played.told(NodeCanceled)
    assert (canceled.reason, canceled.dead) == ("race_lost", (2,))
    assert played.statuses() == {
        "t": "SUCCESS", "a": "CANCELED", "b": "SUCCESS", "r": "SUCCESS", "end": "SUCCESS",
    }  # fmt: skip
    assert played.refused(late) == "stale_result"
    (row,) = [row for row in played.table("node_executions") if row["node_id"] == "a"]
    assert (row["status"], row["error_data"]["message"]) == ("CANCELED", "race_lost")


def test_of_two_that_arrive_at_once_the_one_that_comes_first_in_the_file_wins() -> None:
    arms = {"values": {"from": "{{ 'a' }}"}}, {"values": {"from": "{{ 'b' }}"}}
    first, second = (node(n, SET, parameters=p) for n, p in zip("ab", arms, strict=True))
    played = play(two(first=first, second=second))
    assert result(played) == [{"from": "a"}]
    (lost,) = played.told(RaceLost)
    assert [played.workflow.edges[index].source for index in lost.edges] == [2]
    assert stopped(played) == []


def test_the_connection_index_comes_before_the_place_in_the_file() -> None:
    arms = [node(n, SET, parameters={"values": {"from": n}}) for n in "ab"]
    links = ["t>a", "t>b", link("a>r", connection_index=1), link("b>r"), "r>end"]
    played = play(workflow([*arms, node("r", RACE), node("end")], links))
    assert result(played) == [{"from": "b"}]


def test_a_branch_that_is_dead_does_not_win() -> None:
    nodes = [node("if", IF, parameters={"condition": "{{ false }}"}), http("b"), node("r", RACE)]
    played = play(workflow(nodes, ["t>if", "t>b", "if.true>r", "b>r"]), {"n": 1})
    assert "r" not in played.statuses()
    played.answer("b", {"n": 2})
    assert result(played) == [{"n": 2}]


def test_a_race_at_which_nothing_arrives_is_skipped() -> None:
    no = {"parameters": {"condition": "{{ false }}"}}
    nodes = [node("a", IF, **no), node("b", IF, **no), node("r", RACE), node("end")]
    played = play(workflow(nodes, ["t>a", "t>b", "a.true>r", "b.true>r", "r>end"]))
    assert played.statuses()["r"] == played.statuses()["end"] == "SKIPPED"


def test_what_also_leads_elsewhere_goes_on_and_what_it_sends_is_recorded_as_lost() -> None:
    definition = two("a>other")
    definition["nodes"].append(node("other"))
    played = play(definition, {"n": 1})
    played.answer("b", {"n": 2})
    assert stopped(played) == [] and played.told(RaceLost) == []
    played.answer("a", {"n": 3})
    (lost,) = played.told(RaceLost)
    assert lost.edges == (2,)
    assert played.emitted("other") == [{"n": 3}]
    assert sorted(each["n"] for each in result(played)) == [2, 3]


def test_what_would_have_come_next_on_a_way_to_the_race_does_not_run() -> None:
    nodes = [http("x"), node("after", SET, parameters={"values": {"n": 5}}), http("b")]
    nodes += [node("r", RACE), node("out"), node("other")]
    links = ["t>x", "x>after", "x>other", "after>r", "t>b", "b>r", "r>out"]
    played = play(workflow(nodes, links), {"n": 1})
    played.answer("b", {"n": 2})
    assert stopped(played) == []
    played.answer("x", {"n": 3})  # `x` leads elsewhere as well, `after` does not
    assert stopped(played) == ["after"]
    assert played.emitted("other") == [{"n": 3}]
    assert played.emitted("out") == [{"n": 2}]


def test_what_had_not_begun_is_skipped() -> None:
    nodes = [http("a"), node("then"), http("b"), node("r", RACE)]
    played = play(workflow(nodes, ["t>a", "a>then", "then>r", "t>b", "b>r"]), {"n": 1})
    played.answer("b")
    assert played.statuses()["a"] == "CANCELED" and played.statuses()["then"] == "SKIPPED"
    assert [event.node_id for event in played.told(NodeSkipped)] == ["then"]


def test_an_error_before_the_win_stops_and_one_after_it_is_stale() -> None:
    played = play(two(recovery="off"), {"n": 1})
    played.answer("a", error=failed())
    assert isinstance(played.events[-1], ExecutionFailed)
    played = play(two(recovery="off"), {"n": 1})
    late = played.result("a", error=failed())
    played.answer("b")
    assert played.state.status == "SUCCESS"
    assert played.refused(late) == "stale_result"


def test_a_branch_that_recovery_is_asked_about_is_stopped_too() -> None:
    played = play(two(), {"n": 1})
    played.answer("a", error=failed())
    verdict = played.verdict_about("a", "retry")
    played.answer("b")
    assert played.state.status == "SUCCESS" and stopped(played) == ["a"]
    assert played.refused(verdict) == "stale_verdict"


def looped(kind: str, inner: str, *more: str) -> dict[str, Any]:
    entry = node("loop", kind, parameters={} if kind == "FLOW.FOREACH" else {"items_per_batch": 1})
    links = ["t>loop", f"loop.{inner}>x", "x>loop", "loop.done>r", "t>b", "b>r", "r>end", *more]
    nodes = [entry, http("x"), http("b"), node("r", RACE), node("end"), node("aside")]
    return workflow(nodes, links)


def test_a_loop_is_stopped_as_a_whole() -> None:
    for kind, inner in (("FLOW.FOREACH", "item"), ("FLOW.LOOP", "loop")):
        played = play(looped(kind, inner), [{"n": 1}, {"n": 2}])
        played.answer("b")
        assert result(played) == [{"n": 1}, {"n": 2}]
        assert stopped(played) == ["loop"]
        (left,) = played.told(RegionExited)
        assert left.failed and played.state.rounds == {}
        assert played.statuses()["loop.0@x"] == played.statuses()["loop"] == "CANCELED"


def test_a_loop_from_which_a_way_leads_elsewhere_goes_on_as_a_whole() -> None:
    played = play(looped("FLOW.FOREACH", "item", "x>aside"), [{"n": 1}, {"n": 2}])
    played.answer("b")
    assert stopped(played) == []
    played.answer("loop.0@x")
    played.answer("loop.1@x")
    assert played.state.status == "SUCCESS"
    assert len(played.told(RaceLost)) == 1


def test_loops_in_loops_are_stopped_with_the_outermost() -> None:
    nodes = [node("o", "FLOW.FOREACH"), node("i", "FLOW.FOREACH"), http("x"), http("b")]
    nodes += [node("r", RACE)]
    links = ["t>o", "o.item>i", "i.item>x", "x>i", "i.done>o", "o.done>r", "t>b", "b>r"]
    played = play(workflow(nodes, links), [{"n": 1}, {"n": 2}])
    played.answer("b")
    assert result(played) == [{"n": 1}, {"n": 2}]
    assert played.state.rounds == {} and played.state.open == {}


def test_a_race_in_an_iteration_is_its_own() -> None:
    nodes = [node("each", "FLOW.FOREACH"), http("a"), http("b"), node("r", RACE), node("end")]
    links = ["t>each", "each.item>a", "each.item>b", "a>r", "b>r", "r>each", "each.done>end"]
    played = play(workflow(nodes, links), [{"n": 1}, {"n": 2}])
    played.answer("each.0@a", {"n": 10})
    played.answer("each.1@b", {"n": 20})
    assert result(played) == [{"n": 10}, {"n": 20}]
    assert stopped(played) == ["each.0@b", "each.1@a"]


def test_a_race_that_loses_a_race_is_stopped_with_what_led_to_it() -> None:
    nodes = [http("a"), http("b"), node("inner", RACE), http("c"), node("r", RACE)]
    links = ["t>a", "t>b", "a>inner", "b>inner", "inner>r", "t>c", "c>r"]
    played = play(workflow(nodes, links), {"n": 1})
    played.answer("c", {"n": 3})
    assert result(played) == [{"n": 3}]
    assert stopped(played) == ["a", "b"]
    assert played.statuses()["inner"] == "SKIPPED"


def test_a_disabled_race_waits_for_all_and_stops_nothing() -> None:
    nodes = [http("a"), http("b"), node("r", RACE, disabled=True)]
    played = play(workflow(nodes, ["t>a", "t>b", "a>r", "b>r"]), {"n": 1})
    played.answer("b", {"n": 2})
    assert played.state.status == "RUNNING"
    played.answer("a", {"n": 1})
    assert result(played) == [{"n": 1}, {"n": 2}]


def test_what_a_race_stopped_is_not_run_again_when_the_execution_is_revived() -> None:
    nodes = [http("a"), http("b"), node("r", RACE), http("last")]
    played = play(workflow(nodes, ["t>a", "t>b", "a>r", "b>r", "r>last"], recovery="off"), {"n": 1})
    played.answer("b", {"n": 2})
    while played.state.status == "RUNNING":
        played.answer("last", error=failed())
        if played.state.status == "RUNNING":
            played.wake()
    assert played.refused(played.retry("a")) == "not_retryable"
    played.give(played.retry("last"))
    assert list(played.state.tokens.values()) == ["last"]
    played.answer("last", {"n": 4})
    assert result(played) == [{"n": 4}]


def test_a_race_is_refused_where_a_cycle_is_entered_and_with_join_each() -> None:
    asked = node("if", IF, parameters={"condition": "{{ $json.n < 3 }}"})
    links = ["t>r", "r>if", "if.true>r"]
    (problem,) = validate(workflow([node("r", RACE), asked], links)).errors
    assert problem.code == "entry_not_possible"
    (problem,) = validate(workflow([node("r", RACE, join="each")], ["t>r"])).errors
    assert (problem.code, problem.path) == ("join_not_possible", "nodes[1].join")


def test_more_races_than_can_be_guarded_are_refused_with_the_place() -> None:
    races = [node(f"r{n}", RACE) for n in range(201)]
    links = ["t>r0", *(f"r{n}>r{n + 1}" for n in range(200))]
    (problem,) = validate(workflow(races, links)).errors
    assert (problem.code, problem.path) == ("too_many_races", "nodes[201]")


def test_the_rounds_of_a_bare_cycle_are_bounded_by_its_entry() -> None:
    asked = node("if", IF, parameters={"condition": "{{ $json.n < 9 }}"})
    up = {"values": {"n": "{{ $json.n + 1 }}"}, "max_iterations": 3}
    links = ["t>up", "up>if", "if.true>up"]
    played = play(workflow([node("up", SET, parameters=up), asked], links), {"n": 0})
    end = played.events[-1]
    assert isinstance(end, ExecutionFailed) and end.error.type == "max_iterations"
    assert sum(place.endswith("@if") for place in played.statuses()) == 3


def test_a_bound_is_refused_where_no_cycle_is_entered_or_where_it_is_no_number() -> None:
    made = workflow([node("a", parameters={"max_iterations": 3})], ["t>a"])
    (problem,) = validate(made).errors
    assert (problem.code, problem.path) == (
        "no_cycle_entered",
        "nodes[1].parameters.max_iterations",
    )
    made = workflow([node("a", parameters={"max_iterations": 0})], ["t>a"])
    assert [each.code for each in validate(made).errors] == ["invalid_parameter"]
    made = workflow([node("a", parameters={"max_iterations": "{{ 3 }}"})], ["t>a"])
    assert [each.code for each in validate(made).errors] == ["expression_not_allowed"]
