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


def test_what_ends_well_in_the_engine_s_process_is_not_told() -> None:
    played = play(workflow([node("a"), http("b")], ["t>a", "a>b"]))
    played.answer("b")
    completed = {event.node_id: event for event in played.told(NodeCompleted)}
    assert not decider.told(completed["t"])
    assert not decider.told(completed["a"])
    assert decider.told(completed["b"])
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
