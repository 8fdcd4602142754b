"""What must hold of every execution that recovery helps; for `perdure verify` (I13).

Automatic attempts are bounded for each node and each day, every one of them is about a failure
that was noted, and each failure is decided once. An engine that was restored from a backup asks
once more: what it was not answered in time is decided anew.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from perdure_common.decider import Recorded
from perdure_contracts.deciding import AttemptStopped
from perdure_contracts.recovery import AttemptFailed, AttemptOrdered, AttemptRefused, FailureNoted

from .cases import counts
from .guard import EXECUTION_ATTEMPTS_MAX, NODE_ATTEMPTS_MAX
from .state import day_of, place


class Judge:
    """Sees one stream; implements `perdure_common.service.Judge`."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._ordered: set[str] = set()
        self._attempts: dict[str, str] = {}
        self._refused: set[str] = set()
        self._unanswered: set[str] = set()
        self._tried: Counter[str] = Counter()
        self._days: Counter[str] = Counter()

    def see(self, recorded: Recorded[Any]) -> Iterable[tuple[str, str, str]]:
        """Return what the next event breaks."""
        event = recorded.event
        if isinstance(event, FailureNoted):
            if event.failure_id in self._places and event.failure_id not in self._unanswered:
                yield "I13", f"failure {event.failure_id}", "it was noted more than once"
            if event.failure_id in self._unanswered:  # as if nothing had been decided
                self._unanswered.remove(event.failure_id)
                self._refused.discard(event.failure_id)
            self._places[event.failure_id] = place(event.node_id, event.scope)
        elif isinstance(event, AttemptFailed) and event.held_back:
            failure_id = self._attempts.get(event.attempt_id, "")
            if not failure_id:
                return
            self._tried[self._places.get(failure_id, "")] -= 1
            self._days[day_of(recorded.recorded_at)] -= 1
        elif isinstance(event, AttemptStopped):
            self._ended(event)
        elif isinstance(event, AttemptRefused):
            yield from self._decided(event)
            self._ended(event)
        elif isinstance(event, AttemptOrdered):
            yield from self._decided(event)
            self._ordered.add(event.failure_id)
            self._unanswered.discard(event.failure_id)
            if counts(event.strategy, event.by):
                self._attempts[event.attempt_id] = event.failure_id
                yield from self._counted(event, day_of(recorded.recorded_at))

    def _ended(self, event: AttemptRefused | AttemptStopped) -> None:
        """Remember what is not tried, and whether the engine has heard of a verdict."""
        self._refused.add(event.failure_id)
        if not event.answered and event.failure_id not in self._ordered:
            self._unanswered.add(event.failure_id)

    def _decided(self, event: AttemptOrdered | AttemptRefused) -> Iterable[tuple[str, str, str]]:
        where = f"failure {event.failure_id}"
        if event.failure_id not in self._places:
            yield "I13", where, "it was decided, but never noted"
        again = event.failure_id in self._ordered | self._refused
        late = isinstance(event, AttemptOrdered) and event.revives
        if again and not (late and event.failure_id in self._refused):
            yield "I13", where, "it was decided more than once"

    def _counted(self, event: AttemptOrdered, day: str) -> Iterable[tuple[str, str, str]]:
        where = self._places.get(event.failure_id, "")
        self._tried[where] += 1
        self._days[day] += 1
        if self._tried[where] > NODE_ATTEMPTS_MAX:
            text = f"{self._tried[where]} automatic attempts, {NODE_ATTEMPTS_MAX} are the limit"
            yield "I13", f"node {where}", text
        if self._days[day] > EXECUTION_ATTEMPTS_MAX:
            text = f"{self._days[day]} attempts on {day}, {EXECUTION_ATTEMPTS_MAX} are the limit"
            yield "I13", "the execution", text
