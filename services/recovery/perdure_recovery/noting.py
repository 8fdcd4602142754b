"""What a failure is: of which kind, like which others, and what is believed of it. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

from perdure_common.decider import Facts
from perdure_common.ids import derived
from perdure_contracts.patterns import PatternFacts
from perdure_contracts.recovery import FailureNoted, NoteFailure

from .classify import Classification
from .experience import experience_in, incident_in, limited_of, storm_of
from .families import prior_type
from .instants import written
from .means import means_from
from .signature import MESSAGE_MAX, error_message, error_message_hash, error_type
from .state import place
from .transience import believe

SOURCES: Final[Mapping[str, Literal["lease", "stall"]]] = {
    "worker_lost": "lease",
    "stalled": "stall",
}
"""Failures that nobody raised: a lease that ran out, and an execution in which nothing happens."""


def dated(command: NoteFailure, now: datetime) -> NoteFailure:
    """Let a failure of which nobody told the time have happened now."""
    if command.failed_at and command.first_failed_at:
        return command
    failed_at = command.failed_at or written(now)
    return replace(
        command, failed_at=failed_at, first_failed_at=command.first_failed_at or failed_at
    )


def note(
    command: NoteFailure,
    kind: Classification,
    near: Mapping[str, Any],
    facts: Facts,
    now: datetime,
    *,
    shown: bool,
) -> tuple[FailureNoted, datetime | None]:
    """Return the failure as it was recognised, and when its pattern was last tried."""
    error, workspace_id = command.error, command.workspace_id
    own, others, tried_at = experience_in(facts, workspace_id, error.dependency)
    prior = prior_type(kind.failure_type, kind.source)
    belief = believe(prior, own, others, now.timestamp())
    at = place(command.node_id, command.scope)
    pattern_id = derived("pattern", workspace_id, command.signature, error.dependency)
    credential = means_from(command.means).credential
    limited = limited_of(kind, credential)
    noted = FailureNoted(
        failure_id=command.failure_id,
        episode_id=derived("episode", command.execution_id, at, command.run),
        pattern_id=pattern_id,
        pattern=PatternFacts(
            workspace_id=workspace_id,
            signature=command.signature,
            dependency=error.dependency,
            failure_type=kind.failure_type,
            rule_id=kind.rule_id,
            root_cause_category=kind.root_cause_category,
            pattern_source=kind.source,
            error_type=error_type(error),
            error_message=error_message(error),
            error_message_hash=error_message_hash(error),
            execution_stage=error.stage,
            context={"rule": kind.rule_id, "node_type": command.node_type, **near},
            credential=limited,
        ),
        execution_id=command.execution_id,
        workflow_id=command.workflow_id,
        node_id=command.node_id,
        node_name=command.node_name,
        node_type=command.node_type,
        scope=command.scope,
        run=command.run,
        attempt=command.attempt,
        message=error.message[:MESSAGE_MAX],
        triggered_by=SOURCES.get(error.type, "engine"),
        failed_at=command.failed_at,
        first_failed_at=command.first_failed_at,
        success_mean=belief.mean,
        transient=belief.transient,
        confidence=belief.confidence,
        evidence={
            "alpha": belief.alpha,
            "beta": belief.beta,
            "own": belief.own,
            "shared": belief.shared,
        },
        deadline=command.deadline,
        credential=credential,
        shown=shown,
        incident=incident_in(facts, storm_of(pattern_id, limited))[0] is not None,
    )
    return noted, tried_at
