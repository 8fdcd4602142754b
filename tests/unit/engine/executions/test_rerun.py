"""New executions from old ones: what is adopted, what runs again, under which keys."""

from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from perdure_common.decider import Rejected
from perdure_common.ids import sha256_of_json
from perdure_contracts.control import AdoptRuns, RerunBegun, RerunExecution, RunsAdopted
from perdure_contracts.engine import ExecutionCompleted, StartExecution
from perdure_engine.definition import validate
from perdure_engine.executions.ending import in_failed_iteration
from perdure_engine.executions.why import why
from playing import EXECUTION_ID, Play, failed, http, link, node, play, workflow
from random_workflows import data, definition

NEW = "0190f3c0-0000-7000-8000-0000000000ff"
THREE = workflow(
    [
        http("a"),
        node("set", "ACTION.SET", parameters={"values": {"k": "{{ $json.n }}"}}),
        http("b"),
    ],
    ["t>a", "a>set", "set>b"],
    recovery="off",
)


def order(origin: Any = "failed", **more: Any) -> RerunExecution:
    fields: dict[str, Any] = {"new_execution_id": NEW, "origin": origin, **more}
    return RerunExecution(execution_id=EXECUTION_ID, **fields)


def rerun(old: Play, command: RerunExecution, other: Mapping[str, Any] | None = None) -> Play:
    """Let a rerun be decided, and give what it sends to the new execution."""
    old.versions = {} if other is None else {2: other}
    old.sent.clear()
    old.give(command)
    new = Play(other or old.definition, versions=old.versions)
    for message in old.sent:
        assert isinstance(message, StartExecution | AdoptRuns)
        new.give(message)
    return new


def failing() -> Play:
    played = play(THREE, {"n": 1})
    played.answer("a", {"n": 5})
    played.answer("b", error=failed())
    assert played.state.status == "ERROR"
    return played


def test_a_rerun_from_the_failed_node_adopts_what_was_finished_and_keeps_its_keys() -> None:
    old = failing()
    new = rerun(old, order())
    assert {each.node_id for each in new.tasks.values()} == {"b"}
    assert new.emitted("a") == [{"n": 5}]
    assert new.task("b").items == [{"n": 5, "k": 5}]
    old_key = [each.idempotency_key for each in old.tasks.values() if each.node_id == "b"]
    assert [new.task("b").idempotency_key] == old_key
    assert (new.state.mode, new.state.parent_execution_id) == ("RETRY", EXECUTION_ID)
    (row,) = new.table("workflow_executions")
    assert row["metadata"]["rerun"]["of"] == EXECUTION_ID
    assert old.state.status == "ERROR"


def test_a_rerun_from_the_start_adopts_nothing_and_has_new_keys() -> None:
    old = failing()
    new = rerun(old, order("start"))
    assert {each.node_id for each in new.tasks.values()} == {"a"}
    assert new.task("a").items == [{"n": 1}]
    keys = {each.idempotency_key for each in old.tasks.values() if each.node_id == "a"}
    assert new.task("a").idempotency_key not in keys


def test_a_rerun_from_a_node_runs_it_and_what_follows_again() -> None:
    old = play(THREE, {"n": 1})
    old.answer("a", {"n": 5})
    old.answer("b", {"ok": True})
    new = rerun(old, order("node", node_id="b"))
    assert {each.node_id for each in new.tasks.values()} == {"b"}
    assert rerun(old, order("node", node_id="a")).told_token("a")


def test_a_fork_may_leave_a_running_execution_and_change_what_a_node_takes() -> None:
    old = play(THREE, {"n": 1})
    old.answer("a", {"n": 5})
    assert old.refused(order("node", node_id="b")) == "execution_open"
    overrides = {"input": [{"n": 7}]}
    new = rerun(old, order("node", node_id="b", fork=True, overrides=overrides))
    assert new.task("b").items == [{"n": 7}]
    assert old.state.status == "RUNNING"
    again = order("node", node_id="t", fork=True, overrides={"input": [{"n": 3}]})
    assert rerun(old, again).task("a").items == [{"n": 3}]


def test_a_rerun_may_name_another_credential_for_its_node() -> None:
    named = {"url": "https://example.org/", "credential": "old"}
    old = play(workflow([http("a", parameters=named)], ["t>a"]))
    old.answer("a", {"n": 5})
    spare = {"credentials": {"credential": "spare"}}
    new = rerun(old, order("node", node_id="a", overrides=spare))
    assert new.task("a").parameters[0]["credential"] == "spare"


def test_a_trigger_sends_no_credential_so_it_takes_no_other() -> None:
    named = {"path": "/orders", "auth": "standard", "credential": "old"}
    definition = workflow([http("a")], ["t>a"])
    definition["nodes"][0] |= {"node_subtype": "WEBHOOK", "parameters": named}
    old = play(definition)
    old.answer("a", {"n": 5})
    spare = {"credentials": {"credential": "spare"}}
    assert old.refused(order("node", node_id="t", overrides=spare)) == "invalid_overrides"


