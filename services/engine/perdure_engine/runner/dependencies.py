"""What calls depend on, how they went, and which of them must not be made now.

A dependency is named `kind:what`, as recovery and its breakers know it: `http:host`, `sql:host`,
`smtp:host`, `llm:provider:model`. Two names of the operator's for one host are one dependency:
when it is down, both are. Whoever calls asks `refusal` first and tells `heard` afterwards; what
was heard is published (calls_told.py), and recovery's breakers come back by the same way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from perdure_common.run import utc_now
from perdure_contracts.engine import ErrorFacts

from perdure_engine.runner.failures import Failed

DEPENDENCIES_MAX = 10_000
"""Dependencies that are counted between two reports; a workflow may make up hosts without end."""

DOWN = frozenset(
    {
        *("connect_timeout", "read_timeout", "attempt_timeout", "connect_failed"),
        *("connection_reset", "network", "dns_failed", "dependency_down"),
    }
)
"""Failures that say the other side is not there. One that answers, and be it with a refusal, is;
our own full pools (`pool_timeout`) accuse nobody."""

DOWN_STATUSES = frozenset({408, *range(500, 600)} - {501, 505})
DOWN_SQLSTATES = ("08", "53300", "53400", "57P", "58")


NOT_MADE = frozenset(
    {"address_refused", "name_not_found", "invalid_url", "invalid_parameters", "tls_failed"}
)
"""Failures before anybody was reached, which lie with whoever asked, or between the two."""


def of_address(kind: str, address: str, otherwise: str) -> str:
    """Return the dependency at an address; `otherwise` is its name where that has no host."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    return f"{kind}:{host or otherwise}"


def is_down(error: ErrorFacts) -> bool:
    """Tell whether a failure says that the other side is not there."""
    if error.status_code is not None:
        return error.status_code in DOWN_STATUSES
    if error.sqlstate is not None:
        return error.sqlstate.startswith(DOWN_SQLSTATES)
    return error.type in DOWN


def not_made(error: ErrorFacts) -> bool:
    """Tell whether a failure says nothing of how the other side is: it was not asked."""
    return error.type in NOT_MADE


@dataclass(slots=True)
class Heard:
    """How the calls of one dependency went since the last report."""

    ok: int = 0
    failed: int = 0


@dataclass
class Dependencies:
    """What the calls of this process met. Nothing here waits."""

    now: Callable[[], datetime] = utc_now
    dropped: int = 0
    _heard: dict[str, Heard] = field(default_factory=dict[str, Heard])
    _open: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def refusal(self, dependency: str) -> Failed | None:
        """Return why a call must not be made now, None if it may be."""
        until = self._open.get(dependency)
        if until is None:
            return None
        left_s = (until - self.now()).total_seconds()
        if left_s <= 0:  # whoever comes now finds out whether it is back
            del self._open[dependency]
            return None
        text = (
            f"{dependency} is failing for everybody, so it is not called before "
            f"{until.isoformat(timespec='seconds')}"
        )
        return Failed(
            ErrorFacts(
                type="breaker_open",
                message=text,
                retryable=True,
                retry_after_s=round(left_s, 3),
                stage="breaker",
                dependency=dependency,
            )
        )

    def heard(self, dependency: str, error: ErrorFacts | None = None) -> None:
        """Count a call: it was answered, or failed by `error`."""
        if not dependency or (error is not None and (not error.dependency or not_made(error))):
            return
        counts = self._heard.get(dependency)
        if counts is None:
            if len(self._heard) >= DEPENDENCIES_MAX:
                self.dropped += 1
                return
            counts = self._heard[dependency] = Heard()
        if error is not None and is_down(error):
            counts.failed += 1
        else:
            counts.ok += 1

    def take(self) -> Mapping[str, Heard]:
        """Return what was heard since the last time, and begin anew."""
        taken, self._heard = self._heard, {}
        return taken

    def opened(self, dependency: str, until: datetime) -> None:
        """Note that a dependency must not be called before an instant."""
        self._open[dependency] = until

    def closed(self, dependency: str) -> None:
        """Note that a dependency may be called again."""
        self._open.pop(dependency, None)
