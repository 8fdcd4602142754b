"""`perdure fence`: what makes tables from a backup safe to start services on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from perdure_common import restore
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Embedded
from perdure_common.restore import Report
from perdure_common.service import Service
from perdure_common.settings import Settings
from rich.markup import escape

from perdure_cli import platform, promises
from perdure_cli.bring_up import prepare
from perdure_cli.checks import unreachable
from perdure_cli.client import Client
from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, console, print_table, say, show, wait_for


def fence(
    after_restore: Annotated[
        bool,
        typer.Option("--after-restore", help="The tables come from a backup: skip what it forgot."),
    ] = False,
    service: Annotated[
        list[str] | None, typer.Option(help="Only this service's tables (may be repeated).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Fence although services run; they lose their shards.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make tables that were restored from a backup safe to start on; run it before the services.

    Numbers and epochs that were given out after the backup are skipped, in every shard. What was
    read after it is read again from the topics and done again, under the same ids and idempotency
    keys. Attempts that must not run twice, and may have run, are reported as lost instead.
    """
    if not after_restore:
        raise CommandError(
            "say what for: `perdure fence --after-restore` makes tables from a backup safe to "
            "start on; nothing else needs a fence",
            exit_code=2,
            code="nothing_asked",
        )
    wanted = _named(service or [])
    try:
        reports = wait_for(_fence(wanted, force=force))
    except promises.UNREACHABLE as error:
        raise unreachable(error) from error
    except LookupError as error:
        raise CommandError(f"{error}; `perdure up` makes topics", code="no_topic") from error
    if as_json:
        show([asdict(report) for report in reports])
    else:
        _print(reports)


def _named(names: Sequence[str]) -> list[Service]:
    there = {each.name: each for each in promises.services()}
    unknown = [name for name in names if name not in there]
    if unknown:
        raise CommandError(
            f"there is no service {unknown[0]!r} with tables; there are {', '.join(there)}",
            exit_code=2,
            code="unknown_service",
        )
    return [there[name] for name in names or there]


@asynccontextmanager
async def _servers() -> AsyncGenerator[Settings]:
    """Give the settings of the platform here; its embedded servers run as long as the block."""
    has_servers = any((platform.home() / name).is_dir() for name in ("postgres", "kafka"))
    if platform.find() is not None or not has_servers:
        yield Client(platform.require()).settings
        return
    embedded = Embedded(platform.home())
    addresses = await asyncio.to_thread(embedded.start)
    try:
        await prepare(addresses)
        here = platform.Running(0, 0.0, addresses.database_url, addresses.kafka_bootstrap, {})
        yield Client(here).settings
    finally:
        await asyncio.to_thread(embedded.release)


async def _fence(services: Sequence[Service], *, force: bool) -> list[Report]:
    async with _servers() as settings:
        bus = KafkaBus(settings.kafka_bootstrap, "perdure-fence", settings.topic_prefix)
        try:
            running = await restore.running(services, bus)
            if running and not force:
                raise CommandError(
                    f"services still run ({', '.join(running)}); stop them first (`perdure down`), "
                    "for what they remember is not in the backup. One that was killed elsewhere "
                    "counts for ten seconds; --force fences all the same",
                    code="still_running",
                )
            return [
                await restore.fence(
                    each,
                    settings.database_url,
                    bus,
                    tenant_id=settings.tenant_id,
                    partitions=settings.partitions,
                )
                for each in services
            ]
        finally:
            await bus.close()


def _print(reports: Sequence[Report]) -> None:
    print_table(
        ("service", "shards", "numbers go on from", "not used again"),
        (
            (
                report.service,
                str(len(report.shards)),
                f"{max(each.last for each in report.shards) + 1:,}",
                f"{min(each.first for each in report.shards):,} and above",
            )
            for report in reports
        ),
        "",
    )
    for report in reports:
        for line in (*report.did, *report.marks):
            say(f"{report.service}: {line}")
    console.print(
        "[green]✔[/green] "
        + escape(
            "fenced; start the services. What they read after the backup is read and done again, "
            "with the same ids: watch `perdure status`, then run `perdure verify`"
        )
    )
