"""Why an open execution waits: for what, and until when. Pure; for people and the detector."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from perdure_contracts.engine import Scope

from perdure_engine.definition import Workflow

from .state import Execution, is_open

LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that an execution waits for.

    `attempt` is an answer of a runner, `retry` the instant of the next attempt, `verdict`
    recovery's answer, `hold` the instant that recovery named, `batch` the engine's own next
    turn. `token` names the attempt, `failure_id` the failure. The execution's own end
    (`deadline`) has no node, nor has the person who is to resume a paused one (`resume`), for
    whom the instants of the others wait. `delay` is a revival that was to wait,
    `adoption` the runs of the execution that this one is a rerun of.
    """

    waits_for: Literal[
        "attempt", "retry", "verdict", "hold", "batch", "deadline", "resume", "delay", "adoption"
    ]
    until: datetime | None
    node_id: str = ""
    node_name: str = ""
    scope: Scope = ()
    run: int = 0
    attempt: int = 0
    token: str = ""
    failure_id: str = ""


def why(state: Execution, workflow: Workflow) -> list[Waiting]:
    """Return everything that the execution waits for, what comes first first.

    Empty if it has ended. An execution that runs and waits for nothing but its deadline is
    stalled: that is what the stall detector looks for.
    """
    if not is_open(state):
        return []
    found: list[Waiting] = []
    if state.status == "PAUSED":
        found.append(Waiting("resume", None))
    if state.given is not None and not state.given.begun:
        found.append(Waiting("adoption", None))
    delayed = state.delayed_until is not None and state.yielded_at == state.delayed_until
    for node_id, scope in state.ready.values():
        name = workflow.by_id[node_id].name
        what = "delay" if delayed else "batch"
        found.append(Waiting(what, state.yielded_at, node_id, name, scope))
    for place in state.open:
        run = state.runs[place]
        known = run.dispatch
        if known is None:
            continue
        waits_for = _what(known.token, known.held, known.retry_at is not None)
        until = known.deadline or known.retry_at or known.verdict_until
        found.append(
            Waiting(
                waits_for,
                until,
                run.node_id,
                known.node_name,
                run.scope,
                run.run,
                run.attempt,
                known.token,
                known.failure_id,
            )
        )
    if state.deadline is not None:
        found.append(Waiting("deadline", state.deadline))
    return sorted(found, key=lambda each: (each.until is None, each.until or LATEST))


def stalled(state: Execution, workflow: Workflow) -> bool:
    """Return whether a running execution waits for nothing that could make it go on."""
    return state.status == "RUNNING" and not any(
        each.waits_for != "deadline" for each in why(state, workflow)
    )


def _what(token: str, held: bool, retries: bool) -> Literal["attempt", "retry", "verdict", "hold"]:
    if token:
        return "attempt"
    if retries:
        return "retry"
    return "hold" if held else "verdict"
