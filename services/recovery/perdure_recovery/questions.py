"""What people are asked about a node that was given up, and what is done about their answer. Pure.

Where a workspace lets people be asked (`People`), nobody's node is held for them: it is given up at
once, so error workflows and callers hear of it. When the execution has ended by that failure people
get a question, by the contract of `hil`. Who says `retry` lets the execution go on at that node.
"""

from datetime import datetime, timedelta
from typing import Final

from perdure_common.decider import Rejected
from perdure_common.ids import derived
from perdure_contracts.deciding import NoteAnswer
from perdure_contracts.questions import QuestionAsked, QuestionEvent, QuestionSettled, Said
from perdure_contracts.recovery import AttemptOrdered, NoteCompletion, NoteEnd, NoteFailure

from .cases import Plan
from .explain_waiting import explain_answer, explain_question, explain_wanted
from .guard import PERSON_S
from .instants import written
from .interactions import interaction_for
from .state import Execution, Question, place

ASKED_ABOUT: Final = frozenset({"rules", "effect", "caps"})
"""The rails whose no is a person's to overrule; `rules` is that nothing automatic is left."""


def ask(state: Execution, command: NoteEnd, now: datetime) -> tuple[QuestionEvent, ...]:
    """Ask people about the failure by which an execution has ended; else take back what was asked.

    An execution that ended well, or that somebody stopped, does not need the answer.
    """
    if command.status == "ERROR":
        return tuple(
            _asked(question, now)
            for _, question in sorted(state.questions.items())
            if question.failure.failure_id == command.failure_id and not question.interaction_id
        )
    why = "the execution has ended without it"
    return tuple(
        _settled(question, "withdrawn", "", why, now)
        for _, question in sorted(state.questions.items())
        if question.interaction_id
    )


def overtaken(
    state: Execution, command: NoteFailure | NoteCompletion, now: datetime
) -> tuple[QuestionEvent, ...]:
    """Take a question back: somebody has run the node again without answering it."""
    question = state.questions.get(place(command.node_id, command.scope))
    if question is None or not question.interaction_id or command.run <= question.failure.run:
        return ()
    return (_settled(question, "withdrawn", "", "the node was run again meanwhile", now),)


def settle(
    state: Execution, command: NoteAnswer, now: datetime
) -> tuple[QuestionEvent | AttemptOrdered, ...]:
    """Do what people say; their word counts against no limit, once, and not after its time."""
    question = _waiting(state, command.interaction_id)
    if question is None or question.until is None or command.outcome == "taken":
        return ()
    by = command.by or "somebody"
    if now >= question.until:
        return (_settled(question, "nothing", command.by, "the answer came too late", now),)
    if command.outcome != "answered":
        why = command.reason or "nobody answered"
        return (_settled(question, "nothing", command.by, why, now),)
    if command.port != "retry":
        said = command.reason or command.port or "no"
        return (_settled(question, "give_up", by, f"{by} was asked and said: {said}", now),)
    why = f"{by} was asked and wants another try"
    return _settled(question, "retry", by, why, now), _again(question, by, why, now)


def overdue(state: Execution, now: datetime) -> tuple[QuestionEvent, ...]:
    """Close what nobody answered in time, whoever else may remember it."""
    return tuple(
        _settled(question, "nothing", "", "nobody answered in time", now)
        for _, question in sorted(state.questions.items())
        if question.until is not None and question.until <= now
    )


def not_asked(command: NoteAnswer) -> tuple[()] | Rejected:
    """Return why an answer changes nothing; that a question was taken needs no more."""
    if command.outcome == "taken":
        return ()
    return Rejected(
        f"nobody waits for an answer to the question {command.interaction_id!r}: it was answered, "
        "or taken back when the execution went on without it",
        "not_asked",
    )


def _waiting(state: Execution, interaction_id: str) -> Question | None:
    for question in state.questions.values():
        if question.interaction_id and question.interaction_id == interaction_id:
            return question
    return None


def _asked(question: Question, now: datetime) -> QuestionAsked:
    until = now + timedelta(seconds=PERSON_S)
    plan = Plan(question.strategy, question.reason)
    explanation = explain_question(
        question.failure, plan, question.number, question.explanation, until
    )
    return QuestionAsked(
        attempt_id=question.attempt_id,
        failure_id=question.failure.failure_id,
        until=written(until),
        asked_at=written(now),
        request=interaction_for(
            question.failure, question.attempt_id, plan, explanation, until, leave=False
        ),
        explanation=explanation,
    )


def _settled(
    question: Question, said: Said, by: str, reason: str, now: datetime
) -> QuestionSettled:
    plan = Plan(question.strategy, question.reason)
    return QuestionSettled(
        attempt_id=question.attempt_id,
        interaction_id=question.interaction_id,
        said=said,
        by=by,
        reason=reason,
        settled_at=written(now),
        explanation=explain_answer(
            question.failure, plan, question.number, question.explanation, reason
        ),
        reopens=question.failure.episode_id if said == "retry" else "",
    )


def _again(question: Question, by: str, reason: str, now: datetime) -> AttemptOrdered:
    """Return the try that a person asked for: a run of the node in the execution that ended."""
    failure, number = question.failure, question.number
    plan = Plan("escalate_human", reason)
    return AttemptOrdered(
        failure_id=failure.failure_id,
        workspace_id=failure.pattern.workspace_id,
        attempt_id=derived("attempt", failure.failure_id, number, question.interaction_id),
        attempt_number=number,
        strategy=plan.strategy,
        delay_s=0.0,
        drawn_s=0.0,
        probe=False,
        reason=reason,
        ordered_at=written(now),
        explanation=explain_wanted(failure, plan, number),
        revives=True,
        by=by,
        tried_as=plan.strategy,
    )
