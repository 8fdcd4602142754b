"""Checks the promises on live data: those of each service, I2 and I3 across them, I14 of paths.

The checks are those of `perdure_common.verify`, read as streams: any amount of data is checked
while the services work. I2 is in endings.py, parked streams are in parked.py; I3 rebuilds the
tables beside the live ones.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import asyncpg
from perdure_common import replay
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.postgres_queries import queries
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.ports import Unreachable
from perdure_common.verify import Findings
from perdure_common.verify.finding import ADVICE, Violation
from perdure_common.verify.postgres import PostgresArchive, connected
from perdure_common.verify.service import verified as verified_service

from perdure_cli.client import Row
from perdure_cli.endings import endings
from perdure_cli.errors import CommandError
from perdure_cli.parked import forgotten

SQL = queries(Path(__file__).with_name("verify.sql"))

LATE_S = 60.0
"""How long an accepted trigger may take to begin its execution before that is a violation."""

PROMISES = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I10", "I13", "I14")


@dataclass
class Verified:
    """What a check found: what was looked at, what does not hold, what is still open."""

    checked: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    open: list[Row] = field(default_factory=list)
    promises: tuple[str, ...] = PROMISES


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


async def verified(
    settings: Settings,
    said: Callable[[str], None] = lambda text: None,
    *,
    rebuild: bool = True,
) -> Verified:
    """Check every promise; without `rebuild` all but I3. `said` hears what is looked at.

    Raises:
        CommandError: See `services`; or the tables may not be rebuilt here.
        asyncpg.PostgresError, OSError, Unreachable: A server does not answer.
    """
    found = Verified(promises=PROMISES if rebuild else tuple(p for p in PROMISES if p != "I3"))
    everything = services()
    async with AsyncExitStack() as stack:
        archives: dict[str, PostgresArchive] = {}
        for service in everything:
            archive = archives[service.name] = PostgresArchive(settings.database_url, service.name)
            stack.push_async_callback(archive.close)
        if archives.keys() >= {"scheduler", "engine"}:
            said("what trigger events started (I2)")
            now = datetime.now(UTC)
            ends = await endings(
                archives["scheduler"],
                archives["engine"],
                now,
                partitions=settings.partitions,
                late_s=LATE_S,
            )
            _take(found, ends.findings)
            found.open = ends.open
        if "scheduler" in archives:
            said("who serves which path (I14)")
            await _paths(settings, found)
        if "recovery" in archives:
            said("who is told of parked streams (I10)")
            _take(found, await forgotten(settings.database_url, archives))
        for service in everything:
            await _service(settings, service, archives[service.name], found, said)
    for service in everything if rebuild else ():
        said(f"the tables of {service.name} (I3)")
        await _tables(settings, service, found)
    return found


async def _service(
    settings: Settings,
    service: Service,
    archive: PostgresArchive,
    found: Verified,
    said: Callable[[str], None],
) -> None:
    bus = KafkaBus(settings.kafka_bootstrap, f"verify-{service.name}", settings.topic_prefix)
    try:
        looked = await verified_service(
            service,
            archive,
            bus,
            tenant_id=settings.tenant_id,
            partitions=settings.partitions,
            grace_s=settings.stall_grace_s,
            said=said,
        )
    finally:
        await bus.close()
    _take(found, looked, f" of {service.name}")


def _take(found: Verified, looked: Findings, whose: str = "") -> None:
    found.violations.extend(looked.violations)
    for what, count in looked.checked.items():
        found.checked[f"{what}{whose}"] = found.checked.get(f"{what}{whose}", 0) + count


async def _paths(settings: Settings, found: Verified) -> None:
    """Note paths that serve two workflows, or one that was not granted them (I14)."""
    looked = Findings()
    async with connected(settings.database_url) as connection:
        looked.checked["paths"] = await connection.fetchval(SQL["paths_served"])
        twice = await connection.fetch(SQL["paths_served_twice"])
        stray = await connection.fetch(SQL["paths_not_granted"])
    for row in twice:
        where = f"{row['method']} {row['path']} of tenant {row['tenant_id']}"
        looked.add("I14", where, f"it serves workflows {', '.join(row['workflows'])}")
    for row in stray:
        where = f"node {row['node_id']!r} of workflow {row['workflow_id']}"
        text = f"it serves {row['path']}, which deployment {row['attempt']} was not granted"
        looked.add("I14", where, text)
    _take(found, looked)


async def _tables(settings: Settings, service: Service, found: Verified) -> None:
    """Rebuild a service's tables beside the live ones and note every row that differs (I3)."""
    try:
        report = await replay.check(service, settings.database_url)
    except asyncpg.InsufficientPrivilegeError as error:
        raise CommandError(
            f"the tables cannot be rebuilt beside the live ones ({error}); let the user of "
            "PERDURE_DATABASE_URL create databases, or leave I3 out with `--without-rebuild`",
            code="may_not_create_database",
        ) from error
    found.checked[f"rows of {service.name}"] = sum(report.rows.values())
    for each in report.differences:
        where = f"{service.name}.{each.table} {each.key}"
        text = f"it is {each.live or 'not there'}, the journal makes {each.rebuilt or 'none'}"
        found.violations.append(Violation("I3", where, text, ADVICE["I3"]))


def summary(found: Verified) -> str:
    """Return what a check found in one line, what was looked at added up over the services."""
    counts: dict[str, int] = {}
    for name, count in found.checked.items():
        what = name.partition(" of ")[0]
        counts[what] = counts.get(what, 0) + count
    looked = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    if found.violations:
        broken = sorted({violation.promise for violation in found.violations})
        return f"{len(found.violations)} violations of {', '.join(broken)} ({looked})"
    still = f"; {len(found.open)} executions are still open" if found.open else ""
    return f"every promise holds ({', '.join(found.promises)}: {looked}){still}"


def as_json(found: Verified) -> Row:
    """Return what a check found as JSON."""
    return {
        "holds": not found.violations,
        "promises": list(found.promises),
        "checked": found.checked,
        "violations": [
            {
                "promise": each.promise,
                "where": each.where,
                "found": each.found,
                "advice": each.advice,
            }
            for each in found.violations
        ],
        "open": found.open,
    }


async def open_executions(connection: Any) -> Sequence[Row]:
    """Return the executions that have not ended, by status: a row each with the oldest."""
    return [dict(row) for row in await connection.fetch(SQL["executions_open"])]


UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, Unreachable)
"""What it looks like when PostgreSQL or Kafka cannot be asked."""
