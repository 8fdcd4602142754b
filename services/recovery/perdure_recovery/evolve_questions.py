"""State from the events of questions to people. Like `evolve`, whose arms these are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import AttemptRefused

from .instants import parsed
from .state import Episode, Execution, Question, episode_of, place, question_of

UNASKED_MAX: Final = 20
"""How many given-up nodes are remembered to be asked about: only the latest can end it all."""


def put_by(state: Execution, event: AttemptRefused) -> Execution:
    """Remember what people are to be asked about, should the execution end by it."""
    failure = episode_of(state, event.failure_id).failure
    question = Question(
        failure=failure,
        attempt_id=event.attempt_id,
        number=event.attempt_number,
        strategy=event.strategy,
        reason=event.reason,
        explanation=event.explanation,
    )
    key = place(failure.node_id, failure.scope)
    others = {k: asked for k, asked in state.questions.items() if k != key}
    return replace(state, questions=_bounded({**others, key: question}))


def _bounded(questions: Mapping[str, Question]) -> Mapping[str, Question]:
    """Forget the oldest of those about which nobody is asked (yet)."""
    unasked = [key for key, question in questions.items() if not question.interaction_id]
    forgotten = set(unasked[:-UNASKED_MAX])
    return {key: each for key, each in questions.items() if key not in forgotten}


def asked(state: Execution, event: QuestionAsked) -> Execution:
    """Remember that people are asked."""
    question = question_of(state, event.attempt_id)
    waiting = replace(
        question,
        interaction_id=event.request.interaction_id,
        until=parsed(event.until),
        explanation=event.explanation,
    )
    key = place(question.failure.node_id, question.failure.scope)
    return replace(state, questions={**state.questions, key: waiting})


def settled(state: Execution, event: QuestionSettled) -> Execution:
    """Forget the question; the episode goes on where people want that."""
    question = question_of(state, event.attempt_id)
    failure = question.failure
    key = place(failure.node_id, failure.scope)
    state = replace(state, questions={k: q for k, q in state.questions.items() if k != key})
    if not event.reopens:
        return state
    again = Episode(failure, retried=question.number - 1)
    return replace(
        state,
        episodes={**state.episodes, key: again},
        lost={k: lost for k, lost in state.lost.items() if k != key},
    )
