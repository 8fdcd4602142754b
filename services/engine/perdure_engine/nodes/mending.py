"""What a node can be changed into for another attempt, so that recovery can ask for it. Pure.

A subtype says here how its own parameters change: to another model, to less input, to a question
that says what was wrong with the last answer. Recovery knows only that it can be done.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from perdure_contracts.message import Json

Resolved: TypeAlias = Mapping[str, Any]

UNDOES: Final = "undoes"
"""In parameters that undo what others did: their effects have idempotency keys of their own."""

KEPT_MIN: Final = 200
"""Characters of a prompt that are always kept, at each end together."""

CUT: Final = "\n[… {cut} characters left out …]\n"

PROBLEMS_MAX: Final = 5
PROBLEM_LENGTH_MAX: Final = 300
"""How much of what was wrong with an answer is told."""


def no_others(parameters: Resolved) -> Sequence[Json]:
    """Return nothing: there is only one way to do it."""
    del parameters
    return ()


@dataclass(frozen=True)
class Mending:
    """How a subtype's resolved parameters are changed; None where they cannot be.

    `fallbacks(parameters)` are sets of parameters that make another provider do the work.
    `reduce(parameters, share)` keeps about that share of the input, `reprompt(parameters,
    problems)` says what was wrong with the answer before. `undo(parameters)` are the parameters
    (with `UNDOES`) that undo what those did, None where the author has not said how.
    """

    fallbacks: Callable[[Resolved], Sequence[Json]] = no_others
    reduce: Callable[[Resolved, float], Resolved] | None = None
    reprompt: Callable[[Resolved, Sequence[str]], Resolved] | None = None
    undo: Callable[[Resolved], Resolved | None] | None = None


def shortened(text: str, share: float) -> str:
    """Return a text with its middle left out: the beginning and the end say what is asked."""
    keep = max(KEPT_MIN, int(len(text) * share))
    if keep >= len(text):
        return text
    head = keep // 2
    return text[:head] + CUT.format(cut=len(text) - keep) + text[len(text) - (keep - head) :]


# An agent -------------------------------------------------------------------------------


def agents_fallbacks(parameters: Resolved) -> Sequence[Json]:
    """Return the author's other models at other providers, as parameters.

    The same provider at the same address would fail the same way, so it is none.
    """
    here = (parameters.get("provider") or "openai", parameters.get("base_url") or "")
    found: list[Json] = []
    for each in parameters.get("fallbacks") or ():
        there = (each.get("provider") or "openai", each.get("base_url") or "")
        if there != here:
            found.append(
                {
                    "provider": there[0],
                    "model": each["model"],
                    "base_url": each.get("base_url") or "",
                    "credential": each.get("credential"),
                }
            )
    return found


def agents_less(parameters: Resolved, share: float) -> Resolved:
    """Return an agent's parameters with a shorter prompt, and shorter answers of its tools."""
    prompt = shortened(str(parameters.get("prompt") or ""), share)
    return {**parameters, "prompt": prompt, "reduced_to": share}


def agents_again(parameters: Resolved, problems: Sequence[str]) -> Resolved:
    """Return an agent's parameters with what was wrong with its last answer in the prompt."""
    told = "\n".join(f"- {each[:PROBLEM_LENGTH_MAX]}" for each in problems[:PROBLEMS_MAX])
    asked = parameters.get("prompt") or ""
    prompt = (
        f"{asked}\n\nAn earlier answer to this could not be used:\n{told}\n"
        "Answer so that this is right."
    )
    return {**parameters, "prompt": prompt}


AGENT: Final = Mending(fallbacks=agents_fallbacks, reduce=agents_less, reprompt=agents_again)
