"""Why an open execution waits: for what, and until when. Pure; for people and the detector."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from perdure_contracts.engine import Scope

from perdure_engine.definition import Workflow

from .asks import child_of
from .queueing import admission_of, gate_asked
from .state import Dispatch, Execution, Run, is_open
from .state_flow import Waiting as Waits

LATEST = datetime.max.replace(tzinfo=UTC)


WaitsFor: TypeAlias = Literal[
    "attempt", "retry", "verdict", "hold", "batch", "deadline", "resume", "delay", "adoption",
    "time", "event", "webhook", "child", "person", "memory", "static", "turn", "cancel",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that an execution waits for.

    `attempt` is an answer of a runner, `retry` the instant of the next attempt, `verdict`
    recovery's answer, `hold` the instant that recovery named, `batch` the engine's own next
    turn. `token` names the attempt, `failure_id` the failure. A WAIT waits for its `time`, for an
    `event` or for a call of the resume URL (`webhook`); a `child` is another execution. A `person`
    and `memory` are waited for by a service's answer. `what` names the event, the URL, the child,
    or the question, and says where no service has taken it. The execution's own end
    (`deadline`) has no node, nor has the person who is to resume a paused one (`resume`), for
    whom the instants of the others wait. `delay` is a revival that was to wait,
    `adoption` the runs of the execution that this one is a rerun of. `turn` is a slot of a gate
    that `what` names, `static` the stream of the workflow's static data. `cancel` is the
    end of what runs in an execution that is being cancelled. An attempt that `claims` is
    begun by a runner that has claimed it, and by no other.
    """

    waits_for: WaitsFor
    until: datetime | None
    node_id: str = ""
    node_name: str = ""
    scope: Scope = ()
    run: int = 0
    attempt: int = 0
    token: str = ""
    failure_id: str = ""
    what: str = ""
    claims: bool = False


def why(state: Execution, workflow: Workflow) -> list[Waiting]:
    """Return everything that the execution waits for, what comes first first.

    Empty if it has ended. An execution that runs and waits for nothing but its deadline is
    stalled: that is what the stall detector looks for.
    """
    if state.status == "NEW":
        admission = admission_of(state)
        asked = None if admission is None else gate_asked(admission)
        if admission is None or asked is None:
            return [Waiting("batch", state.yielded_at)]
        return [Waiting("turn", admission.until, what=asked.about)]
    if not is_open(state):
        return []
    found: list[Waiting] = []
    if state.flow is not None and state.flow.stopping is not None:
        found.append(Waiting("cancel", state.flow.stopping.until))
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
            found.extend(_waiting(state, workflow, place, run))
            continue
        if known.asks:
            found.extend(_asks(run, known))
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
                claims=bool(known.token) and known.claimed,
            )
        )
    if state.deadline is not None:
        found.append(Waiting("deadline", state.deadline))
    return sorted(found, key=lambda each: (each.until is None, each.until or LATEST))


ASKED: dict[str, WaitsFor] = {"workflow": "child", "approval": "person", "memory": "memory"}
"""What an agent that is suspended waits for."""


def _asks(run: Run, known: Dispatch) -> Iterator[Waiting]:
    """Return what an agent waits for that is suspended, one for each question."""
    for ask_id, ask in known.asks.items():
        what = child_of(ask_id) if ask.kind == "workflow" else f"{ask_id} ({ask.name})"
        yield Waiting(
            ASKED[ask.kind], ask.until, run.node_id, known.node_name, run.scope, run.run,
            run.attempt, what=what,
        )  # fmt: skip


def _waiting(state: Execution, workflow: Workflow, place: str, run: Run) -> Iterator[Waiting]:
    """Return what a run waits for that is in no runner."""
    flow = state.flow
    each = None if flow is None else flow.waits.get(place)
    if flow is None or each is None:
        return
    name = f"{each.name} {each.key}".strip() if each.kind == "event" else _asked(each)
    what = name or each.child or (flow.resume_url if each.kind == "webhook" else "")
    node_name = workflow.by_id[run.node_id].name
    yield Waiting(
        each.kind, each.until, run.node_id, node_name, run.scope, run.run, run.attempt, what=what
    )


NOBODY = {"person": "the service hil", "memory": "the service memory"}
"""Who answers what is asked of people and of memory."""


def _asked(each: Waits) -> str:
    """Return which question a run waits for, and whether anybody has taken it."""
    if each.kind not in NOBODY:
        return ""
    taken = "" if each.taken else f"; {NOBODY[each.kind]} has not taken it: it may not run here"
    return f"{each.wait_id}{taken}"


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
