"""What is adopted is as it was: races that loops won, nodes that people skipped, pinned loops."""

from typing import Any

from perdure_contracts.control import AdoptRuns, MarkNode, RerunExecution
from perdure_contracts.engine import StartExecution
from playing import EXECUTION_ID, Play, failed, http, node, play, workflow

NEW = "0190f3c0-0000-7000-8000-0000000000ff"
UP = {"values": {"n": "{{ $json.n + 1 }}"}}


FAILED = RerunExecution(execution_id=EXECUTION_ID, new_execution_id=NEW, origin="failed")


def rerun(old: Play, command: RerunExecution = FAILED) -> Play:
    """Run an execution again, by default from where it failed."""
    old.sent.clear()
    old.give(command)
    new = Play(old.definition)
    for message in old.sent:
        assert isinstance(message, StartExecution | AdoptRuns)
        new.give(message)
    return new


def racing(kind: str, body: str) -> dict[str, Any]:
    """A loop and a request, of which the first is enough, and a step that fails."""
    nodes = [
        node("loop", kind), node("up", "ACTION.SET", parameters=UP), http("slow"),
        node("race", "FLOW.RACE"), http("last"),
    ]  # fmt: skip
    links = ["t>loop", f"loop.{body}>up", "up>loop", "loop.done>race", "t>slow", "slow>race"]
    return workflow(nodes, [*links, "race>last"], recovery="off")


def test_a_loop_that_won_a_race_has_won_it_in_the_new_execution() -> None:
    for kind, body in (("FLOW.LOOP", "loop"), ("FLOW.FOREACH", "item")):
        old = play(racing(kind, body), [{"n": 1}, {"n": 2}])
        assert old.statuses()["slow"] == "CANCELED"
        old.answer("last", error=failed())
        new = rerun(old)
        assert (new.statuses()["loop"], new.statuses()["race"]) == ("SUCCESS", "SUCCESS")
        assert new.statuses()["slow"] == "CANCELED"
        assert new.task("last").items == [{"n": 2}, {"n": 3}]
        assert {each.node_id for each in new.tasks.values()} == {"last"}


def test_a_loop_that_lost_a_race_has_lost_it_in_the_new_execution() -> None:
    made = racing("FLOW.FOREACH", "item")
    made["nodes"][2] = http("up")
    old = play(made, {"n": 1})
    old.answer("slow", {"n": 7})
    old.answer("last", error=failed())
    new = rerun(old)
    assert (new.statuses()["loop"], new.statuses()["race"]) == ("CANCELED", "SUCCESS")
    assert new.task("last").items == [{"n": 7}]
    assert {each.node_id for each in new.tasks.values()} == {"last"}


def test_what_a_person_skipped_is_not_run_in_the_new_execution() -> None:
    nodes = [http("a"), http("b"), node("c"), http("last")]
    old = play(workflow(nodes, ["t>a", "t>b", "a>c", "b>c", "c>last"], recovery="off"), {"n": 1})
    old.give(MarkNode(execution_id=EXECUTION_ID, node_id="a", outcome="skipped"))
    old.answer("b", {"n": 2})
    old.answer("last", error=failed())
    new = rerun(old)
    assert (new.statuses()["a"], new.statuses()["b"]) == ("SKIPPED", "SUCCESS")
    assert new.emitted("c") == [{"n": 2}]
    assert {each.node_id for each in new.tasks.values()} == {"last"}


def test_a_loop_that_was_pinned_emits_what_it_emitted_and_does_not_go_round() -> None:
    nodes = [node("loop", "FLOW.FOREACH"), http("body"), http("last")]
    links = ["t>loop", "loop.item>body", "body>loop", "loop.done>last"]
    made = {**workflow(nodes, links, recovery="off"), "pin_data": {"loop": [{"n": 9}]}}
    old = play(made, {"n": 1})
    old.answer("last", error=failed())
    new = rerun(old)
    assert new.task("last").items == [{"n": 9}]
    assert {each.node_id for each in new.tasks.values()} == {"last"}


def test_what_lost_a_race_that_is_run_again_is_run_again_with_what_follows_it() -> None:
    nodes = [http("a"), http("b"), node("c"), http("d"), node("race", "FLOW.RACE"), http("last")]
    links = ["t>a", "t>b", "a>c", "b>c", "c>race", "t>d", "d>race", "race>last"]
    old = play(workflow(nodes, links, recovery="off"), {"n": 1})
    old.answer("b", {"n": 2})
    old.answer("d", {"n": 3})
    old.answer("last", error=failed())
    command = RerunExecution(
        execution_id=EXECUTION_ID, new_execution_id=NEW, origin="node", node_id="d"
    )
    new = rerun(old, command)
    assert {each.node_id for each in new.tasks.values()} == {"a", "d"}
    new.answer("a", {"n": 4})
    assert new.task("last").items == [{"n": 4}, {"n": 2}]
