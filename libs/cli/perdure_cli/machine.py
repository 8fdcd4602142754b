"""`perdure migrate` and `perdure doctor`: schema and topics, and this machine."""

from dataclasses import asdict

import typer
from perdure_common import doctor as examining
from perdure_common import migrate as migrating

from perdure_cli import platform
from perdure_cli.bring_up import make_topics
from perdure_cli.output import AsJson, console, show, wait_for

MARKS = {
    "ok": "[green]ok[/green]  ",
    "warn": "[yellow]warn[/yellow]",
    "fail": "[red]fail[/red]",
}


def migrate(as_json: AsJson = False) -> None:
    """Bring the schema of every service to the newest state, and make missing topics."""
    running = platform.require()
    url = running.database_url
    done = {name: wait_for(migrating.up(url, name)) for name in migrating.services()}
    made = wait_for(make_topics(url, running.kafka_bootstrap))
    if as_json:
        show({**done, "topics": made})
        return
    applied = [each for names in done.values() for each in names]
    for name in applied:
        console.print(f"applied {name}")
    for name in made:
        console.print(f"made topic {name}")
    if not applied and not made:
        console.print("the schema is up to date, and every topic is there")


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
