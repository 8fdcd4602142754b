"""Circuit breakers as runners see them: which one a call belongs to, what counts, who may pass.

Pure. Recovery decides how a breaker stands (`BreakerTurned`); whoever makes calls asks `passes`
before each, and counts with `strikes` what came of it.
"""

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from perdure_contracts.breakers import BreakerTurned
from perdure_contracts.engine import ErrorFacts

from .ids import derived

TOPIC_CALLS: Final = "perdure.engine.calls.v1"
TOPIC_BREAKERS: Final = "perdure.recovery.breakers.v1"

LOOK_BACK_S: Final = 15 * 60
"""How far back a runner that starts reads `TOPIC_BREAKERS`: none is open for longer than that."""

OPEN_CODE: Final = "breaker_open"
"""The typed code of an attempt that was not sent because a breaker is open.

Its facts have the `dependency`, `effect_state` "not_sent", and `retry_after_s` until then.
"""

Strike: TypeAlias = Literal["dependency", "credential"]
"""Which breaker a failed call counts against: everybody's, or that of its credential."""

_DEPENDENCY: Final = frozenset(
    {
        "connect_timeout",
        "read_timeout",
        "write_timeout",
        "timeout",
        "connect_failed",
        "dns_failed",
        "connection_reset",
        "connection_closed",
        "network",
        "dependency_down",
        "attempt_timeout",
    }
)
_SQLSTATES: Final = ("08", "53300", "53400", "57P", "58")
"""Of a database that is not there, or has no place for us; by their beginnings."""
LATE_S: Final = 10.0
"""How much later than its instant the news of a breaker may come. Until then nobody calls: else all
would, in the moment between the end of its time and the news that one may."""
_NOT_MADE: Final = frozenset(
    {"address_refused", "name_not_found", "invalid_url", "invalid_parameters", "tls_failed"}
)
"""Failures before anybody was reached, which lie with whoever asked, or between the two."""
_CREDENTIAL: Final = frozenset({"rate_limit", "auth"})


def breaker_of(tenant_id: str, dependency: str, credential: str = "") -> str:
    """Return the id of a dependency's breaker, everybody's or that of one credential."""
    return derived("breaker", tenant_id, dependency, credential)


def strikes(error: ErrorFacts) -> Strike | None:
    """Return against which breaker a failed call counts, None if against none.

    A full pool of connections is our own (`pool_timeout`), and so are failed certificates and
    answers that say what is wrong with the question: the dependency works.
    """
    if error.type in _CREDENTIAL or error.status_code in (401, 429):
        return "credential"
    if error.sqlstate is not None:
        return "dependency" if error.sqlstate.startswith(_SQLSTATES) else None
    status = error.status_code or 0
    if error.type in _DEPENDENCY or status in (408, 529) or 500 <= status != 501:
        return "dependency"
    return None


def asked_nobody(error: ErrorFacts) -> bool:
    """Return whether an attempt failed before any call of a dependency was made."""
    return not error.dependency or error.type in _NOT_MADE or error.type == OPEN_CODE


def passes(turned: BreakerTurned | None, now: datetime, runner: str) -> bool:
    """Return whether a call may be made now by `runner`.

    Half open, one call may: whoever asks must see to it that it asks for one at a time. A breaker
    of which nothing more is heard `LATE_S` after its `until` holds nobody up.
    """
    if turned is None or turned.state == "closed":
        return True
    if is_over(turned, now):
        return True
    return turned.state == "half_open" and turned.prober in ("", runner)


def is_over(turned: BreakerTurned, now: datetime) -> bool:
    """Return whether a breaker's time is over, and so much later nobody has said how it stands."""
    if turned.until is None:
        return False
    return now >= datetime.fromisoformat(turned.until) + timedelta(seconds=LATE_S)
