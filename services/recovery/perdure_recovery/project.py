"""Rows from events: an attempt for every decision, refused ones too, each with its explanation."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import derived
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    ExecutionEvent,
)
from perdure_contracts.failures import Explanation
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    FailureNoted,
)

from .episodes import episode_rows
from .explain import texts_of
from .faithful import is_complete
from .project_parking import (
    asked_context,
    drawn,
    parked_row,
    released_row,
    said_context,
    stopped_row,
)
from .retention import FOREVER, LONG, SHORT
from .state import Execution, episode_of

ATTEMPTS = "recovery_attempts"
EXPLANATIONS = "recovery_explanations"

_Recorded = Recorded[ExecutionEvent]


def project(state: Execution, recorded: _Recorded) -> tuple[Upsert, ...]:
    """Return the rows that the event writes, given the state right after it."""
    return (*_decisions(state, recorded), *episode_rows(state, recorded))


def _decisions(state: Execution, recorded: _Recorded) -> tuple[Upsert, ...]:
    event, at = recorded.event, recorded.recorded_at
    match event:
        case AttemptOrdered():
            failure = episode_of(state, event.failure_id).failure
            return _decision(recorded, event, failure, _ordered(event), again=event.parked)
        case AttemptParked():
            failure = episode_of(state, event.failure_id).failure
            return _decision(recorded, event, failure, parked_row(event), again=event.again)
        case AttemptReleased():
            row = released_row(event)
            if event.explanation is not None:
                return _outcome(recorded, event.attempt_id, row, event.explanation)
            return (Upsert(ATTEMPTS, {"id": event.attempt_id}, {**row, "updated_at": at}),)
        case QuestionAsked():
            asked = {"recovery_context": asked_context(event)}
            return _outcome(recorded, event.attempt_id, asked, event.explanation, at + SHORT)
        case QuestionSettled():
            said = {"recovery_context": said_context(event)}
            return _outcome(recorded, event.attempt_id, said, event.explanation, at + SHORT)
        case AttemptStopped():
            stopped = {**stopped_row(event), "kept_until": at + LONG}
            return _outcome(recorded, event.attempt_id, stopped, event.explanation, at + SHORT)
        case AttemptRefused() if event.shown:
            failure = episode_of(state, event.failure_id).failure
            return _decision(recorded, event, failure, _refused(event), again=event.parked)
        case AttemptSucceeded():
            outcome = {
                "status": "succeeded",
                "completed_at": event.succeeded_at,
                "actual_resolution_time": timedelta(seconds=event.resolution_s),
            }
            return _outcome(recorded, event.attempt_id, outcome, event.explanation)
        case AttemptFailed():
            unmade = event.outcome in ("superseded", "held")
            outcome = {
                "status": "superseded" if unmade else "failed",
                "success": None if unmade else False,
                "recovery_outcome": event.outcome,
                "completed_at": event.failed_at,
                "actual_resolution_time": timedelta(seconds=event.resolution_s),
                "kept_until": at + LONG,
            }
            until = at + (SHORT if unmade else LONG)
            return _outcome(recorded, event.attempt_id, outcome, event.explanation, until)
        case EpisodeClosed(explanation=Explanation() as explanation):
            outcome = {
                "success": True,
                "recovery_outcome": event.outcome,
                "kept_until": at + SHORT,
            }
            return _outcome(recorded, event.attempt_id, outcome, explanation, at + SHORT)
        case _:
            return ()


def _ordered(event: AttemptOrdered) -> Mapping[str, object]:
    return {
        "status": "planned",
        "triggered_by": "probe" if event.probe else "person" if event.by else None,
        "estimated_resolution_time": timedelta(seconds=event.delay_s),
        "recovery_context": {
            "delay_s": event.delay_s,
            "drawn_s": event.drawn_s,
            "changed": event.changed or {},
            "refused_by": None,
            **_chosen(event),
        },
    }


def _chosen(event: AttemptOrdered) -> Mapping[str, object]:
    """Return how the sampler chose, and who asked; nothing where the rules did."""
    found = dict(drawn(event))
    if event.by:
        found["asked_by"] = event.by
    if event.probe_of:
        found["probe_of"] = event.probe_of
    return found


def _refused(event: AttemptRefused) -> Mapping[str, object]:
    by_rules = "dead_lettered" if event.strategy == "dead_letter" else "escalated"
    by_rules = "handled" if event.compensate and event.answered else by_rules
    return {
        "status": "refused",
        "recovery_outcome": by_rules if event.rail == "rules" else f"refused:{event.rail}",
        "completed_at": event.refused_at,
        "actual_resolution_time": timedelta(0),
        "recovery_context": {
            "changed": {},
            "refused_by": event.rail,
            "answered": event.answered,
            **({"propensity": event.propensity} if event.propensity < 1.0 else {}),
        },
    }


def _decision(
    recorded: _Recorded,
    event: AttemptOrdered | AttemptRefused | AttemptParked,
    failure: FailureNoted,
    row: Mapping[str, object],
    *,
    again: bool = False,
) -> tuple[Upsert, Upsert]:
    """Return the two rows of a decision; both have the failure's names, times and texts.

    With `again` they are there already, since the attempt was made to wait.
    """
    pattern, at = failure.pattern, recorded.recorded_at
    shared: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "workspace_id": pattern.workspace_id,
        "execution_id": failure.execution_id,
        "node_id": failure.node_id,
        "recovery_strategy": event.strategy,
        "created_at": at,
        "updated_at": at,
    }
    if again:
        del shared["created_at"]
    attempt: dict[str, object] = {
        **shared,
        "workflow_id": failure.workflow_id,
        "scope": failure.scope,
        "run": failure.run,
        "episode_id": failure.episode_id,
        "failure_id": failure.failure_id,
        "failure_pattern_id": failure.pattern_id,
        "attempt_number": event.attempt_number,
        "recovery_reason": event.reason,
        "started_at": at,
        "error_message": pattern.error_message,
        "confidence_score": failure.success_mean if event.helps is None else event.helps,
        "ai_reasoning": f"{event.reason} {event.explanation.confidence_explanation}",
        "kept_until": at + LONG if isinstance(event, AttemptRefused) else FOREVER,
        **row,
    }
    attempt["triggered_by"] = row.get("triggered_by") or failure.triggered_by
    explanation: dict[str, object] = {
        **shared,
        "recovery_attempt_id": event.attempt_id,
        **_texts(event.explanation),
        "technical_details": {
            "rule": pattern.rule_id,
            "error_type": pattern.error_type,
            "dependency": pattern.dependency,
            "transient": failure.transient,
            **failure.evidence,
        },
        "error_pattern_matched": pattern.signature,
        "failure_category": pattern.failure_type,
        "ai_analysis_used": False,
        "explanation_source": "rule",
        "generation_model": "none",
        "generation_confidence": failure.confidence,
        "failure_time": failure.failed_at,
        "explanation_generated_at": at,
        "kept_until": at + SHORT if isinstance(event, AttemptRefused) else FOREVER,
    }
    return (
        Upsert(ATTEMPTS, {"id": event.attempt_id}, attempt, new=not again),
        Upsert(EXPLANATIONS, {"id": _explanation_id(event.attempt_id)}, explanation, new=not again),
    )


def _outcome(
    recorded: _Recorded,
    attempt_id: str,
    row: Mapping[str, object],
    explanation: Explanation,
    kept_until: datetime = FOREVER,
) -> tuple[Upsert, Upsert]:
    at = recorded.recorded_at
    texts = {
        **_texts(explanation),
        "explanation_generated_at": at,
        "kept_until": kept_until,
        "updated_at": at,
    }
    return (
        Upsert(ATTEMPTS, {"id": attempt_id}, {**row, "updated_at": at}),
        Upsert(EXPLANATIONS, {"id": _explanation_id(attempt_id)}, texts),
    )


def _texts(explanation: Explanation) -> dict[str, object]:
    return {
        "failure_summary": explanation.failure_summary,
        "root_cause": explanation.root_cause,
        "retry_decision": explanation.retry_decision,
        "confidence_explanation": explanation.confidence_explanation,
        "user_action_required": explanation.user_action_required,
        "estimated_resolution_time": explanation.estimated_resolution_time,
        "severity_level": explanation.severity_level,
        "display_category": explanation.display_category,
        "complete": is_complete(texts_of(explanation)),
        "faithfulness": explanation.faithfulness,
    }


def _explanation_id(attempt_id: str) -> str:
    return derived("explanation", attempt_id)
