"""Defects of restores, gates, requests, questions and parked streams; listed as in mutants.py."""
# pyright: reportPrivateUsage=false

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from perdure_common import fencing
from perdure_common.decider import Rejected
from perdure_common.fencing import Plan, Standing
from perdure_common.shell import parking
from perdure_common.shell.fold import Batch
from perdure_common.shell.intake import Taken
from perdure_common.shell.part import Part
from perdure_common.shell.shard import GOING
from perdure_engine.executions import route, route_asking
from perdure_engine.gates import decide as gate
from perdure_engine.runner.agents.journal import Journal
from perdure_recovery import letters
from perdure_scheduler.hooks.receipts import Intake

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


@mutant("a restore forgets who had claimed what must not run twice", "I1", first=300)
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


# Requests --------------------------------------------------------------------------------


@mutant("a request is answered before Kafka has its event", "webhook", "I2")
def _answered_too_early(stack: ExitStack) -> None:
    publish = Intake._publish

    async def early(self: Intake, going: Any) -> None:
        for entry, outcome in going:
            entry.done.set_result(outcome)
        await publish(self, going)

    put(stack, Intake, "_publish", early)


@mutant("a request that comes again is taken for a new one", "webhook")
def _receipts_are_not_kept(stack: ExitStack) -> None:
    async def all_new(self: Intake, batch: Any) -> Any:
        return list(batch), []

    put(stack, Intake, "_receipts", all_new)


# Questions -------------------------------------------------------------------------------


@mutant("people are not told that nobody wants their answer any more", "answer")
def _questions_stay(stack: ExitStack) -> None:
    asked_of = route_asking.asked_of

    def only_asked(event: Any) -> Any:
        return () if hasattr(event, "by") else asked_of(event)

    put(stack, route, "asked_of", only_asked)


# Parked streams --------------------------------------------------------------------------


def _always_too_early(stack: ExitStack) -> None:
    put(stack, run, "NOT_MENDED", 1.0)


@mutant("nobody is told of a stream that was let go and stops again", "liveness")
def _stops_in_silence(stack: ExitStack) -> None:
    def stop(batch: Batch, part: Part, taken: Taken, poison: Rejected) -> None:
        del batch, poison
        part.draining[taken.stream] = None
        part.commit.unparked.append((taken.stream, GOING))

    _always_too_early(stack)
    put(stack, parking, "stop", stop)


@mutant("a dead letter that was settled is settled for good", "liveness")
def _letters_stay_settled(stack: ExitStack) -> None:
    _always_too_early(stack)
    put(stack, letters, "_is_news", lambda before, told_by: False)  # pyright: ignore[reportUnknownLambdaType]
