"""Stops what runs of a version that serves no more, where that was asked for. Pure.

Rows of executions are looked at three times within a minute: when the command comes, an event that
the scheduler had accepted before may still be on its way. A version that serves again by then keeps
what it began.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from perdure_common.decider import Decider, Due, Facts, Lookup, Outgoing, Recorded, Upsert
from perdure_contracts.engine import CancelExecution
from perdure_contracts.stopping import ExecutionsStopped, StopExecutions

from .executions.state import OPEN

COMMANDS = "perdure.engine.commands.v1"
AGAIN = (timedelta(seconds=5), timedelta(seconds=55))
"""How long after a look the next one comes."""

AT_ONCE = 1_000
"""Executions that one event stops; the others come with the next look."""

MORE = timedelta(seconds=5)
"""When that is: what was told to stop has a row that says so by then, on a busy machine too."""


@dataclass(frozen=True)
class Stopping:
    """What is being stopped: `looks` saw all, the next is at `look_at` (None: all is done)."""

    workflow_id: str = ""
    version: int = 0
    asked_by: str = ""
    looks: int = 0
    look_at: datetime | None = None


def stream_of(command: StopExecutions) -> str:
    """Return the stream that stops a workflow's executions."""
    return command.stream


def running(state: Stopping, command: StopExecutions | Due) -> Mapping[str, Lookup]:
    """Return the lookups of the executions that are open, and of what serves now."""
    asked = command if isinstance(command, StopExecutions) else state
    if not asked.workflow_id:
        return {}
    where = {
        "workflow_id": asked.workflow_id, "workflow_version": asked.version, "status": OPEN,
    }  # fmt: skip
    found = {"open": Lookup("workflow_executions", where, ("execution_id",))}
    if isinstance(command, Due):
        row = {"id": state.workflow_id}
        found["workflow"] = Lookup("workflows", row, ("deployment_status", "deployment_version"))
    return found


def _serves(state: Stopping, facts: Facts) -> bool:
    """Tell whether the version serves again.

    Nobody asks with the command itself: it may be quicker than the news that nothing serves.
    """
    return any(
        row["deployment_status"] == "ACTIVE" and row["deployment_version"] == state.version
        for row in facts.get("workflow", ())
    )


def decide(
    state: Stopping, command: StopExecutions | Due, facts: Facts, now: datetime
) -> tuple[ExecutionsStopped, ...]:
    """Return which executions are stopped now, and when it is looked again."""
    if isinstance(command, Due) and (state.look_at is None or now < state.look_at):
        return ()
    asked = command if isinstance(command, StopExecutions) else state
    looks = 0 if isinstance(command, StopExecutions) else state.looks
    found = sorted(str(row["execution_id"]) for row in facts.get("open", ()))
    wait: timedelta | None = None
    if _serves(state, facts):
        found = []
    elif len(found) > AT_ONCE:
        wait = MORE
    else:
        looks, wait = looks + 1, AGAIN[looks] if looks < len(AGAIN) else None
    return (
        ExecutionsStopped(
            workflow_id=asked.workflow_id,
            version=asked.version,
            execution_ids=tuple(found[:AT_ONCE]),
            asked_by=asked.asked_by,
            looks=looks,
            look_at="" if wait is None else (now + wait).astimezone(UTC).isoformat(),
        ),
    )


def evolve(state: Stopping, event: ExecutionsStopped) -> Stopping:
    """Return what is left to be stopped after `event`."""
    del state  # the event says all
    return Stopping(
        event.workflow_id,
        event.version,
        event.asked_by,
        event.looks,
        datetime.fromisoformat(event.look_at) if event.look_at else None,
    )


def wake_at(state: Stopping) -> datetime | None:
    """Return when it is looked again."""
    return state.look_at


def project(state: Stopping, recorded: Recorded[ExecutionsStopped]) -> tuple[Upsert, ...]:
    """Return nothing: each execution writes its own row."""
    del state, recorded
    return ()


def route(state: Stopping, recorded: Recorded[ExecutionsStopped]) -> tuple[Outgoing, ...]:
    """Return a command for each execution that is to stop."""
    del state
    event = recorded.event
    return tuple(
        Outgoing(
            COMMANDS,
            each,
            CancelExecution(
                execution_id=each,
                reason=f"version {event.version} of its workflow was undeployed",
                asked_by=event.asked_by,
            ),
        )
        for each in event.execution_ids
    )


decider: Decider[Stopping, StopExecutions, ExecutionsStopped] = Decider(
    name="stopping",
    initial=Stopping(),
    commands=(StopExecutions,),
    events=(ExecutionsStopped,),
    stream_of=stream_of,
    decide=decide,
    evolve=evolve,
    project=project,
    route=route,
    facts=running,
    wake_at=wake_at,
)
