"""The version of its workflow that an execution has pinned."""

from collections.abc import Mapping
from typing import Any

from perdure_common.decider import Facts, Rejected

from perdure_engine.definition import Workflow, kept, load

from .state import Execution


def pinned(state: Execution, facts: Facts) -> Workflow | Rejected:
    """Return the version that the execution pinned."""
    workflow = kept(state.sha256)
    if workflow is not None:
        return workflow
    rows: tuple[Mapping[str, Any], ...] = tuple(facts.get("version", ()))
    if not rows:
        return Rejected(
            f"version {state.workflow_version} of workflow {state.workflow_id!r} is gone; "
            "restore it from a backup",
            "workflow_not_found",
            dead_letter=True,
        )
    return load(rows[0]["definition"], state.sha256)
