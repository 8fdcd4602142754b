"""Why recovery did what it did, in words people read. Templates only: no word is invented.

Every number, name and reason comes from the decision's own data, so an explanation can be
made again from the journal. `explain_decision` fills all columns when a decision is made,
`explain_outcome` when it is known what came of it.
"""

from typing import Final, Literal

from perdure_contracts.recovery import Explanation, FailureNoted, FailureType

from .strategy import Plan

SUMMARY_MAX: Final = 200
"""Longest part of the message that a summary quotes, in code points."""

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
_RULES: Final[dict[str, str]] = {
    "code": "the code {} of the other side",
    "sqlstate": "the SQLSTATE {}",
    "engine": "the engine's own code {}",
    "class": "the exception class {}",
    "cause": "the cause {}",
    "status": "the HTTP status {}",
    "message": "words of the message ({})",
    "override": "what the node's author says",
    "unknown": "no rule that knew it",
}

Outcome = Literal[
    "succeeded", "recovered", "same_failure", "other_failure", "superseded", "relapsed"
]
_OUTCOMES: Final[dict[Outcome, str]] = {
    "succeeded": "The node completed {resolution_s:.1f} s after it first failed; this counts once "
    "the execution has ended or 10 minutes have passed.",
    "recovered": "The node completed {resolution_s:.1f} s after it first failed.",
    "same_failure": "The try ended with the same failure.",
    "other_failure": "The try ended with another failure.",
    "superseded": "The engine went on without the try: it was stopped or had waited long enough.",
    "relapsed": "The node failed the same way again after it had completed.",
}


def explain_decision(
    noted: FailureNoted,
    plan: Plan,
    attempt_number: int,
    refused: str | None,
    *,
    doubtful: bool,
) -> Explanation:
    """Return the explanation of a decision; `refused` is a guard rail's reason, if one refused.

    `doubtful` says that the node may have done something outside that must not be doubled.
    """
    acts = plan.automatic and refused is None
    kind = noted.pattern.failure_type
    return Explanation(
        failure_summary=_summary(noted),
        root_cause=_root_cause(noted),
        retry_decision=_decision(plan, attempt_number, refused),
        confidence_explanation=_confidence(noted),
        user_action_required="none" if acts else ACTION[kind],
        estimated_resolution_time=f"about {plan.delay_s:.1f} s" if acts else _without_us(kind),
        severity_level="medium" if acts else _severity(kind, doubtful),
        display_category=CATEGORY[noted.pattern.root_cause_category],
    )


def explain_outcome(
    noted: FailureNoted, attempt_number: int, reason: str, outcome: Outcome, resolution_s: float
) -> Explanation:
    """Return the explanation of an automatic attempt after its outcome.

    `reason` is why it was made, `resolution_s` the seconds since the first failure.
    """
    well = outcome in ("succeeded", "recovered")
    told = _OUTCOMES[outcome].format(resolution_s=resolution_s)
    return Explanation(
        failure_summary=_summary(noted),
        root_cause=_root_cause(noted),
        retry_decision=f"Try {attempt_number}: {reason}. {told}",
        confidence_explanation=_confidence(noted),
        user_action_required="none",
        estimated_resolution_time=f"took {resolution_s:.1f} s" if well else "see the next decision",
        severity_level="low" if well or outcome == "superseded" else "medium",
        display_category=CATEGORY[noted.pattern.root_cause_category],
    )


def rule_in_words(rule_id: str) -> str:
    """Return what a classification rule looked at: `status:503` is "the HTTP status 503"."""
    family, _, rest = rule_id.partition(":")
    return _RULES[family].format(rest)


def _summary(noted: FailureNoted) -> str:
    message = noted.message or noted.pattern.error_type
    if not noted.node_id:
        return f"The execution failed: {message[:SUMMARY_MAX]}"
    kind = f" ({noted.node_type})" if noted.node_type else ""
    return f"{noted.node_name or noted.node_id}{kind} failed: {message[:SUMMARY_MAX]}"


def _root_cause(noted: FailureNoted) -> str:
    kind = noted.pattern.failure_type
    where = f" The dependency is {noted.pattern.dependency}." if noted.pattern.dependency else ""
    known_by = rule_in_words(noted.pattern.rule_id)
    return f"{kind}: {MEANING[kind]}. Recognised by {known_by}.{where}"


def _confidence(noted: FailureNoted) -> str:
    seen = noted.evidence
    transient = {True: "passing", False: "lasting", None: "not known to pass or to last"}
    return (
        f"An unchanged retry is expected to work with probability {noted.success_mean:.2f}: "
        f"{seen['own']:.1f} observations here and {seen['shared']:.1f} elsewhere, beside what is "
        f"usual for {noted.pattern.failure_type}. The failure is taken as "
        f"{transient[noted.transient]} (confidence {noted.confidence:.2f})."
    )


def _decision(plan: Plan, attempt_number: int, refused: str | None) -> str:
    if refused is not None:
        return f"Not retried: {refused}. Without that: {plan.strategy}, {plan.reason}."
    if plan.automatic:
        return f"Try {attempt_number}, {plan.strategy}: {plan.reason}."
    return f"Not retried ({plan.strategy}): {plan.reason}."


def _without_us(kind: FailureType) -> str:
    return "none: nothing is to be done" if ACTION[kind] == "none" else "until a person acts"


def _severity(kind: FailureType, doubtful: bool) -> Literal["low", "high", "critical"]:
    if doubtful:
        return "critical"
    return "low" if ACTION[kind] == "none" else "high"
