"""The strategies, one function each: what it would do about a case, None if it cannot.

To add one takes ten lines, which docs/adding-a-strategy.md shows.
"""

from collections.abc import Callable, Mapping
from typing import Final

from perdure_contracts.failures import Strategy
from perdure_contracts.patterns import FailureType
from perdure_contracts.undoing import BY_REQUEST, COMPENSATE

from .cases import UNDO, Case, Plan, Record
from .means import UNDO_TRIES_MAX, dependency_of
from .sampler import expected
from .waits import CAP_S, LONG_S, NO_WAIT

REDUCE_SHARES: Final = (0.5, 0.25)
"""The share of the input that is kept, at the first and the second try."""
REFRESHES_MAX: Final = 2
"""How often credentials are read anew about one failure."""


def retry_now(case: Case) -> Plan | None:
    """Within a second; only as the first try, and if the other side did not ask for time."""
    if case.retried > 0 or case.retry_after_s is not None:
        return None
    wait = case.at_once()
    kind = case.classification.failure_type
    why = f"{kind} often passes at once: wait {wait.delay_s:.1f} s, then run the node again"
    return Plan("retry_now", why, wait.delay_s, wait.drawn_s)


def backoff(case: Case) -> Plan | None:
    """After a pause that grows from try to try."""
    wait = case.pause()
    if wait.delay_s > LONG_S:
        return None
    kind = case.classification.failure_type
    asked = case.retry_after_s is not None and wait.delay_s > CAP_S
    pause = f"wait {wait.delay_s:.1f} s" + (", as the other side asked" if asked else "")
    why = f"{kind} usually passes: {pause}, then run the node again (try {case.attempt})"
    return Plan("backoff", why, wait.delay_s, wait.drawn_s)


def wait_until(case: Case) -> Plan | None:
    """At the instant that the other side named, however late that is."""
    wait = case.pause()
    if case.retry_after_s is None:
        return None
    kind = case.classification.failure_type
    why = (
        f"{kind}: the other side asked for {case.retry_after_s:.0f} s; "
        f"wait {wait.delay_s:.1f} s, then run the node again"
    )
    return Plan("wait_until", why, wait.delay_s, wait.drawn_s)


def reassign(case: Case) -> Plan | None:
    """By another worker than the one that failed."""
    if not case.runner:
        return None
    wait = case.at_once()
    kind = case.classification.failure_type
    why = f"{kind}: another worker than {case.runner} runs the node, if there is one"
    overrides = {"avoid": case.runner}
    return Plan(
        "reassign",
        why,
        wait.delay_s,
        wait.drawn_s,
        overrides=overrides,
        changed={"not_by": case.runner},
    )


def fallback_model(case: Case) -> Plan | None:
    """By the author's next model of another provider that works and was not asked yet."""
    for fallback in case.means.fallbacks:
        there = dependency_of(fallback)
        if f"fallback_model:{there}" in case.tried or there in case.down:
            continue
        kind = case.classification.failure_type
        why = f"{kind} at {case.dependency}: {there} answers instead"
        return Plan(
            "fallback_model", why, overrides={"parameters": dict(fallback)}, changed={"to": there}
        )
    return None


def reduce_input(case: Case) -> Plan | None:
    """With less input, which the node itself takes away; twice, then it is enough."""
    times = case.times("reduce_input")
    if not case.means.reduce or times >= len(REDUCE_SHARES):
        return None
    share = REDUCE_SHARES[times]
    kind = case.classification.failure_type
    why = f"{kind}: the node leaves out the middle of its input and keeps {share:.0%} of it"
    return Plan("reduce_input", why, overrides={"reduce": share}, changed={"share": share})


def reprompt(case: Case) -> Plan | None:
    """With what was wrong with the model's answer; once, and only if a model made it.

    An answer that cannot be read at all has no problems that a model could be told.
    """
    made_by_model = case.dependency.startswith("llm:") and case.judged
    if not case.means.reprompt or not made_by_model or case.times("reprompt"):
        return None
    kind = case.classification.failure_type
    why = f"{kind}: the model is asked again and told what was wrong with its answer"
    told = list(case.problems)
    return Plan("reprompt", why, overrides={"reprompt": told}, changed={"problems": len(told)})


def refresh_credentials(case: Case) -> Plan | None:
    """With the credential as it stands then: somebody, or its issuer, may have renewed it."""
    if not case.means.credential or case.times("refresh_credentials") >= REFRESHES_MAX:
        return None
    wait = case.pause()
    kind = case.classification.failure_type
    why = (
        f"{kind}: wait {wait.delay_s:.1f} s, then run the node with credential "
        f"{case.means.credential!r} as it stands then"
    )
    return Plan(
        "refresh_credentials",
        why,
        wait.delay_s,
        wait.drawn_s,
        changed={"credential": case.means.credential},
    )


def skip_compensate(case: Case) -> Plan | None:
    """By the way that the author made for failures: the items go there, or the effect is undone."""
    if not case.means.compensate:
        return None
    kind = case.classification.failure_type
    if case.means.compensate == BY_REQUEST:
        return _undone(case, kind)
    why = f"{kind} does not pass by itself; the node has a way for what fails, which goes on"
    return Plan("skip_compensate", why, compensate=case.means.compensate)


def _undone(case: Case, kind: FailureType) -> Plan | None:
    """Undo what the node may have done, before it is given up."""
    times = case.times("skip_compensate")
    if times >= UNDO_TRIES_MAX:
        return None
    wait = case.pause() if case.compensating else NO_WAIT
    again = f"the compensation failed ({kind}): wait {wait.delay_s:.1f} s, then try it again"
    why = f"{kind} does not pass by itself; what the node may have done is undone"
    return Plan(
        UNDO,
        again if case.compensating else why,
        wait.delay_s,
        wait.drawn_s,
        overrides={COMPENSATE: True},
        changed={"undone": True},
        helps=expected(case.records.get(UNDO, Record()), 0),
    )


def escalate_human(case: Case) -> Plan:
    """By a person."""
    kind = case.classification.failure_type
    why = f"{kind} does not pass by itself; no automatic strategy for it is available"
    return Plan("escalate_human", why)


def dead_letter(case: Case) -> Plan:
    """By nobody now: it is kept where it can be sent again."""
    kind = case.classification.failure_type
    return Plan("dead_letter", f"{kind}: somebody wanted the end, so nothing is tried")


STRATEGIES: Final[Mapping[Strategy, Callable[[Case], Plan | None]]] = {
    "retry_now": retry_now,
    "backoff": backoff,
    "wait_until": wait_until,
    "reassign": reassign,
    "fallback_model": fallback_model,
    "reduce_input": reduce_input,
    "reprompt": reprompt,
    "refresh_credentials": refresh_credentials,
    "skip_compensate": skip_compensate,
    "escalate_human": escalate_human,
    "dead_letter": dead_letter,
}
"""Every strategy by its name."""