def test_a_changed_node_and_what_follows_it_run_again_in_another_version() -> None:
    old = failing()
    changed = workflow(
        [
            http("a"),
            node("set", "ACTION.SET", parameters={"values": {"k": "{{ $json.n + 1 }}"}}),
            http("b"),
        ],
        ["t>a", "a>set", "set>b"],
        recovery="off",
    )
    new = rerun(old, order(version=2), changed)
    assert new.task("b").items == [{"n": 5, "k": 6}]
    assert {each.node_id for each in new.tasks.values()} == {"b"}
    other = workflow(
        [http("a", parameters={"url": "https://example.net/"}), *changed["nodes"][2:]],
        ["t>a", "a>set", "set>b"],
        recovery="off",
    )
    again = rerun(old, order(version=2, new_execution_id="other"), other)
    assert {each.node_id for each in again.tasks.values()} == {"a"}


def test_adopted_items_still_pair_with_where_they_came_from() -> None:
    definition = workflow(
        [
            http("a"),
            node("few", "FLOW.FILTER", parameters={"condition": "{{ $json.n > 1 }}"}),
            http("b", parameters={"url": "{{ 'https://x.org/' + $('t').item.json.id }}"}),
        ],
        ["t>a", "a>few", "few>b"],
        recovery="off",
    )
    old = play(definition, [{"id": "x"}, {"id": "y"}])
    old.answer("a", {"n": 1}, {"n": 2})
    old.answer("b", error=failed())
    before = [each.parameters for each in old.tasks.values() if each.node_id == "b"]
    assert [rerun(old, order()).task("b").parameters] == before


def test_a_loop_is_adopted_whole_with_the_iterations_that_had_failed() -> None:
    definition = workflow(
        [
            node("each", "FLOW.FOREACH", parameters={"on_item_error": "collect"}),
            http("body"),
            http("end"),
        ],
        ["t>each", "each.item>body", "body>each", "each.done>end"],
        recovery="off",
    )
    old = play(definition, [{"n": 1}, {"n": 2}, {"n": 3}])
    old.answer("each.0@body", {"n": 10})
    old.answer("each.1@body", error=failed())
    old.answer("each.2@body", {"n": 30})
    done = old.emitted("each", "done")
    old.answer("end", error=failed())
    new = rerun(old, order())
    assert {each.node_id for each in new.tasks.values()} == {"end"}
    assert new.emitted("each", "done") == done
    again = rerun(old, order("node", node_id="body", new_execution_id="again"))
    assert [each.node_id for each in again.tasks.values()] == ["body"] * 3


def test_a_loop_that_failed_whole_and_was_handled_is_adopted() -> None:
    definition = workflow(
        [
            node("each", "FLOW.FOREACH", error_handling="CONTINUE_REGULAR_OUTPUT_ON_ERROR"),
            http("body"),
            http("end"),
        ],
        ["t>each", "each.item>body", "body>each", "each.done>end"],
        recovery="off",
    )
    old = play(definition, [{"n": 1}, {"n": 2}])
    old.answer("each.1@body", error=failed())
    old.answer("end", error=failed())
    new = rerun(old, order())
    assert {each.node_id for each in new.tasks.values()} == {"end"}
    assert new.emitted("each", "done") == old.emitted("each", "done")


def test_handled_errors_are_adopted_with_the_connections_that_they_close() -> None:
    definition = workflow(
        [
            http("a", error_handling="CONTINUE_REGULAR_OUTPUT_ON_ERROR"),
            node("good"),
            node("bad"),
            http("end"),
        ],
        ["t>a", link("a>good", "SUCCESS"), link("a>bad", "ERROR"), "a>end"],
        recovery="off",
    )
    old = play(definition, [{"n": 1}, {"n": 2}])
    old.answer("a", errors={1: failed()})
    old.answer("end", error=failed())
    new = rerun(old, order())
    assert {each.node_id for each in new.tasks.values()} == {"end"}
    for node_id in ("good", "bad", "a"):
        assert new.run(node_id).status == old.run(node_id).status
        assert new.run(node_id).ports == old.run(node_id).ports
    rows = {row["node_id"]: row for row in new.table("node_executions")}
    assert rows["a"]["error_data"]["count"] == 1


def test_nothing_runs_until_all_that_is_adopted_has_come() -> None:
    old = failing()
    old.give(order())
    start, *parts = old.sent
    assert isinstance(start, StartExecution) and len(parts) == 1
    new = Play(THREE)
    new.give(start)
    assert (new.state.status, new.tasks, new.statuses()) == ("RUNNING", {}, {})
    assert [each.waits_for for each in why(new.state, new.workflow)] == ["adoption"]
    (part,) = parts
    assert isinstance(part, AdoptRuns)
    new.give(part)
    assert new.statuses()["b"] == "RUNNING"
    assert len(new.told(RunsAdopted)) == 1
    assert new.refused(part) == "stale_runs"


