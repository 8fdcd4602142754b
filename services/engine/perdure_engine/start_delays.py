"""How long it takes from the instant at which a clock is due to the start of its execution.

The engine knows both when an execution begins: it is shown each start that it has committed, and
only those of clocks are looked at. A start that is committed as its process dies is not measured:
this measures, it does not count.
"""

from datetime import datetime
from typing import cast

from perdure_contracts.engine import ExecutionStarted
from prometheus_client import CollectorRegistry, Histogram

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""In seconds: 60 s late is missed, and may happen still, by the policy for that."""


def delay_of(event: ExecutionStarted) -> float | None:
    """Return how many seconds after it was due an execution began; None if no clock fired it.

    Firings that were queued behind another execution, or are of a backfill, are due at no instant,
    and a rerun begins when a person likes.
    """
    if not event.triggered_by.startswith("CRON:") or event.rerun is not None:
        return None
    if not isinstance(event.trigger, dict):
        return None
    due = cast("dict[str, object]", event.trigger).get("due")
    if not isinstance(due, str):
        return None
    try:
        began, wanted = datetime.fromisoformat(event.started_at), datetime.fromisoformat(due)
        return max(0.0, (began - wanted).total_seconds())
    except (ValueError, TypeError):
        return None  # who starts an execution may write anything there


class StartDelays:
    """The histogram of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delay = Histogram(
            "perdure_cron_start_delay_seconds",
            "From when a clock was due to the start of its execution.",
            buckets=BUCKETS,
            registry=registry,
        )

    def see(self, event: ExecutionStarted) -> None:
        """Measure a start if a clock's firing is behind it."""
        delay = delay_of(event)
        if delay is not None:
            self._delay.observe(delay)
