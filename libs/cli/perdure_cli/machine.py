"""`perdure migrate` and `perdure doctor`: the database's schema, and this machine."""

from dataclasses import asdict

import typer
from perdure_common import doctor as examining
from perdure_common import migrate as migrating

from perdure_cli import platform
from perdure_cli.output import AsJson, console, show, wait_for

MARKS = {
    "ok": "[green]ok[/green]  ",
    "warn": "[yellow]warn[/yellow]",
    "fail": "[red]fail[/red]",
}


def migrate(as_json: AsJson = False) -> None:
    """Bring the schema of every service to the newest state."""
    url = platform.require().database_url
    done = {name: wait_for(migrating.up(url, name)) for name in migrating.services()}
    if as_json:
        show(done)
        return
    applied = [each for names in done.values() for each in names]
    for name in applied:
        console.print(f"applied {name}")
    if not applied:
        console.print("the schema is up to date")


def doctor(as_json: AsJson = False) -> None:
    """Say what is missing or wrong on this machine, and the command that mends it."""
    findings = wait_for(examining.examine(platform.home()))
    if as_json:
        show([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            console.print(f"{MARKS[finding.outcome]}  {finding.check}: {finding.message}")
            if finding.remedy:
                console.print(f"      {finding.remedy}")
    if any(finding.outcome is examining.Outcome.FAIL for finding in findings):
        raise typer.Exit(1)
