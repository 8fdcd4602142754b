"""What people are told of an incident: what happened, to how many, what was tried, when it ended.

Templates only, like explain.py, from the incident's own data. Told when it opens, after each
attempt that went to see, and when it is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from perdure_contracts.deciding import Gate
from perdure_contracts.failures import Explanation
from perdure_contracts.patterns import PatternFacts

from .explain import ACTION, CATEGORY, MEANING, NO_ACTION, clock, rule_in_words, texts_of
from .faithful import Sources, faithfulness

MESSAGE_MAX: Final = 200
"""Longest part of the message that is quoted, in code points."""
PACE: Final = "20 a second, the earliest deadline first"
QUIET: Final = "10 quiet minutes"
WAITS: Final = "the others wait in line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """An incident as it is told `now`; fields are as in its state.

    With `more` there are more executions than were told apart. `at` is when its gate was set, and
    `next_at` when a shut one lets the next attempt through.
    """

    pattern: PatternFacts
    failures: int
    executions: int
    more: bool
    opened_at: datetime
    gate: Gate
    at: datetime
    next_at: datetime
    probes: int
    now: datetime
    over: bool

    @property
    def healed(self) -> bool:
        """Whether the last attempt that went to see succeeded."""
        return self.gate == "open"


def explain_incident(it: Telling) -> Explanation:
    """Return what people are told of an incident."""
    kind = it.pattern.failure_type
    where = f" The dependency is {it.pattern.dependency}." if it.pattern.dependency else ""
    made = Explanation(
        failure_summary=f"{_many(it)}: {it.pattern.error_message[:MESSAGE_MAX]}",
        root_cause=f"{kind}: {MEANING[kind]}. Recognised by {_known_by(it)}.{where}",
        retry_decision=_ended(it) if it.over else f"{_tried(it)} {_goes_on(it)}",
        confidence_explanation=(
            f"It is one incident because the failures have one signature "
            f"({it.pattern.signature}), and 10 of them came within 60 s."
        ),
        user_action_required=NO_ACTION if it.healed else ACTION[kind],
        estimated_resolution_time=_time(it),
        severity_level=_severity(it),
        display_category=CATEGORY[it.pattern.root_cause_category],
    )
    return replace(made, faithfulness=faithfulness(texts_of(made), Sources(_sources(it))))


def _many(it: Telling) -> str:
    executions = f"{it.executions} {'execution' if it.executions == 1 else 'executions'}"
    at_least = "at least " if it.more else ""
    return f"The same failure came {it.failures} times, in {at_least}{executions}"


def _known_by(it: Telling) -> str:
    return rule_in_words(it.pattern.rule_id)


def _tried(it: Telling) -> str:
    failed = f"{it.probes} that went to see failed" if it.probes else ""
    if it.healed:
        before = f", after {failed}" if failed else ""
        return f"The attempt that went to see succeeded at {clock(it.at)}{before}."
    if it.gate == "shut":
        return f"Of the attempts {failed}, the last at {clock(it.at)}."
    return f"Of the attempts {failed}." if failed else f"It began at {clock(it.opened_at)}."


def _goes_on(it: Telling) -> str:
    match it.gate:
        case "open":
            return f"The others follow, {PACE}."
        case "shut":
            return f"The next one goes at {clock(it.next_at)}; {WAITS}."
        case "probe":
            return f"Since {clock(it.at)} one attempt is made to see; {WAITS}."


def _ended(it: Telling) -> str:
    lasted_s = (it.now - it.opened_at).total_seconds()
    span = (
        f"It began at {clock(it.opened_at)} and was over at {clock(it.now)}, after {lasted_s:.0f} "
        f"s; the last {QUIET} among them."
    )
    if it.healed:
        return f"{_tried(it)} {span}"
    seen = f" {_tried(it)}" if it.probes else ""
    return f"Nothing more was heard, and no attempt has succeeded.{seen} {span}"


def _time(it: Telling) -> str:
    if it.over:
        return f"none: it is over since {clock(it.now)}"
    match it.gate:
        case "open":
            return f"over after {QUIET}"
        case "shut":
            return f"not before {clock(it.next_at)}, when the next attempt goes to see"
        case "probe":
            return "known when the attempt that went to see has ended"


def _severity(it: Telling) -> Literal["low", "medium", "high", "critical"]:
    """Return critical as long as attempts are held up, medium as they follow, then low.

    What ended without a success is for people: nobody knows whether it works again.
    """
    if it.healed:
        return "low" if it.over else "medium"
    return "high" if it.over else "critical"


def _sources(it: Telling) -> Iterable[str]:
    """Yield what the explanation may claim."""
    pattern, kind = it.pattern, it.pattern.failure_type
    yield from (pattern.error_message, pattern.dependency, pattern.signature, kind)
    yield from (MEANING[kind], ACTION[kind], CATEGORY[pattern.root_cause_category], _known_by(it))
    yield from (str(it.failures), str(it.executions), str(it.probes), PACE, QUIET)
    yield from ("10", "60", f"{(it.now - it.opened_at).total_seconds():.0f}")
    yield from map(clock, (it.opened_at, it.at, it.next_at, it.now))
