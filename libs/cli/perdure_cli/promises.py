"""Checks the promises on live data: I1 and I2 across services here, I4 and I5 per service.

I1: each attempt of a node completes at most once, each node run ends once. I2: every accepted
trigger event's executions end; those that are open are told apart, with their age. I4 and I5
are those of `perdure_common.verify`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import asyncpg
from perdure_common import verify
from perdure_common.adapters.postgres_queries import queries
from perdure_common.decider import Service
from perdure_common.settings import Settings
from perdure_common.verify import Violation

from perdure_cli.client import Row
from perdure_cli.errors import CommandError
from perdure_cli.output import duration

SQL = queries(Path(__file__).with_name("verify.sql"))

LATE_S = 60.0
"""How long an accepted trigger may take to begin its execution before that is a violation."""


@dataclass
class Verified:
    """What a check found: what was looked at, what does not hold, what is still open."""

    checked: dict[str, int] = field(default_factory=dict[str, int])
    violations: list[Violation] = field(default_factory=list[Violation])
    open: list[Row] = field(default_factory=list[Row])


def services() -> list[Service]:
    """Return the services that are installed here, by name.

    Raises:
        CommandError: One cannot be loaded, or there is none.
    """
    found: list[Service] = []
    for entry in sorted(entry_points(group="perdure.services"), key=lambda each: each.name):
        try:
            found.append(entry.load())
        except (ImportError, AttributeError) as error:
            raise CommandError(
                f"the service {entry.name!r} cannot be loaded ({error}); install it again with "
                "`make setup`",
                code="service_not_loaded",
            ) from error
    if not found:
        raise CommandError(
            "no service is installed here, so journals cannot be read; run this where the "
            "services are installed (`make setup`)",
            code="no_services",
        )
    return found


async def verified(settings: Settings, said: Callable[[str], None] = lambda text: None) -> Verified:
    """Check every promise; `said` hears what is being looked at.

    Raises:
        CommandError: See `services`.
        asyncpg.PostgresError, OSError, Unreachable: A server does not answer.
    """
    found = Verified()
    said("I1 and I2: executions")
    async with verify.connected(settings.database_url) as connection:
        await _once(connection, found)
        await _terminal(connection, found)
    for service in services():
        said(f"I4: the journal of {service.name}")
        found.violations.extend(await verify.contiguous(service, settings.database_url))
        found.violations.extend(await verify.folds(service, settings.database_url))
        said(f"I5: the messages of {service.name}")
        found.violations.extend(
            await verify.published(
                service,
                settings.database_url,
                settings.kafka_bootstrap,
                settings.topic_prefix,
                settings.partitions,
            )
        )
        async with verify.connected(settings.database_url) as connection:
            name = f"events of {service.name}"
            found.checked[name] = await _journal_length(connection, service.name)
    return found


async def _journal_length(connection: Any, service: str) -> int:
    count = await connection.fetchval(f'SELECT count(*) FROM "{service}".journal')
    return int(count)


async def _once(connection: Any, found: Verified) -> None:
    """Check that nothing was done twice (I1)."""
    found.checked["completions"] = await connection.fetchval(SQL["completions"])
    for row in await connection.fetch(SQL["completions_repeated"]):
        text = f"attempt {row['attempt']} completed {row['times']} times"
        found.violations.append(Violation("I1", _run_of(row), text))
    for row in await connection.fetch(SQL["runs_ended_twice"]):
        found.violations.append(Violation("I1", _run_of(row), f"it ended twice: {row['ends']}"))


def _run_of(row: Any) -> str:
    scope = "" if row["scope"] in ("[]", None) else f" in {row['scope']}"
    return f"execution {row['execution_id']}, node {row['node_id']}{scope}, run {row['run']}"


async def _terminal(connection: Any, found: Verified) -> None:
    """Check that what was accepted ends (I2); what is open is no violation while it is young."""
    counts = await connection.fetchrow(SQL["triggers"])
    found.checked["trigger events"] = counts["events"]
    found.checked["executions"] = counts["executions"]
    now = datetime.now(UTC)
    for row in await connection.fetch(SQL["triggers_unfinished"]):
        age_s = (now - row["accepted_at"]).total_seconds()
        if row["status"] is None and (row["refused"] is not None or age_s > LATE_S):
            reason = row["refused"] or f"it has not begun {duration(age_s * 1000)} after its event"
            where = f"execution {row['execution_id']}"
            found.violations.append(Violation("I2", where, reason))
        else:
            found.open.append(
                {
                    "execution_id": row["execution_id"],
                    "status": row["status"] or "NOT BEGUN",
                    "age_s": round(age_s, 1),
                }
            )


def summary(found: Verified) -> str:
    """Return what a check found in one line."""
    looked = ", ".join(f"{count:,} {name}" for name, count in found.checked.items())
    if found.violations:
        broken = sorted({violation.promise for violation in found.violations})
        return f"{len(found.violations)} violations of {', '.join(broken)} ({looked})"
    still = f"; {len(found.open)} executions are still open" if found.open else ""
    return f"every promise holds (I1, I2, I4, I5: {looked}){still}"


def as_json(found: Verified) -> Row:
    """Return what a check found as JSON."""
    return {
        "holds": not found.violations,
        "checked": found.checked,
        "violations": [
            {"promise": each.promise, "where": each.where, "found": each.found}
            for each in found.violations
        ],
        "open": found.open,
    }


async def open_executions(connection: Any) -> Sequence[Row]:
    """Return the executions that have not ended, by status: a row each with the oldest."""
    return [dict(row) for row in await connection.fetch(SQL["executions_open"])]


UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What it looks like when PostgreSQL cannot be asked."""
