"""What a failure's decision must know of other streams: the pattern's past, and the modes."""

from collections.abc import Mapping

from perdure_common.decider import Lookup
from perdure_contracts.recovery import ExecutionCommand, NoteEnd, NoteFailure

from .experience import EVERYWHERE
from .families import neighbour_lookups
from .state import Execution

PATTERN_COLUMNS = (
    "workspace_id",
    "dependency",
    "lesson_successes",
    "lesson_failures",
    "weighed_at",
    "last_tried_at",
)


def execution_facts(state: Execution, command: ExecutionCommand) -> Mapping[str, Lookup]:
    """Return the lookups for a failure: its signature anywhere, and the modes that bind."""
    failure = command.failure if isinstance(command, NoteEnd) else command
    if not isinstance(failure, NoteFailure) or _is_settled(state, failure):
        return {}
    return {
        "patterns": Lookup(
            "failure_patterns", {"pattern_signature": failure.signature}, PATTERN_COLUMNS
        ),
        "modes": Lookup(
            "recovery_modes",
            {"workspace_id": (failure.workspace_id, EVERYWHERE)},
            ("workspace_id", "mode"),
        ),
        **neighbour_lookups(failure.workspace_id, failure.error),
    }


def _is_settled(state: Execution, failure: NoteFailure) -> bool:
    """Return whether nothing is to be decided about a failure (any more)."""
    decided = failure.failure_id in state.decided
    return decided and (failure.failure_id in state.told or not failure.asked)
