"""Why recovery did what it did, in words people read. Templates only: no word is invented.

Every number, name and reason comes from the decision's own data, so an explanation can be
made again from the journal. `explain_decision` fills all columns when a decision is made,
`explain_outcome` when it is known what came of it. The sentences are in explain_templates.py;
faithful.py measures each explanation against what it was made from.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, cast

from perdure_contracts.failures import Explanation
from perdure_contracts.patterns import FailureType
from perdure_contracts.recovery import FailureNoted

from . import explain_templates as templates
from .explain_templates import ACTION, CATEGORY, MEANING, Outcome
from .faithful import Sources, faithfulness
from .instants import parsed
from .strategy import Plan

__all__ = [
    "ACTION",
    "CATEGORY",
    "MEANING",
    "Outcome",
    "clock",
    "drafted",
    "explain_decision",
    "explain_outcome",
    "measured",
    "rule_in_words",
    "sources_of",
    "texts_by_column",
    "texts_of",
]

SUMMARY_MAX: Final = 200
"""Longest part of the message that a summary quotes, in code points."""
NO_WAIT: Final = "none: nothing is to be done"
UNTIL_PERSON: Final = "until a person acts"
NO_ACTION: Final = "none"
_TEXTS: Final = tuple(
    field.name for field in fields(Explanation) if field.name not in ("faithfulness",)
)


def explain_decision(
    noted: FailureNoted,
    plan: Plan,
    attempt_number: int,
    refused: str | None,
    *,
    doubtful: bool,
    now: datetime | None = None,
    incident: bool = False,
) -> Explanation:
    """Return the explanation of a decision; `refused` is a guard rail's reason, if one refused.

    `doubtful` says that the node may have done something outside that must not be doubled,
    `incident` that many fail alike. `now` is when it was decided, else when the node failed.
    """
    made = drafted(
        noted, plan, attempt_number, refused, doubtful=doubtful, now=now, incident=incident
    )
    due = clock(_due(noted, plan, now))
    facts = (plan.reason, refused or "", attempt_number, plan.delay_s, plan.strategy, due)
    return measured(made, noted, facts)


def drafted(
    noted: FailureNoted,
    plan: Plan,
    attempt_number: int,
    refused: str | None,
    *,
    doubtful: bool,
    now: datetime | None = None,
    incident: bool = False,
) -> Explanation:
    """Return the same before anybody has measured it: for those that say more, and measure that."""
    acts = plan.automatic and refused is None
    kind = noted.pattern.failure_type
    due = clock(_due(noted, plan, now))
    waiting = _pick(templates.WAITING, noted).format(delay_s=plan.delay_s, due=due)
    action = NO_ACTION if acts else ACTION[kind]
    if doubtful and action != NO_ACTION:
        action = templates.DOUBTFUL + action
    return Explanation(
        failure_summary=_summary(noted),
        root_cause=_root_cause(noted),
        retry_decision=_decision(noted, plan, attempt_number, refused),
        confidence_explanation=_confidence(noted),
        user_action_required=action,
        estimated_resolution_time=waiting if acts else _without_us(kind),
        severity_level=_severity(kind, acts=acts, critical=doubtful or incident),
        display_category=CATEGORY[noted.pattern.root_cause_category],
    )


def _due(noted: FailureNoted, plan: Plan, now: datetime | None) -> datetime:
    return (now or parsed(noted.failed_at)) + timedelta(seconds=plan.delay_s)


def explain_outcome(
    noted: FailureNoted, attempt_number: int, reason: str, outcome: Outcome, resolution_s: float
) -> Explanation:
    """Return the explanation of an automatic attempt after its outcome.

    `reason` is why it was made, `resolution_s` the seconds since the first failure.
    """
    well = outcome in ("succeeded", "recovered", "compensated")
    told = _pick(templates.OUTCOMES[outcome], noted).format(resolution_s=resolution_s)
    made = Explanation(
        failure_summary=_summary(noted),
        root_cause=_root_cause(noted),
        retry_decision=f"Try {attempt_number}: {reason}. {told}",
        confidence_explanation=_confidence(noted),
        user_action_required=NO_ACTION,
        estimated_resolution_time=templates.NEXT[outcome].format(resolution_s=resolution_s),
        severity_level="low" if well or outcome in ("superseded", "held") else "medium",
        display_category=CATEGORY[noted.pattern.root_cause_category],
    )
    return measured(made, noted, (reason, attempt_number, resolution_s))


def rule_in_words(rule_id: str) -> str:
    """Return what a classification rule looked at: `status:503` is "the HTTP status 503"."""
    family, _, rest = rule_id.partition(":")
    return templates.RULES[family].format(rest)


def texts_of(explanation: Explanation) -> tuple[str, ...]:
    """Return the texts of an explanation, in the order of its columns."""
    return tuple(getattr(explanation, name) for name in _TEXTS)


def texts_by_column(explanation: Explanation) -> dict[str, object]:
    """Return an explanation's texts and how faithful it is, by the names of their columns."""
    return {field.name: getattr(explanation, field.name) for field in fields(Explanation)}


