"""`perdure recovery breakers` and `incidents`: what keeps attempts waiting."""

from typing import Annotated

import typer
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row
from perdure_cli.errors import CommandError
from perdure_cli.listing import Limit, Statuses, column, fetched, print_rows
from perdure_cli.output import AsJson, ago, clock, console, short, show, wait_for
from perdure_cli.recovery import TEXTS
from perdure_cli.recovery_figures import figures_app as app

__all__ = ["app"]


@app.command()
def breakers(status: Statuses = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the circuit breakers of dependencies, the latest change first."""
    print_rows(
        fetched("recovery", "recovery_breakers", limit, state=status or None),
        (
            ("dependency", column("dependency")),
            ("credential", column("credential")),
            ("state", column("state")),
            ("until", lambda row: clock(row["until"])),
            ("times", column("times")),
            ("changed", lambda row: ago(row["updated_at"])),
            ("reason", lambda row: short(row["reason"])),
        ),
        empty="no breaker has turned",
        as_json=as_json,
    )


@app.command()
def incidents(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Explain this one.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List incidents, the newest first: many failures alike, of which one is tried.

    With an id say what happened, to how many, what was tried, and when it was over.
    """
    if id is not None:
        _explain(_incident(id), as_json=as_json)
        return
    print_rows(
        fetched("recovery", "recovery_incidents", limit),
        (
            ("incident", column("id")),
            ("type", column("failure_type")),
            ("dependency", column("dependency")),
            ("failures", column("failures")),
            ("executions", column("executions")),
            ("opened", lambda row: ago(row["opened_at"])),
            ("closed", lambda row: ago(row["closed_at"]) if row["closed_at"] else "open"),
            ("gate", column("gate")),
            ("last probe", column("last_probe")),
        ),
        empty="there was no incident",
        as_json=as_json,
    )


def _incident(id: str) -> Row:
    async def work() -> Row | None:
        async with Client(platform.require()) as client:
            return await client.row("recovery", "recovery_incidents", id)

    row = wait_for(work())
    if row is None:
        raise CommandError(
            f"there is no incident {id!r}; `perdure recovery incidents` lists those there are",
            code="incident_not_found",
        )
    return row


def _explain(row: Row, *, as_json: bool) -> None:
    if as_json:
        show(row)
        return
    until = f"until {clock(row['closed_at'])}" if row["closed_at"] else "open"
    console.print(
        f"[bold]{escape(row['failure_type'])}[/bold] {escape(row['dependency'])}  "
        f"[dim]{row['severity_level']}, since {clock(row['opened_at'])}, {until}[/dim]"
    )
    for name, text in TEXTS:
        if row[text] not in ("", "none"):
            console.print(f"  [dim]{name:<11}[/dim] {escape(row[text])}")
