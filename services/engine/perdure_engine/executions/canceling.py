"""Cancelling with a grace: what a runner has claimed may end, and nothing else begins. Pure.

An attempt that is claimed can be told to stop, and its effect may be half done: it gets a while to
end. What it answers meanwhile is applied, if all of it was done; otherwise its run is CANCELED.
What is not in a runner, or harmless if it is made again, is cancelled at once. Whoever cancels
once more does not wait.
"""

from datetime import timedelta

from perdure_contracts.control import CancelBegun
from perdure_contracts.engine import CancelExecution, NodeResult

from .ending import cancel, cancel_run
from .progress import Progress
from .racing import note_late
from .state import Execution, is_open
from .state_flow import Stopping

WHY = "execution_canceled"
"""The reason that the runs of a cancelled execution have."""


def stopping_of(state: Execution) -> Stopping | None:
    """Return how an open execution is being cancelled, None if it is not."""
    return None if state.flow is None or not is_open(state) else state.flow.stopping


def begin_cancel(progress: Progress, command: CancelExecution, grace_s: float) -> None:
    """Cancel an execution: at once if no runner has claimed anything of it."""
    state = progress.state
    claimed = _claimed(state) if grace_s > 0 and stopping_of(state) is None else {}
    if not claimed:
        cancel(progress, command.reason, command.asked_by)
        return
    progress.record(
        CancelBegun(
            execution_id=state.execution_id,
            workflow_id=state.workflow_id,
            begun_at=progress.at,
            until=(progress.now + timedelta(seconds=grace_s)).isoformat(),
            tokens=tuple(claimed.values()),
            reason=command.reason,
            asked_by=command.asked_by,
        )
    )
    for place in list(progress.state.open):
        if place not in claimed:
            cancel_run(progress, place, WHY)


def cut_off(progress: Progress, place: str, result: NodeResult) -> bool:
    """Cancel the run of an attempt that ended in the grace without doing all of it.

    False says that nothing happened: the execution is not being cancelled, or all was done.
    """
    known = progress.state.runs[place].dispatch
    if stopping_of(progress.state) is None or known is None:
        return False
    whole = result.outcome == "completed" and not result.failed and not result.suspended
    if whole and not known.undoes:
        return False
    cancel_run(progress, place, WHY)
    return True


def end_cancel(progress: Progress) -> None:
    """Forget what is ready, and end the execution if nothing that was claimed is under way."""
    stopping = stopping_of(progress.state)
    if stopping is None:
        return
    if progress.late:
        note_late(progress)
    progress.forget(())
    if not _claimed(progress.state) or stopping.until <= progress.now:
        cancel(progress, stopping.reason, stopping.asked_by)


def _claimed(state: Execution) -> dict[str, str]:
    """Return the tokens of attempts under way that a runner claims, by place."""
    found: dict[str, str] = {}
    for place in state.open:
        known = state.runs[place].dispatch
        if known is not None and known.token and known.claimed:
            found[place] = known.token
    return found
