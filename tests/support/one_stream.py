"""One stream of recovery at a time: ask it, let it happen, look at what it sends. No server."""

from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from perdure_common.decider import Decider, Due, Recorded, Rejected, Upsert

S = TypeVar("S")

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class OneStream(Generic[S]):
    """The stream's state and time; `sent` and `rows` are of all events so far."""

    def __init__(self, decider: Decider[S, Any, Any]) -> None:
        self.decider = decider
        self.state: S = decider.initial
        self.now = START
        self.version = 0
        self.sent: list[Any] = []
        self.rows: list[Upsert] = []

    def after(self, seconds: float) -> Self:
        self.now += timedelta(seconds=seconds)
        return self

    def asked(self, command: object) -> list[Any]:
        decided = self.decider.decide(self.state, command, {}, self.now)
        assert not isinstance(decided, Rejected), decided.reason
        for event in decided:
            self.version += 1
            self.state = self.decider.evolve(self.state, event)
            recorded = Recorded(event, "t", "s", self.version, self.now)
            self.rows += self.decider.project(self.state, recorded)
            self.sent += [each.message for each in self.decider.route(self.state, recorded)]
        return list(decided)

    def wakes(self) -> list[Any]:
        """Let the stream's next instant come."""
        at = self.decider.wake_at(self.state)
        assert at is not None
        self.now = max(self.now, at)
        return self.asked(Due("s"))
