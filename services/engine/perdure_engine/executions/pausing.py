"""Pause and resume: nothing new begins meanwhile, and deadlines stand still. Pure.

What arrives while an execution is paused is applied: a result ends its node run and resolves
edges. What becomes ready by that is kept (`keep_ready`), and runs when the execution is resumed.
"""

from perdure_common.decider import Rejected
from perdure_contracts.control import (
    ExecutionPaused,
    ExecutionResumed,
    PauseExecution,
    ResumeExecution,
)
from perdure_contracts.engine import Scope
from perdure_contracts.executions import ExecutionYielded

from .canceling import stopping_of
from .progress import Progress
from .racing import note_late
from .state import Execution, is_open, place_of


def bad_pause(state: Execution, command: PauseExecution | ResumeExecution) -> Rejected | None:
    """Return why an execution cannot be paused or resumed now, None if it can."""
    if not is_open(state):
        return Rejected(
            f"execution {command.execution_id!r} has ended already with {state.status}",
            "execution_ended",
        )
    if stopping_of(state) is not None:
        return Rejected(
            f"execution {command.execution_id!r} is being cancelled; nothing of it begins any more",
            "execution_canceling",
        )
    paused = state.status == "PAUSED"
    if isinstance(command, PauseExecution) and paused:
        return Rejected(
            f"execution {command.execution_id!r} is paused already, since {state.paused_at}; "
            "resume it to let it go on",
            "execution_paused",
        )
    if isinstance(command, ResumeExecution) and not paused:
        return Rejected(
            f"execution {command.execution_id!r} is {state.status}, not PAUSED; there is nothing "
            "to resume",
            "execution_not_paused",
        )
    return None


def pause(progress: Progress, command: PauseExecution) -> None:
    """Pause the execution."""
    progress.record(
        ExecutionPaused(
            execution_id=progress.state.execution_id,
            workflow_id=progress.state.workflow_id,
            paused_at=progress.at,
            reason=command.reason,
            asked_by=command.asked_by,
        )
    )


def resume(progress: Progress, command: ResumeExecution) -> None:
    """Let a paused execution go on; what is ready stands in the queue already."""
    state = progress.state
    assert state.paused_at is not None
    deadline = state.deadline
    if deadline is not None:
        deadline += progress.now - state.paused_at
    progress.record(
        ExecutionResumed(
            execution_id=state.execution_id,
            workflow_id=state.workflow_id,
            paused_at=state.paused_at.isoformat(),
            resumed_at=progress.at,
            asked_by=command.asked_by,
            deadline=None if deadline is None else deadline.isoformat(),
        )
    )


def keep_ready(progress: Progress) -> None:
    """Keep what is ready in a paused execution for the time when it is resumed."""
    if progress.late:
        note_late(progress)
    state, found = progress.state, dict[str, tuple[str, Scope]]()
    for node, scope in progress.queue:
        found[place_of(node.node_id, scope)] = (node.node_id, scope)
    found.update(progress.starved)
    found.update(progress.races)
    for place, (node_id, scope) in progress.checks.items():
        region = progress.workflow.region_of(progress.workflow.by_id[node_id])
        if place in state.rounds or (region is not None and region.kind == "each"):
            found[place] = (node_id, scope)
    progress.queue.clear()
    progress.starved.clear()
    progress.checks.clear()
    progress.races.clear()
    if found.keys() <= state.ready.keys():
        return
    progress.record(
        ExecutionYielded(
            execution_id=state.execution_id, ready=tuple(found.values()), yielded_at=progress.at
        )
    )