def sources_of(noted: FailureNoted, facts: Iterable[object] = ()) -> Sources:
    """Return what an explanation of a failure may claim; `facts` are those of the decision.

    What the rules' own words say (the ten minutes of a confirmation, a failure type's meaning)
    is theirs to say.
    """
    pattern = noted.pattern
    likely = (noted.message, noted.node_name, noted.node_type, MEANING[pattern.failure_type])
    own = (
        *(pattern.dependency, pattern.rule_id, pattern.failure_type, noted.node_id),
        *(CATEGORY[pattern.root_cause_category], rule_in_words(pattern.rule_id)),
        *(noted.success_mean, noted.confidence, *_leaves(noted.evidence)),
        *(ACTION[pattern.failure_type], "10 minutes"),
        *(*_leaves(pattern.context), pattern.error_type, pattern.error_message),
    )
    return Sources(map(str, (*facts, *likely, *own)))


def measured(made: Explanation, noted: FailureNoted, facts: Sequence[object]) -> Explanation:
    """Return an explanation with how faithful it is to a failure and the decision's facts."""
    return replace(made, faithfulness=faithfulness(texts_of(made), sources_of(noted, facts)))


def _leaves(value: Any) -> Iterable[object]:
    if isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from _leaves(item)
    elif value is not None:
        yield value


def _pick(variants: Sequence[str], noted: FailureNoted) -> str:
    """Return the variant that follows from the failure's id: the same whenever it is asked."""
    digest = hashlib.sha256(f"{noted.failure_id}/words".encode()).digest()
    return variants[digest[0] % len(variants)]


def _summary(noted: FailureNoted) -> str:
    message = (noted.message or noted.pattern.error_type)[:SUMMARY_MAX]
    if not noted.node_id:
        return f"The execution failed: {message}"
    kind = f" ({noted.node_type})" if noted.node_type else ""
    what = f"{noted.node_name or noted.node_id}{kind}"
    return _pick(templates.SUMMARY, noted).format(what=what, message=message)


def _root_cause(noted: FailureNoted) -> str:
    pattern = noted.pattern
    kind = pattern.failure_type
    where = f" The dependency is {pattern.dependency}." if pattern.dependency else ""
    known_by = rule_in_words(pattern.rule_id)
    family = cast("dict[str, Any]", pattern.context or {}).get("family")
    if family is not None:
        known_by += f" ({family['patterns']} patterns, seen {family['occurrences']} times)"
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


def _decision(noted: FailureNoted, plan: Plan, attempt_number: int, refused: str | None) -> str:
    if refused is not None:
        return _pick(templates.REFUSED, noted).format(
            refused=refused, strategy=plan.strategy, reason=plan.reason
        )
    said = _pick(templates.ORDERED.get(plan.strategy, templates.ORDERED_PLAINLY), noted)
    said = said.format(number=attempt_number, reason=plan.reason, strategy=plan.strategy)
    suits = templates.SUITS.get((noted.pattern.failure_type, plan.strategy))
    return f"{said} {suits}" if suits else said


def _without_us(kind: FailureType) -> str:
    return NO_WAIT if ACTION[kind] == NO_ACTION else UNTIL_PERSON


def _severity(
    kind: FailureType, *, acts: bool, critical: bool
) -> Literal["low", "medium", "high", "critical"]:
    """Return low where nothing is to be done, medium while we wait, high for a person.

    Critical is what may be doubled or lost, and an incident; not what we simply try again.
    """
    if acts:
        return "medium"
    if critical:
        return "critical"
    return "low" if ACTION[kind] == NO_ACTION else "high"


def clock(moment: datetime) -> str:
    """Return an instant as explanations name it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
