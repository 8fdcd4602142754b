"""The commands there are, and how errors are told."""

import sys
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from perdure_common import doctor, migrate
from perdure_common.embedded import EmbeddedError
from perdure_common.migrate import MigrationError
from perdure_common.settings import SettingError
from perdure_common.shell.ports import Unreachable
from perdure_common.topics import TopicError
from rich.markup import escape
from rich.table import Table

from perdure_cli import (
    checks,
    dead_letters,
    demo,
    executions,
    platform,
    recovery,
    restoring,
    running,
    status,
    workflows,
)
from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, console, errors, show, wait_for

TOLD = (EmbeddedError, MigrationError, SettingError, TopicError, Unreachable)
"""Errors whose text is meant for people."""

app = typer.Typer(
    name="perdure",
    help="Run AI-agent workflows around the clock.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(demo.demo)
app.command()(running.run)
app.command()(running.trigger)
app.command()(status.status)
app.command()(checks.verify)
app.command()(checks.replay)
app.command()(restoring.fence)
app.add_typer(workflows.app, name="workflow")
app.add_typer(executions.app, name="executions")
app.add_typer(recovery.app, name="recovery")
app.add_typer(dead_letters.app, name="dead-letters")


@app.command()
def up(
    services: Annotated[str, typer.Option(help="Only these, separated by commas.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Start servers and services here; Ctrl-C stops them cleanly."""
    names = [name for name in services.replace(",", " ").split() if name]
    wanted = names or list(platform.SERVICES)
    if detach:
        running = platform.start_detached(wanted)
        console.print(f"perdure is up (process {running.pid}); `perdure down` stops it")
        return

    def said(text: str) -> None:
        if not quiet:
            console.print(f"[dim]{text} …[/dim]")

    def ready(running: platform.Running) -> None:
        if not quiet:
            console.print(board(running))
            console.print("perdure is up; Ctrl-C stops it")

    wait_for(platform.Platform(wanted, on_ready=ready, said=said).run())


def board(running: platform.Running) -> Table:
    """Return the table of servers and services."""
    table = Table(box=None, pad_edge=False)
    for heading in ("what", "where"):
        table.add_column(heading)
    table.add_row("PostgreSQL", running.database_url.rpartition("@")[2])
    table.add_row("Kafka", running.kafka_bootstrap)
    for name, url in running.urls.items():
        table.add_row(name, url)
    return table


@app.command()
def down() -> None:
    """Stop the platform that runs here."""
    console.print("perdure is down" if platform.stop() else "nothing was running")


@app.command(name="migrate")
def migrate_(as_json: AsJson = False) -> None:
    """Bring the schema of every service to the newest state."""
    running = platform.require()
    done = {name: wait_for(migrate.up(running.database_url, name)) for name in migrate.services()}
    if as_json:
        show(done)
        return
    applied = [each for names in done.values() for each in names]
    for name in applied:
        console.print(f"applied {name}")
    if not applied:
        console.print("the schema is up to date")


@app.command(name="doctor")
def doctor_(as_json: AsJson = False) -> None:
    """Say what is missing or wrong on this machine, and the command that mends it."""
    findings = wait_for(doctor.examine(platform.home()))
    if as_json:
        show([asdict(finding) for finding in findings])
    else:
        marks = {
            "ok": "[green]ok[/green]  ",
            "warn": "[yellow]warn[/yellow]",
            "fail": "[red]fail[/red]",
        }
        for finding in findings:
            console.print(f"{marks[finding.outcome]}  {finding.check}: {finding.message}")
            if finding.remedy:
                console.print(f"      {finding.remedy}")
    if any(finding.outcome is doctor.Outcome.FAIL for finding in findings):
        raise typer.Exit(1)


def fail(error: Exception, exit_code: int) -> NoReturn:
    """Tell an error in one sentence and end."""
    errors.print(f"[red]perdure:[/red] {escape(str(error))}")
    raise SystemExit(exit_code)


def main() -> None:
    """Run the command line; `--debug` anywhere shows where an error came from."""
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments, prog_name="perdure")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except CommandError as error:
        if debug:
            raise
        fail(error, error.exit_code)
    except TOLD as error:
        if debug:
            raise
        fail(error, 1)


if __name__ == "__main__":
    main()
