"""The sentences of explanations: what each type means, why a strategy suits it, what came of it.

Where there are several, the failure's id chooses, so the same decision is told the same way
again. `{…}` are slots; explain.py fills them from the decision's own data and nothing else.
"""

from typing import Final, Literal

from perdure_contracts.failures import Strategy
from perdure_contracts.patterns import FailureType

Outcome = Literal[
    "succeeded",
    "recovered",
    "compensated",
    "same_failure",
    "other_failure",
    "superseded",
    "relapsed",
    "held",
]

MEANING: Final[dict[FailureType, str]] = {
    "rate_limit": "the other side asked for fewer calls",
    "quota_exhausted": "a quota or credit is used up",
    "timeout": "no answer came in time",
    "network": "the connection failed",
    "dependency_down": "the other side is not able to answer now",
    "auth": "the credentials or certificates were not accepted",
    "permission": "what was asked for is not allowed",
    "validation": "the input was refused as wrong",
    "context_length": "the input is longer than the model can read",
    "model_refusal": "the model or its provider declined to answer",
    "output_invalid": "the answer could not be read",
    "tool_error": "a tool failed",
    "resource_exhausted": "memory, space, connections or a limit ran out",
    "conflict": "somebody else changed the same thing at the same time",
    "data_missing": "something that was referred to does not exist",
    "worker_lost": "the worker that ran the node was lost",
    "code_bug": "the code or the statement is wrong",
    "cancelled": "somebody stopped it",
    "unknown": "nothing told what kind of failure it was",
}

ACTION: Final[dict[FailureType, str]] = {
    "rate_limit": "Lower the call rate or raise the limit with the provider, then retry the node.",
    "quota_exhausted": "Raise the quota or add credit with the provider, then retry the node.",
    "timeout": "Check whether the other side is slow, or raise the node's timeout; then retry it.",
    "network": "Check that the host can be reached from here, then retry the node.",
    "dependency_down": "Check the other side's status, then retry the node once it is back.",
    "auth": "Renew the credential or certificate that the node uses, then retry the node.",
    "permission": "Grant the access that the node needs, or change the node; then retry it.",
    "validation": "Correct the node's parameters or its input, then run the workflow again.",
    "context_length": "Shorten the input or choose a model that reads more, then retry the node.",
    "model_refusal": "Rephrase the request or choose another model, then retry the node.",
    "output_invalid": "Look at the answer and say in the node what form it has, then retry it.",
    "tool_error": "Look at what the tool reported, mend it, then retry the node.",
    "resource_exhausted": "Free or raise what ran out, then retry the node.",
    "conflict": "Read the current version, decide which change counts, then retry the node.",
    "data_missing": "Create what is missing or correct the reference, then retry the node.",
    "worker_lost": "Check the workers' memory and health, then retry the node.",
    "code_bug": "Correct the code or the statement, then run the workflow again.",
    "cancelled": "none",
    "unknown": "Read the message, and retry the node if it looks passing.",
}
DOUBTFUL: Final = "Look first whether the node's effect has happened: a retry could double it. "
"""Said before the action where something outside may have been done already."""

CATEGORY: Final[dict[str, str]] = {
    "provider": "Other service",
    "network": "Network",
    "configuration": "Configuration",
    "credentials": "Credentials",
    "input": "Input data",
    "model": "AI model",
    "code": "Code",
    "capacity": "Capacity",
    "platform": "Platform",
}

RULES: Final[dict[str, str]] = {
    "code": "the code {} of the other side",
    "sqlstate": "the SQLSTATE {}",
    "engine": "the engine's own code {}",
    "class": "the exception class {}",
    "cause": "the cause {}",
    "status": "the HTTP status {}",
    "message": "words of the message ({})",
    "family": "its likeness to failures that are known",
    "letter": "the code {} with which its record was refused",
    "override": "what the node's author says",
    "unknown": "no rule that knew it",
}
"""What a classification rule looked at, by the family of its id."""

SUMMARY: Final = (
    "{what} failed: {message}",
    "{what} ended with an error: {message}",
    "{what} did not complete: {message}",
)

ORDERED_PLAINLY: Final = ("Try {number}, {strategy}: {reason}.",)
"""How an attempt is told by a strategy that has no sentence of its own."""
ORDERED: Final[dict[Strategy, tuple[str, ...]]] = {
    "retry_now": (
        "Try {number}, retry_now: {reason}.",
        "Try {number} follows at once (retry_now): {reason}.",
    ),
    "backoff": (
        "Try {number}, backoff: {reason}.",
        "Try {number} comes after a pause (backoff): {reason}.",
    ),
    "wait_until": (
        "Try {number}, wait_until: {reason}.",
        "Try {number} waits for its instant (wait_until): {reason}.",
    ),
    "reassign": (
        "Try {number}, reassign: {reason}.",
        "Try {number} goes to another worker (reassign): {reason}.",
    ),
    "fallback_model": (
        "Try {number}, fallback_model: {reason}.",
        "Try {number} asks another model (fallback_model): {reason}.",
    ),
    "reduce_input": (
        "Try {number}, reduce_input: {reason}.",
        "Try {number} sends less (reduce_input): {reason}.",
    ),
    "reprompt": (
        "Try {number}, reprompt: {reason}.",
        "Try {number} tells the model what was wrong (reprompt): {reason}.",
    ),
    "refresh_credentials": (
        "Try {number}, refresh_credentials: {reason}.",
        "Try {number} uses renewed credentials (refresh_credentials): {reason}.",
    ),
    "skip_compensate": (
        "Try {number}, skip_compensate: {reason}.",
        "Try {number} passes over the node and compensates (skip_compensate): {reason}.",
    ),
    "escalate_human": (
        "Not retried (escalate_human): {reason}.",
        "Not retried, left to a person (escalate_human): {reason}.",
    ),
    "dead_letter": (
        "Not retried (dead_letter): {reason}.",
        "Not retried, and nothing more is tried (dead_letter): {reason}.",
    ),
}
"""What was decided, by strategy, where no guard rail refused."""

