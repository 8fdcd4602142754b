"""Trigger events that start nothing: counted by source and reason, and not remembered otherwise."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from perdure_common.decider import Facts, Rejected
from perdure_contracts.scheduler import FilterFailed, ReceiveTrigger, TriggerAccepted, TriggerEvent
from prometheus_client import CollectorRegistry, Counter

from .decide import decide_trigger
from .match import subtype_of
from .state import Trigger

SOURCES_MAX = 50
"""Sources that have a count of their own in a process; the rest are `other`: anybody names them."""

OTHER = "other"
LABEL_LENGTH_MAX = 100

DecideTrigger: TypeAlias = Callable[
    [Trigger, ReceiveTrigger, Facts, datetime], tuple[TriggerEvent, ...] | Rejected
]


class Unmatched:
    """Counts what starts nothing; `decide` is the pure decision, watched."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sources: set[str] = set()
        self._counter = Counter(
            "perdure_trigger_events_unmatched",
            "Trigger events that started nothing: no trigger listens to what they are about, "
            "filters left them out, or filters failed. A batch that goes again counts again.",
            ["source", "subtype", "reason"],
            registry=registry,
        )

    def decide(
        self, state: Trigger, command: ReceiveTrigger, facts: Facts, now: datetime
    ) -> tuple[TriggerEvent, ...] | Rejected:
        """Return what a trigger event starts, as `decide_trigger` does."""
        decided = decide_trigger(state, command, facts, now)
        reason = why_nothing(decided, facts)
        if reason:
            subtype = subtype_of(command.event_type, command.extensions)
            self._counter.labels(self._label(command.source), subtype, reason).inc()
        return decided

    def _label(self, source: str) -> str:
        if source not in self._sources:
            if len(self._sources) >= SOURCES_MAX or len(source) > LABEL_LENGTH_MAX:
                return OTHER
            self._sources.add(source)
        return source


def why_nothing(decided: tuple[TriggerEvent, ...] | Rejected, facts: Facts) -> str:
    """Return why an event starts nothing; "" if it starts something or was refused.

    `not_listened`: no trigger that serves has its key; `left_out`: those that have it ask for
    other events; `filter_failed`: a filter could not judge it.
    """
    if isinstance(decided, Rejected):
        return ""
    if any(isinstance(each, TriggerAccepted) for each in decided):
        return ""
    if any(isinstance(each, FilterFailed) for each in decided):
        return "filter_failed"
    return "left_out" if any(facts.values()) else "not_listened"
