"""`perdure verify` and `perdure replay`: whether what is there is what was promised."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from perdure_common import rebuild as rebuilding
from perdure_common import replay as replaying
from perdure_common.settings import Settings
from rich.markup import escape

from perdure_cli import platform, promises, travelling
from perdure_cli.client import Client, Row
from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, console, duration, errors, print_table, say, show, wait_for
from perdure_cli.promises import Verified


def _settings() -> Settings:
    return Client(platform.require()).settings


def unreachable(error: BaseException) -> CommandError:
    """Return what to say when PostgreSQL cannot be asked."""
    return CommandError(
        f"a server did not answer ({error or type(error).__name__}); `perdure status` says "
        "whether it runs, `perdure migrate` brings its schema up to date",
        code="database_unreachable",
    )


def verify(
    without_rebuild: Annotated[
        bool,
        typer.Option("--without-rebuild", help="Leave I3 out, which builds the tables anew."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the promises on the live data; exit code 1 if one does not hold."""
    settings = _settings()
    try:
        with errors.status("checking …") as spinner:
            said = _saying(spinner.update)
            found = wait_for(promises.verified(settings, said, rebuild=not without_rebuild))
    except promises.UNREACHABLE as error:
        raise unreachable(error) from error
    if as_json:
        show(promises.as_json(found))
    else:
        _print(found)
    if found.violations:
        raise typer.Exit(1)


def _saying(update: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: update(f"checking {escape(text)} …")


def _print(found: Verified) -> None:
    if found.violations:
        print_table(
            ("promise", "where", "found", "what to do"),
            ((each.promise, each.where, each.found, each.advice) for each in found.violations),
            "",
        )
    if found.open:
        print_table(
            ("open execution", "status", "for"),
            (
                (row["execution_id"], row["status"], duration(row["age_s"] * 1000))
                for row in found.open[:20]
            ),
            "",
        )
    mark = "[red]✘[/red]" if found.violations else "[green]✔[/green]"
    console.print(f"{mark} {escape(promises.summary(found))}")


def replay(
    check: Annotated[
        bool, typer.Option("--check", help="Rebuild beside the live tables, and compare.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(metavar="SERVICE.TABLE", help="Write a table anew, in place.")
    ] = None,
    execution: Annotated[
        str | None, typer.Option(metavar="ID", help="Show an execution as it stood.")
    ] = None,
    at: Annotated[
        int | None, typer.Option(min=1, help="With --execution: at this version of its stream.")
    ] = None,
    diff: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="With --execution: what changed between two versions."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Execute journals again: compare or rebuild tables, or go back in an execution's time.

    With --check the exit code is 1 if anything differs.
    """
    if execution is not None and diff is not None:
        return travelling.differ(execution, *diff, as_json=as_json)
    if execution is not None:
        return travelling.travel(execution, at, as_json=as_json)
    if table is not None:
        return _rebuild(table, as_json=as_json)
    if not check:
        raise CommandError(
            "say what to do: `perdure replay --check` rebuilds the tables in a database of its "
            "own and compares them; nothing live is changed. `--table SERVICE.TABLE` writes one "
            "anew, `--execution ID --at VERSION` shows an execution as it stood",
            exit_code=2,
            code="nothing_asked",
        )
    return _compare(as_json=as_json)


def _rebuild(target: str, *, as_json: bool) -> None:
    """Write a table anew and say what changed."""
    name, _, table = target.partition(".")
    found = [service for service in promises.services() if service.name == name]
    if not found or not table:
        known = ", ".join(service.name for service in promises.services())
        raise CommandError(
            f"{target!r} names no table; write SERVICE.TABLE, where SERVICE is one of {known}",
            exit_code=2,
            code="unknown_table",
        )
    try:
        with errors.status(f"rebuilding {escape(target)} from the journal …"):
            done = wait_for(rebuilding.rebuild(found[0], _settings().database_url, table))
    except promises.UNREACHABLE as error:
        raise unreachable(error) from error
    if as_json:
        show({"service": name, **asdict(done)})
    else:
        say(
            f"{target} has {done.rows:,} rows as the journal says: {done.added:,} added, "
            f"{done.changed:,} changed, {done.removed:,} removed"
        )


def _compare(*, as_json: bool) -> None:
    """Rebuild every table beside the live ones and compare."""
    settings = _settings()

    async def work() -> list[replaying.Report]:
        return [
            await replaying.check(service, settings.database_url) for service in promises.services()
        ]

    try:
        with errors.status("rebuilding the tables from the journals …"):
            reports = wait_for(work())
    except promises.UNREACHABLE as error:
        raise unreachable(error) from error
    if as_json:
        show([_as_json(report) for report in reports])
    else:
        for report in reports:
            _print_report(report)
    if any(report.differences for report in reports):
        raise typer.Exit(1)


def _as_json(report: replaying.Report) -> Row:
    return {
        "service": report.service,
        "events": report.events,
        "streams": report.streams,
        "rows": report.rows,
        "differences": [
            {"table": each.table, "key": each.key, "live": each.live, "rebuilt": each.rebuilt}
            for each in report.differences
        ],
    }


def _print_report(report: replaying.Report) -> None:
    rows = sum(report.rows.values())
    looked = f"{report.events:,} events of {report.streams:,} streams, {rows:,} rows"
    if not report.differences:
        console.print(f"[green]✔[/green] {report.service}: no difference ({looked})")
        return
    count = len(report.differences)
    console.print(f"[red]✘[/red] {report.service}: {count} differences ({looked})")
    for each in report.differences[:10]:
        say(f"  {each.table} {each.key}")
        say(f"    live:    {each.live or 'not there'}")
        say(f"    rebuilt: {each.rebuilt or 'not there'}")
