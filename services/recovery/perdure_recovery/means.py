"""What a failed node can do differently, as the engine told it. Pure; what is missing it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json
from perdure_contracts.patterns import FailureType

_TYPES: Final[tuple[FailureType, ...]] = get_args(FailureType)
PROBLEMS_MAX: Final = 5
PROBLEM_LENGTH_MAX: Final = 300

UNDO_TRIES_MAX: Final = 3
"""How often a compensation is tried; nobody but people can help then."""


@dataclass(frozen=True, slots=True)
class Means:
    """The ways of one node: sets of parameters of other models, what its subtype can change.

    `credential` is the handle that an attempt opens anew, `compensate` what giving up does, or that
    what was done can be undone (`BY_REQUEST`); `usd` is the most that an attempt costs, and
    `failure_type` what the node's failures are, if its author has said so.
    """

    fallbacks: Sequence[Mapping[str, Any]] = ()
    reduce: bool = False
    reprompt: bool = False
    credential: str = ""
    compensate: str = ""
    usd: float = 0.0
    failure_type: FailureType | None = None


def means_from(told: Json) -> Means:
    """Return the means that a failure tells."""
    if not isinstance(told, dict):
        return Means()
    found = cast("dict[str, Any]", told)
    return Means(
        fallbacks=tuple(found.get("fallback_model", ())),
        reduce=bool(found.get("reduce_input")),
        reprompt=bool(found.get("reprompt")),
        credential=str(found.get("refresh_credentials", "")),
        compensate=str(found.get("skip_compensate", "")),
        usd=float(found.get("usd", 0.0)),
        failure_type=next((k for k in _TYPES if k == found.get("failure_type")), None),
    )


def dependency_of(fallback: Mapping[str, Any]) -> str:
    """Return what the model of a fallback is called as a dependency."""
    return f"llm:{fallback['provider']}:{fallback['model']}"


def problems_of(error: ErrorFacts) -> tuple[str, ...]:
    """Return what was wrong with an answer, in the words of who judged it."""
    detail = cast("dict[str, Any]", error.detail) if isinstance(error.detail, dict) else {}
    listed = cast("list[Any]", detail.get("problems") or [])
    texts = [_text_of(each) for each in listed]
    told = [text[:PROBLEM_LENGTH_MAX] for text in texts if text][:PROBLEMS_MAX]
    return tuple(told) or (error.message[:PROBLEM_LENGTH_MAX],)


def _text_of(problem: Any) -> str:
    if isinstance(problem, dict):
        return str(cast("dict[str, Any]", problem).get("message", ""))
    return str(problem)
