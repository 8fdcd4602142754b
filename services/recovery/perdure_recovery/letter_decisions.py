"""What recovery decides about a dead letter, as a row of its decisions with an explanation. Pure.

It is one and the same each time: nothing is tried by itself, for what was refused would be refused
again; a person sends the record once more or drops it. A letter that stands for a node has its
decision already, that of the failure which made it.
"""

from dataclasses import replace

from perdure_common.decider import Outgoing, Upsert
from perdure_common.ids import derived
from perdure_contracts.dead_letters import DeadLetterKept, DeadLetterReopened, DeadLetterSettled
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.failures import Explanation
from perdure_contracts.patterns import NoteOccurrence, PatternFacts
from perdure_contracts.shell import DeadLettered

from .classification_classes import ROOT_CAUSE
from .experience import EVERYWHERE
from .explain import CATEGORY, MEANING, UNTIL_PERSON, texts_by_column, texts_of
from .faithful import Sources, faithfulness, is_complete
from .instants import parsed
from .letter_words import NEXT, type_of, words_of
from .retention import FOREVER, LONG, SHORT
from .signature import error_message, error_message_hash

ATTEMPTS = "recovery_attempts"
EXPLANATIONS = "recovery_explanations"
OWN = "perdure.recovery.commands.v1"
REASON = (
    "a record is not sent again by itself: what was refused would be refused again; a person sends "
    "it once more or drops it"
)
WORKSPACE = EVERYWHERE
"""Records are of the installation: topics are shared by all workspaces."""


def occurrence_of(event: DeadLetterKept, seen_at: str) -> Outgoing:
    """Return what tells the letter's pattern of one more."""
    pattern_id = pattern_of(event)
    message = NoteOccurrence(
        pattern_id=pattern_id,
        failure_id=event.letter_id,
        pattern=_facts(event),
        seen_at=seen_at,
        tried=False,
        execution_id=event.letter_id,
    )
    return Outgoing(OWN, pattern_id, message)


def pattern_of(event: DeadLetterKept | DeadLetterReopened) -> str:
    """Return the pattern of letters that are alike: refused for one reason, in one topic."""
    return derived("pattern", WORKSPACE, event.signature, _dependency(event.letter))


def decision_rows(
    tenant_id: str, event: DeadLetterKept | DeadLetterReopened, at: str
) -> tuple[Upsert, Upsert]:
    """Return the decision about a letter that waits, and its explanation; both whole."""
    record = event.letter
    moment = parsed(at)
    attempt_id, explanation = attempt_of(event.letter_id), explained(record)
    shared: dict[str, object] = {
        "tenant_id": tenant_id,
        "workspace_id": WORKSPACE,
        "dead_letter_id": event.letter_id,
        "recovery_strategy": NEXT,
        "kept_until": FOREVER,
        "created_at": moment,
        "updated_at": moment,
    }
    attempt: dict[str, object] = {
        **shared,
        "episode_id": event.letter_id,
        "failure_id": event.letter_id,
        "failure_pattern_id": pattern_of(event),
        "attempt_number": event.attempts,
        "triggered_by": "dead_letter",
        "recovery_reason": REASON,
        "started_at": moment,
        "completed_at": moment,
        "status": "refused",
        "recovery_outcome": "escalated",
        "error_message": error_message(_error(record)),
        "recovery_context": {"changed": {}, "refused_by": "rules", "topic": record.topic},
        "confidence_score": 0.0,
        "ai_reasoning": f"{REASON}. {explanation.confidence_explanation}",
    }
    told: dict[str, object] = {
        **shared,
        "recovery_attempt_id": attempt_id,
        **texts_by_column(explanation),
        "complete": is_complete(texts_of(explanation)),
        "technical_details": {"code": record.code, "topic": record.topic},
        "error_pattern_matched": event.signature,
        "failure_category": type_of(record.code),
        "ai_analysis_used": False,
        "explanation_source": "rule",
        "generation_model": "none",
        "generation_confidence": 1.0,
        "failure_time": moment,
        "explanation_generated_at": moment,
    }
    return (
        Upsert(ATTEMPTS, {"id": attempt_id}, attempt),
        Upsert(EXPLANATIONS, {"id": derived("explanation", attempt_id)}, told),
    )


def settled_rows(event: DeadLetterSettled) -> tuple[Upsert, Upsert]:
    """Return what people said, and that the decision may be forgotten some day."""
    moment, attempt_id = parsed(event.settled_at), attempt_of(event.letter_id)
    attempt: dict[str, object] = {
        "recovery_context": {
            "changed": {},
            "refused_by": "rules",
            "said": event.action,
            "asked_by": event.asked_by,
        },
        "kept_until": moment + LONG,
        "updated_at": moment,
    }
    told: dict[str, object] = {"kept_until": moment + SHORT, "updated_at": moment}
    return (
        Upsert(ATTEMPTS, {"id": attempt_id}, attempt),
        Upsert(EXPLANATIONS, {"id": derived("explanation", attempt_id)}, told),
    )


def attempt_of(letter_id: str) -> str:
    """Return the id of the decision about a letter."""
    return derived("attempt", letter_id)


def explained(record: DeadLettered) -> Explanation:
    """Return what people are told of a record that nobody could apply."""
    words = words_of(record.code)
    kind = type_of(record.code)
    waits = f" What follows in the stream {record.stream} waits for it." if record.stream else ""
    made = Explanation(
        failure_summary=(
            f"A record of {record.topic} could not be applied: {error_message(_error(record))}"
        ),
        root_cause=(
            f"{kind}: {MEANING[kind]}. Recognised by the code {record.code} with which it was "
            "refused."
        ),
        retry_decision=f"Nothing is tried: {REASON}.{waits}",
        confidence_explanation=(
            f"The code {record.code} says so by itself; no retry of such a record was made."
        ),
        user_action_required=words["user_action_required"],
        estimated_resolution_time=UNTIL_PERSON,
        severity_level="high",
        display_category=CATEGORY[words["root_cause_category"]],
    )
    own = (record.topic, record.code, record.stream, kind, REASON, *words.values())
    texts = (*own, MEANING[kind], made.display_category, error_message(_error(record)))
    return replace(made, faithfulness=faithfulness(texts_of(made), Sources(texts)))


def _facts(event: DeadLetterKept) -> PatternFacts:
    error, kind = _error(event.letter), type_of(event.letter.code)
    return PatternFacts(
        workspace_id=WORKSPACE,
        signature=event.signature,
        dependency=_dependency(event.letter),
        failure_type=kind,
        rule_id=f"letter:{event.letter.code}",
        root_cause_category=ROOT_CAUSE[kind],
        pattern_source="rule",
        error_type=event.letter.code,
        error_message=error_message(error),
        error_message_hash=error_message_hash(error),
        execution_stage=error.stage,
        context={"service": event.service},
    )


def _error(record: DeadLettered) -> ErrorFacts:
    """Return a letter's reason as a failure; hear.py signs the same."""
    return ErrorFacts(type=record.code, message=record.reason, stage="record")


def _dependency(record: DeadLettered) -> str:
    return f"topic:{record.topic}"
