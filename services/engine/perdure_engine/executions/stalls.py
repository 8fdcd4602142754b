"""Executions that cannot say what they wait for: how they are told, and how they end. Pure.

Nothing of the kind should ever be there. If it is (a wake that was lost, a defect), somebody must
hear of it: what is merely overdue is done, what nothing can make go on ends as `stalled`, and
recovery is told like of every other failure.
"""

from datetime import datetime, timedelta

from perdure_common.ids import derived
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.executions import ExamineExecution

from perdure_engine.definition import Workflow

from .ending import stop
from .progress import Progress
from .state import Execution
from .why import Waiting, why

LOOKED_AT = ("NEW", "RUNNING")
"""Statuses of executions that go on by themselves. One that waits for people alone is RUNNING, only
its row says more; in one that is PAUSED all instants stand still."""

CLOCKED = ("attempt", "retry", "verdict", "hold", "batch")
"""What always has an instant at which the engine goes on by itself; people and events have none."""


def stall(state: Execution, workflow: Workflow, now: datetime, grace_s: float) -> str:
    """Return what cannot be explained of an execution, in a sentence; empty if everything can.

    What fell due less than `grace_s` seconds ago is on its way.
    """
    if state.status not in LOOKED_AT:
        return ""
    waits = why(state, workflow)
    if all(each.waits_for == "deadline" for each in waits):
        return "it waits for nothing that could make it go on"
    for each in waits:
        if each.waits_for in CLOCKED and each.until is None:
            return f"{_told(each)} has no instant at which it ends"
        if each.until is not None and each.until + timedelta(seconds=grace_s) < now:
            return f"{_told(each)} was over at {each.until.isoformat()}, and nothing came of it"
    return ""


def _told(waiting: Waiting) -> str:
    where = f" of node {waiting.node_id!r}" if waiting.node_id else ""
    return f"its wait for {waiting.waits_for}{where}"


def give_up_forgotten(progress: Progress, command: ExamineExecution) -> None:
    """End an execution in which runs are open that nothing will ever end.

    One in which nothing is open at all is ended by the end of its round, as every other.
    """
    if progress.state.status != "RUNNING":
        return
    waits = why(progress.state, progress.workflow)
    forgotten = [each for each in waits if each.waits_for in CLOCKED and each.until is None]
    if not forgotten:
        return
    text = (
        f"{_told(forgotten[0])} has no instant at which it ends; this is a defect: report it with "
        "the execution's id"
    )
    state = progress.state
    detail = {"found": command.found, "version": command.version}
    error = ErrorFacts(type="stalled", message=text, stage="engine", detail=detail)
    failure_id = derived("failure", state.execution_id, "forgotten", command.version)
    stop(progress, "ERROR", error, failure_id=failure_id)  # no node failed
