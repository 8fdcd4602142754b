"""Defects of restores, gates and questions; like those in mutants.py, and in the same list."""
# pyright: reportPrivateUsage=false

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from perdure_common import fencing
from perdure_common.fencing import Plan, Standing
from perdure_engine.executions import route, route_asking
from perdure_engine.gates import decide as gate
from perdure_engine.runner.agents.journal import Journal

from simulation import restoring, run
from simulation.mutants import mutant, put

# Restores --------------------------------------------------------------------------------


def _always_restore(stack: ExitStack) -> None:
    put(stack, run, "RESTORED", 1.0)


@mutant("numbers that were given out are given out again after a restore", "I5", "I6", "I10",
        "liveness")  # fmt: skip
def _no_numbers_skipped(stack: ExitStack) -> None:
    def near(standing: Standing, tenant_id: str, moment: datetime, until: Any) -> Plan:
        epoch = fencing.fenced(standing, tenant_id, moment, until).fence.epoch
        plan = fencing.fenced(standing, tenant_id, datetime.fromtimestamp(0, UTC), until)
        return replace(plan, fence=replace(plan.fence, epoch=epoch))

    _always_restore(stack)
    put(stack, restoring, "fenced", near)


@mutant("nobody hears which numbers a restore has skipped", "I5", "liveness")
def _nobody_hears_of_the_restore(stack: ExitStack) -> None:
    def silent(standing: Standing, tenant_id: str, moment: Any, until: Any) -> Plan:
        plan = fencing.fenced(replace(standing, sent={}), tenant_id, moment, until)
        return replace(plan, sent={})

    _always_restore(stack)
    put(stack, restoring, "fenced", silent)


@mutant("a restore forgets who had claimed what must not run twice", "I1")
def _claims_forgotten(stack: ExitStack) -> None:
    _always_restore(stack)
    put(stack, restoring, "_claimed", lambda record: {})  # pyright: ignore[reportUnknownLambdaType]


# Gates -----------------------------------------------------------------------------------


@mutant("a gate lets everybody in", "gate", "I7")
def _open_gate(stack: ExitStack) -> None:
    def everybody(state: Any, command: Any, happen: Any) -> None:
        request(state, replace(command, gate=replace(command.gate, limit=1_000)), happen)

    request = gate._request
    put(stack, gate, "_request", everybody)


@mutant("an execution that has ended keeps its slots", "liveness")
def _slots_are_kept(stack: ExitStack) -> None:
    put(stack, route, "releases", lambda state, recorded: ())  # pyright: ignore[reportUnknownLambdaType]


# Agents ----------------------------------------------------------------------------------


@mutant("an agent that is resumed does what it had done before", "agent", "I1")
def _agents_forget(stack: ExitStack) -> None:
    def nothing(self: Journal, request: str) -> None:
        del self, request

    put(stack, Journal, "answer", nothing)


# Questions -------------------------------------------------------------------------------


@mutant("people are not told that nobody wants their answer any more", "answer")
def _questions_stay(stack: ExitStack) -> None:
    asked_of = route_asking.asked_of

    def only_asked(event: Any) -> Any:
        return () if hasattr(event, "by") else asked_of(event)

    put(stack, route, "asked_of", only_asked)
