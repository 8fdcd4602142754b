"""Leases of long and unsafe attempts: who runs what, until when.

A token is claimed once, ever: the row stays, so that a task that comes again is not run
again. A runner that is gone stops renewing; another one reports its attempts as lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from perdure_common.adapters.postgres_errors import WAIT_S
from perdure_common.adapters.postgres_statements import Statements

LEASE_S = 30.0
SILENT_S = LEASE_S / 6
"""How long the database may say nothing to a runner: twice that is known well within a lease."""

HEARTBEAT_S = 5.0
BEFORE_RESTORE = "a runner before the restore"
KEEP_S = 8 * 86_400.0
"""Claims outlive the topic that carries the tasks (7 days)."""


@dataclass(frozen=True)
class Owner:
    """Whose attempt a token names."""

    tenant_id: str
    execution_id: str


@dataclass(frozen=True)
class Lost:
    """An attempt whose runner let the lease run out."""

    token: str
    execution_id: str
    runner: str
    """Under whose name the claim stands now."""


class Claims(Protocol):
    """Where leases are kept. Methods raise `Unreachable` when the server is gone."""

    async def claim(self, runner: str, tasks: Mapping[str, Owner]) -> frozenset[str]:
        """Claim tokens; return those that are the runner's now."""
        ...

    async def mine(self, runner: str, tokens: Sequence[str]) -> frozenset[str]:
        """Return which of the tokens the runner has claimed, and not answered yet."""
        ...

    async def renew(self, runner: str, tokens: Sequence[str]) -> Mapping[str, bool]:
        """Renew live leases; return the tokens still held, True for those to be stopped."""
        ...

    async def finish(self, runner: str, tokens: Sequence[str]) -> None:
        """Note that the answers are safely in the log."""
        ...

    async def recall(self, tokens: Sequence[str]) -> None:
        """Let attempts expire that were claimed before a restore, now that they come again."""
        ...

    async def expired(self) -> Sequence[Lost]:
        """Return attempts whose lease has run out; each is handed out once per lease time."""
        ...

    async def forget(self) -> None:
        """Delete claims older than the tasks that the topic keeps."""
        ...


class PostgresClaims:
    """Leases in the table `node_claims`; the server's clock decides."""

    def __init__(self, dsn: str, *, wait_s: float = WAIT_S) -> None:
        file = Path(__file__).with_name("queries.sql")
        self._database = Statements(dsn, file, kept=1, wait_s=min(wait_s, SILENT_S))

    async def claim(self, runner: str, tasks: Mapping[str, Owner]) -> frozenset[str]:
        """See `Claims.claim`."""
        tenants = [owner.tenant_id for owner in tasks.values()]
        executions = [owner.execution_id for owner in tasks.values()]
        rows = await self._database.fetch(
            "claim", list(tasks), tenants, executions, runner, LEASE_S
        )
        return frozenset(str(row["token"]) for row in rows)

    async def mine(self, runner: str, tokens: Sequence[str]) -> frozenset[str]:
        """See `Claims.mine`."""
        rows = await self._database.fetch("mine", list(tokens), runner)
        return frozenset(str(row["token"]) for row in rows)

    async def renew(self, runner: str, tokens: Sequence[str]) -> Mapping[str, bool]:
        """See `Claims.renew`."""
        rows = await self._database.fetch("renew", list(tokens), runner, LEASE_S)
        return {str(row["token"]): bool(row["canceled"]) for row in rows}

    async def finish(self, runner: str, tokens: Sequence[str]) -> None:
        """See `Claims.finish`."""
        await self._database.fetch("finish", list(tokens), runner)

    async def recall(self, tokens: Sequence[str]) -> None:
        """See `Claims.recall`."""
        await self._database.fetch("recall", list(tokens), BEFORE_RESTORE)

    async def restored(self, tasks: Mapping[str, Owner]) -> int:
        """Claim attempts that may have been run before a restore; return how many were unknown.

        They expire when they come again (`recall`), and not before: some are answered.
        """
        tenants = [owner.tenant_id for owner in tasks.values()]
        executions = [owner.execution_id for owner in tasks.values()]
        rows = await self._database.fetch(
            "restored", list(tasks), tenants, executions, BEFORE_RESTORE
        )
        return len(rows)

    async def expired(self) -> Sequence[Lost]:
        """See `Claims.expired`."""
        rows = await self._database.fetch("expired", LEASE_S)
        return [Lost(row["token"], row["execution_id"], row["runner"]) for row in rows]

    async def forget(self) -> None:
        """See `Claims.forget`."""
        await self._database.fetch("forget", KEEP_S)

    async def close(self) -> None:
        """Give the connections back."""
        await self._database.close()


@dataclass
class _Lease:
    execution_id: str
    runner: str
    until: float
    finished: bool = False
    canceled: bool = False


@dataclass
class MemoryClaims:
    """Leases in memory, with a clock that the test moves."""

    now_s: float = 0.0
    leases: dict[str, _Lease] = field(default_factory=dict)

    async def claim(self, runner: str, tasks: Mapping[str, Owner]) -> frozenset[str]:
        """See `Claims.claim`."""
        won = [token for token in tasks if token not in self.leases]
        for token in won:
            self.leases[token] = _Lease(tasks[token].execution_id, runner, self.now_s + LEASE_S)
        return frozenset(won)

    async def mine(self, runner: str, tokens: Sequence[str]) -> frozenset[str]:
        """See `Claims.mine`."""
        found = [(token, self.leases.get(token)) for token in tokens]
        return frozenset(
            token
            for token, lease in found
            if lease is not None
            and lease.runner == runner
            and not (lease.finished or lease.canceled)
            and lease.until > self.now_s
        )

    async def renew(self, runner: str, tokens: Sequence[str]) -> Mapping[str, bool]:
        """See `Claims.renew`."""
        held: dict[str, bool] = {}
        for token in tokens:
            lease = self.leases.get(token)
            if lease and lease.runner == runner and lease.until > self.now_s:
                lease.until = self.now_s + LEASE_S
                held[token] = lease.canceled
        return held

    async def finish(self, runner: str, tokens: Sequence[str]) -> None:
        """See `Claims.finish`."""
        for token in tokens:
            lease = self.leases.get(token)
            if lease is not None and lease.runner == runner:
                lease.finished = True

    async def recall(self, tokens: Sequence[str]) -> None:
        """See `Claims.recall`."""
        for token in tokens:
            lease = self.leases.get(token)
            if lease is not None and lease.runner == BEFORE_RESTORE and not lease.finished:
                lease.until = self.now_s

    async def expired(self) -> Sequence[Lost]:
        """See `Claims.expired`."""
        lost: list[Lost] = []
        for token, lease in self.leases.items():
            if not lease.finished and not lease.canceled and lease.until < self.now_s:
                lease.until = self.now_s + LEASE_S
                lease.runner = f"lost/{lease.runner}"
                lost.append(Lost(token, lease.execution_id, lease.runner))
        return lost

    async def forget(self) -> None:
        """See `Claims.forget`."""
        return

    def cancel(self, token: str, execution_id: str) -> None:
        """Stop an attempt as the engine does: a row of its own keeps it from beginning."""
        self.leases.setdefault(token, _Lease(execution_id, "", 0.0)).canceled = True

    def holder(self, token: str) -> tuple[str, float]:
        """Return whose lease it is and until when; nobody's where there is none."""
        lease = self.leases.get(token)
        return (lease.runner, lease.until) if lease is not None else ("", 0.0)
