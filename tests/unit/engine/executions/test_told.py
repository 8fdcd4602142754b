"""What others are told of an execution, and what stays in the journal alone."""

from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    NodeSkipped,
)
from perdure_contracts.message import NAMES
from perdure_contracts.topology import ALSO
from perdure_engine.executions.decider import decider_with
from perdure_engine.executions.route import FAILURES
from playing import http, node, play, workflow

decider = decider_with(10.0)


def test_what_ends_well_without_an_effect_outside_is_not_told() -> None:
    nodes = [node("a"), http("looks"), http("does", parameters={"method": "POST"})]
    played = play(workflow(nodes, ["t>a", "a>looks", "looks>does"]))
    played.answer("looks")
    played.answer("does")
    completed = {event.node_id: event for event in played.told(NodeCompleted)}
    assert {name: decider.told(event) for name, event in completed.items()} == {
        "t": False, "a": False, "looks": False, "does": True,
    }  # fmt: skip
    assert NodeSkipped in decider.private


def test_recovery_hears_nothing_of_an_execution_without_trouble() -> None:
    played = play(workflow([node("a")], ["t>a"]))
    assert played.told(ExecutionCompleted)
    assert played.failures == []


def test_recovery_hears_of_a_failure_and_of_the_end_it_led_to() -> None:
    broken = node("a", "FLOW.STOP_AND_ERROR", parameters={"message": "no"})
    played = play(workflow([broken], ["t>a"]))
    kinds: list[type[object]] = [type(each) for each in played.failures]
    assert kinds == [NodeFailed, NodeErrored, ExecutionFailed]
    assert {ALSO[NAMES[kind]] for kind in kinds} == {FAILURES}
