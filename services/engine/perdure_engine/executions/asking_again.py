"""Recovery is asked once more when the wait before an attempt is over. Pure.

Much may have happened meanwhile: recovery was switched off, the other side is known to be down,
others were told to wait. A verdict says whether the attempt is made; without one it is not.
"""

from datetime import timedelta

from perdure_contracts.executions import AttemptDue

from .progress import Progress


def ask_again(progress: Progress, place: str) -> None:
    """Ask about the attempt that a run waited for, and hold the run until there is an answer."""
    run = progress.state.runs[place]
    known = run.dispatch
    assert known is not None
    until = progress.now + timedelta(seconds=progress.verdict_wait_s)
    progress.record(
        AttemptDue(
            execution_id=progress.state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            failure_id=known.failure_id,
            attempt_id=known.attempt_id,
            due_at=progress.at,
            verdict_until=until.isoformat(),
        )
    )
