"""What recovery's events add to counters that belong to others: of workspaces and of tasks.

The owner of `workspaces` and `tasks` hears `perdure.recovery.events.v1` and adds these up; each
event is heard once, so the sums are those of the journal.
"""

from dataclasses import dataclass

from .recovery import AttemptFailed, AttemptOrdered, AttemptRefused, EpisodeClosed


@dataclass(frozen=True, slots=True)
class Added:
    """What an event adds in a workspace, and when it was decided.

    `attempts` are automatic ones and go to workspaces.total_recovery_attempts and to
    tasks.recovery_count; one that a breaker held back was none and is taken back (-1).
    `recovered` go to workspaces.successful_recoveries, `decided_at` is the newest
    workspaces.last_recovery_check_at (empty: it stays).
    """

    workspace_id: str
    attempts: int = 0
    recovered: int = 0
    decided_at: str = ""


def added_by(event: object) -> Added | None:
    """Return what an event of recovery adds, None if nothing.

    Events that were told before they named a workspace add nothing.
    """
    match event:
        case AttemptOrdered() if event.workspace_id:
            # People's tries and what undoes are none of recovery's attempts, as in its episodes.
            automatic = not event.by and event.strategy != "skip_compensate"
            return Added(event.workspace_id, int(automatic), decided_at=event.ordered_at)
        case AttemptFailed(uncounts=True) if event.workspace_id:
            return Added(event.workspace_id, attempts=-1)
        case AttemptRefused() if event.workspace_id:
            return Added(event.workspace_id, decided_at=event.refused_at)
        case EpisodeClosed(outcome="recovered") if event.workspace_id:
            return Added(event.workspace_id, recovered=1)
        case _:
            return None