REFUSED: Final = (
    "Not retried: {refused}. Without that: {strategy}, {reason}.",
    "Not retried, because {refused}. Otherwise it had been {strategy}: {reason}.",
)

SUITS: Final[dict[tuple[FailureType, Strategy], str]] = {
    ("rate_limit", "backoff"): "Limits are counted over time, so a pause is the remedy.",
    ("rate_limit", "wait_until"): "The other side named the time from which it takes calls.",
    ("rate_limit", "fallback_model"): "Another provider counts its own limit.",
    ("quota_exhausted", "fallback_model"): "Another provider has its own quota.",
    ("quota_exhausted", "wait_until"): "The quota is renewed at a known time.",
    ("timeout", "backoff"): "What was slow is often fast again a little later.",
    ("timeout", "fallback_model"): "Another provider may answer in time.",
    ("network", "retry_now"): "A broken connection is often a single accident.",
    ("network", "backoff"): "A network that failed twice needs a pause.",
    ("network", "fallback_model"): "Another provider is reached by another way.",
    ("dependency_down", "fallback_model"): "An outage of one provider seldom is one of another.",
    ("dependency_down", "backoff"): "Short outages end while we wait.",
    ("dependency_down", "wait_until"): "The outage is known, and so is when to look again.",
    ("auth", "refresh_credentials"): "A credential that ran out can be renewed without a person.",
    ("context_length", "reduce_input"): "A shorter input fits where this one did not.",
    ("context_length", "fallback_model"): "Another model reads more at once.",
    ("model_refusal", "fallback_model"): "Another model draws its lines elsewhere.",
    ("output_invalid", "reprompt"): "A model that is told its mistake mostly mends it.",
    ("output_invalid", "retry_now"): "The next answer may be well formed.",
    ("output_invalid", "backoff"): "The other side may answer well again after a pause.",
    ("tool_error", "backoff"): "A tool may work again after a pause.",
    ("resource_exhausted", "reassign"): "Another worker has its own memory and space.",
    ("resource_exhausted", "backoff"): "What ran out is often given back in a while.",
    ("conflict", "retry_now"): "The next try reads what the other one has written.",
    ("conflict", "backoff"): "With a pause the two do not meet again.",
    ("data_missing", "fallback_model"): "The model is not there; another one is.",
    ("worker_lost", "reassign"): "Another worker runs the node from its beginning.",
    ("worker_lost", "retry_now"): "The node itself gave no reason to fail.",
    ("worker_lost", "backoff"): "Workers need a while to come back.",
    ("unknown", "backoff"): "What nobody knows is tried with a pause, within the limits.",
}
"""Why a strategy suits a type: said with a decision that is carried out."""

WAITING: Final = (
    "about {delay_s:.1f} s, at {due}",
    "{delay_s:.1f} s until the next try, at {due}",
)

OUTCOMES: Final[dict[Outcome, tuple[str, ...]]] = {
    "succeeded": (
        "The node completed {resolution_s:.1f} s after it first failed; this counts once the "
        "execution has ended or 10 minutes have passed.",
        "It worked, {resolution_s:.1f} s after the first failure; that is confirmed at the "
        "execution's end or after 10 minutes.",
    ),
    "recovered": (
        "The node completed {resolution_s:.1f} s after it first failed.",
        "It worked and stayed so: completed {resolution_s:.1f} s after the first failure.",
    ),
    "compensated": (
        "What the node had done was undone, {resolution_s:.1f} s after it first failed.",
        "The compensation worked, {resolution_s:.1f} s after the first failure.",
    ),
    "same_failure": (
        "The try ended with the same failure.",
        "It did not help: the same failure came again.",
    ),
    "other_failure": (
        "The try ended with another failure.",
        "It did not help: another failure came.",
    ),
    "superseded": (
        "The engine went on without the try: it was stopped or had waited long enough.",
        "The try was not needed any more: the engine stopped or went on without it.",
    ),
    "relapsed": (
        "The node failed the same way again after it had completed.",
        "It did not stay well: the node completed and then failed the same way again.",
    ),
    "held": (
        "Nothing was sent, for a breaker was open: it was no try, and counts as none.",
        "An open breaker held it back before anything was sent, so it counts as no try.",
    ),
}

NEXT: Final[dict[Outcome, str]] = {
    "succeeded": "took {resolution_s:.1f} s",
    "recovered": "took {resolution_s:.1f} s",
    "compensated": "took {resolution_s:.1f} s",
    "same_failure": "see the next decision",
    "other_failure": "see the next decision",
    "superseded": "none: nothing is to be done",
    "relapsed": "see the next decision",
    "held": "see the next decision",
}
"""How long it takes, or took, once the outcome is known."""