def test_many_runs_travel_in_parts() -> None:
    nodes = [node(f"n{at}") for at in range(6)]
    names = ["t", *(each["node_id"] for each in nodes), "end"]
    links = [f"{a}>{b}" for a, b in pairwise(names)]
    old = play(workflow([*nodes, http("end")], links, recovery="off"), {"x": "y" * 190_000})
    old.answer("end", error=failed())
    old.give(order())
    assert old.told(RerunBegun)[-1].parts > 1
    new = rerun(old, order(new_execution_id="other"))
    assert new.statuses()["end"] == "RUNNING"
    assert old.run("n5").ports == new.run("n5").ports


def test_a_run_that_fits_into_no_message_is_not_adopted() -> None:
    definition = workflow([http("a"), http("b")], ["t>a", "a>b"], recovery="off")
    old = play(definition, {})
    old.answer("a", {"x": "y" * 900_000})
    old.answer("b", error=failed())
    assert old.refused(order()) == "too_large_to_adopt"
    assert rerun(old, order("start")).statuses()["a"] == "RUNNING"


def test_reruns_that_cannot_be_are_refused() -> None:
    old = play(THREE, {"n": 1})
    assert old.refused(order()) == "execution_open"
    old.answer("a", {"n": 5})
    old.answer("b", error=failed())
    assert old.refused(order(version=9)) == "version_not_found"
    assert old.refused(order("node", node_id="nobody")) == "node_not_found"
    assert old.refused(order(new_execution_id=EXECUTION_ID)) == "invalid_execution_id"
    assert old.refused(order("node", node_id="b", overrides={"x": 1})) == "invalid_overrides"


def test_the_version_that_is_to_run_needs_the_trigger() -> None:
    old = failing()
    nodes = [node("other", "TRIGGER.MANUAL"), *THREE["nodes"][1:]]
    links = [link("other>a"), *THREE["connections"][1:]]
    definition = {**THREE, "nodes": nodes, "connections": links}
    assert validate(definition).workflow is not None
    old.versions = {2: definition}
    refused = old.ask(order(version=2))
    assert isinstance(refused, Rejected) and refused.code == "trigger_not_found"
    assert sha256_of_json(definition) != sha256_of_json(THREE)


@pytest.mark.parametrize("loops", [False, True])
def test_what_has_ended_well_is_adopted_as_it_was_whatever_the_workflow(loops: bool) -> None:
    """Everything is adopted: nothing runs again, and each run and the result are the same."""
    compared = 0
    for seed in range(400):
        random = Random(seed)
        made, items = definition(random, loops=loops), data(random)
        if validate(made).workflow is None:
            continue
        old = answered_at_random(made, items, random)
        if old is None or old.state.status != "SUCCESS":
            continue
        new = rerun(old, order())
        assert new.state.status == "SUCCESS", f"seed {seed}: {new.events[-1]}"
        assert not [task for task in new.tasks.values() if task.node_id], f"seed {seed}"
        ended = [play.told(ExecutionCompleted)[-1] for play in (old, new)]
        assert ended[0].result == ended[1].result, f"seed {seed}"
        assert statuses_that_count(old) == statuses_that_count(new), f"seed {seed}"
        compared += 1
    assert compared > 100


def answered_at_random(made: dict[str, Any], items: Any, random: Random) -> Play | None:
    played = Play(made, snapshots=False).start(items)
    for _ in range(200):
        if played.state.status != "RUNNING":
            return played
        places = sorted(played.state.tokens.values())
        if not places:
            played.wake()
            continue
        place = random.choice(places)
        errors = {
            at: failed() for at in range(len(played.task(place).items)) if random.random() < 0.1
        }
        played.answer(place, errors=errors)
    return None


def statuses_that_count(played: Play) -> dict[str, str]:
    """Return how each run ended, but for those of iterations that failed."""
    return {
        place: run.status
        for place, run in played.state.runs.items()
        if not in_failed_iteration(played.state, run)
    }


def test_what_lost_a_race_is_not_run_again_where_the_race_is_adopted() -> None:
    nodes = [http("a"), http("b"), node("r", "FLOW.RACE"), http("last")]
    links = ["t>a", "t>b", "a>r", "b>r", "r>last"]
    old = play(workflow(nodes, links, recovery="off"), {"n": 1})
    old.answer("b", {"n": 2})
    old.answer("last", error=failed())
    new = rerun(old, order())
    assert {each.node_id for each in new.tasks.values()} == {"last"}
    assert new.task("last").items == [{"n": 2}]
    assert new.statuses()["a"] == "CANCELED"
    new.answer("last", {"n": 3})
    assert new.state.status == "SUCCESS"


def test_a_loop_that_lost_a_race_is_not_run_again_where_the_race_is_adopted() -> None:
    nodes = [node("each", "FLOW.FOREACH"), http("x"), http("b"), node("r", "FLOW.RACE")]
    links = ["t>each", "each.item>x", "x>each", "each.done>r", "t>b", "b>r", "r>last"]
    old = play(workflow([*nodes, http("last")], links, recovery="off"), {"n": 1})
    old.answer("b", {"n": 2})
    old.answer("last", error=failed())
    new = rerun(old, order())
    assert {each.node_id for each in new.tasks.values()} == {"last"}
    new.answer("last", {"n": 3})
    assert new.state.status == "SUCCESS"
