"""Stops what runs of a version that serves no more, where that was asked for. Pure.

Rows of executions are looked at three times within a minute: when the command comes, an event that
the scheduler had accepted before may still be on its way. A version that serves again by then keeps
what it began. A look walks through the workflow's executions from the newest on, a page at a time:
no index knows which are open, and there may be millions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.decider import Decider, Due, Facts, Lookup, Outgoing, Page, Recorded, Upsert
from perdure_contracts.engine import CancelExecution
from perdure_contracts.stopping import ExecutionsStopped, StopExecutions

from .executions.state import OPEN

COMMANDS = "perdure.engine.commands.v1"
AGAIN = (timedelta(seconds=5), timedelta(seconds=55))
"""How long after a look the next one comes."""

AT_ONCE = 1_000
"""Executions that one event stops; it must fit into a message."""

PAGE = 5_000
"""Executions that are looked at in one go."""

MORE = timedelta(milliseconds=100)
"""When the next ones are."""

LATE = timedelta(minutes=10)
"""How long before the command something may have begun that the first look did not see."""


@dataclass(frozen=True)
class Stopping:
    """What is being stopped: `looks` saw all, the next page is at `look_at` (None: all is done).

    That page is below the id `after` (empty: the newest). `began` is when the command came.
    """

    workflow_id: str = ""
    version: int = 0
    asked_by: str = ""
    looks: int = 0
    look_at: datetime | None = None
    after: str = ""
    began: str = ""


def stream_of(command: StopExecutions) -> str:
    """Return the stream that stops a workflow's executions."""
    return command.stream


def running(state: Stopping, command: StopExecutions | Due) -> Mapping[str, Lookup]:
    """Return the lookups of a page of executions, and of what serves now."""
    asked = command if isinstance(command, StopExecutions) else state
    if not asked.workflow_id:
        return {}
    after = "" if isinstance(command, StopExecutions) else state.after
    columns = ("id", "execution_id", "workflow_version", "status")
    where = {"workflow_id": asked.workflow_id}
    page = Page("id", PAGE, after)
    found = {"page": Lookup("workflow_executions", where, columns, page=page)}
    if isinstance(command, Due) and state.looks:
        row = {"id": state.workflow_id}
        found["workflow"] = Lookup("workflows", row, ("deployment_status", "deployment_version"))
    return found


def _serves(state: Stopping, facts: Facts) -> bool:
    """Tell whether the version serves again.

    Nobody asks in the first look: it may be quicker than the news that nothing serves.
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
    if isinstance(command, StopExecutions):
        began = now.astimezone(UTC).isoformat()
        state = Stopping(command.workflow_id, command.version, command.asked_by, began=began)
    found: list[str] = []
    after, looks, wait = "", state.looks, None
    if not _serves(state, facts):
        for row in _page(state, facts):
            if row["workflow_version"] == state.version and row["status"] in OPEN:
                found.append(str(row["execution_id"]))
            after = str(row["id"])
            if len(found) == AT_ONCE:
                break
        else:
            after = after if len(facts.get("page", ())) == PAGE and _floor(state) < after else ""
        if after:
            wait = MORE
        else:
            looks, wait = looks + 1, AGAIN[looks] if looks < len(AGAIN) else None
    return (
        ExecutionsStopped(
            workflow_id=state.workflow_id,
            version=state.version,
            execution_ids=tuple(found),
            asked_by=state.asked_by,
            looks=looks,
            look_at="" if wait is None else (now + wait).astimezone(UTC).isoformat(),
            after=after,
            began=state.began,
        ),
    )


def _page(state: Stopping, facts: Facts) -> Iterator[Mapping[str, Any]]:
    """Yield the executions of a page, the newest first."""
    floor = _floor(state)
    for row in sorted(facts.get("page", ()), key=lambda row: str(row["id"]), reverse=True):
        if str(row["id"]) < floor:
            return
        yield row


def _floor(state: Stopping) -> str:
    """Return the id below which a look sees nothing new: all of them in the first one."""
    if not state.looks or not state.began:
        return ""
    began = datetime.fromisoformat(state.began) - LATE
    at = f"{int(began.timestamp() * 1000):012x}"
    return f"{at[:8]}-{at[8:]}-0000-0000-000000000000"


def evolve(state: Stopping, event: ExecutionsStopped) -> Stopping:
    """Return what is left to be stopped after `event`."""
    del state  # the event says all
    return Stopping(
        event.workflow_id,
        event.version,
        event.asked_by,
        event.looks,
        datetime.fromisoformat(event.look_at) if event.look_at else None,
        event.after,
        event.began,
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
