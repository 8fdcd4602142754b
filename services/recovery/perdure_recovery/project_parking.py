"""Rows of attempts that wait: the same rows as `project` writes, from more events. Pure."""

from collections.abc import Mapping
from datetime import timedelta

from perdure_contracts.deciding import AttemptParked, AttemptReleased, AttemptStopped
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import AttemptOrdered

WAITING = {"approval": "waiting_approval", "person": "waiting_approval"}


def parked_row(event: AttemptParked) -> Mapping[str, object]:
    """Return the columns of an attempt that waits."""
    asked = {} if event.request is None else {"interaction_id": event.request.interaction_id}
    return {
        "status": WAITING.get(event.cause, "parked"),
        "recovery_strategy": event.strategy,
        "recovery_reason": event.reason,
        "triggered_by": "probe" if event.probe else None,
        "recovery_context": {
            "cause": event.cause,
            "until": event.until,
            "line": event.line,
            **asked,
            "changed": event.changed or {},
            "refused_by": None,
            **drawn(event),
        },
    }


def drawn(event: AttemptOrdered | AttemptParked) -> Mapping[str, object]:
    """Return how chance chose; nothing where the rules did."""
    found: dict[str, object] = {"scores": event.scores} if event.scores else {}
    if event.explores:
        found["explores"] = True
    return {**found, "propensity": event.propensity} if found or event.propensity < 1.0 else {}


def released_row(event: AttemptReleased) -> Mapping[str, object]:
    """Return the columns of an attempt that begins after it had waited."""
    probe = {"triggered_by": "probe"} if event.probe_of else {}
    row: dict[str, object] = {
        "status": "running",
        "estimated_resolution_time": timedelta(seconds=event.delay_s),
        **probe,
    }
    return {**row, "recovery_reason": event.reason} if event.reason else row


def stopped_row(event: AttemptStopped) -> Mapping[str, object]:
    """Return the columns of an attempt that is not made after all."""
    return {
        "status": event.status,
        "success": None,
        "recovery_outcome": "superseded"
        if event.status == "superseded"
        else f"refused:{event.rail}",
        "completed_at": event.stopped_at,
        "recovery_context": {"changed": {}, "refused_by": event.rail, "answered": event.answered},
    }


def asked_context(event: QuestionAsked) -> Mapping[str, object]:
    """Return what an attempt's row has as its context while people are asked about it."""
    return {
        "cause": "person",
        "until": event.until,
        "interaction_id": event.request.interaction_id,
        "changed": {},
        "refused_by": None,
    }


def said_context(event: QuestionSettled) -> Mapping[str, object]:
    """Return what an attempt's row has as its context once the question is settled."""
    return {
        "cause": "person",
        "said": event.said,
        "asked_by": event.by or None,
        "interaction_id": event.interaction_id,
        "changed": {},
        "refused_by": None,
    }
