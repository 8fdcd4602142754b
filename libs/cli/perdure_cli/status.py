"""`perdure status`: one page that says what runs, what is stuck, and why."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.text import Text

from perdure_cli import platform
from perdure_cli.client import Client, Row
from perdure_cli.condition import Status
from perdure_cli.output import AsJson, console, print_table, show, wait_for
from perdure_cli.stuck import looked, page, told_stuck


def status(
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only what does not go on, each with its reason.")
    ] = False,
    older_than: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="With --stuck: open for that long.")
    ] = 60,
    as_json: AsJson = False,
) -> None:
    """Show servers, services, what is unsent, parked or open, and what is stuck and why."""
    if stuck:
        return _stuck(older_than, as_json=as_json)

    async def work() -> Status:
        async with Client(platform.require()) as client:
            return await page(client)

    found = wait_for(work())
    letters = found.dead_letters
    if as_json:
        show(
            {
                "works": found.works,
                "servers": found.servers,
                "services": found.services,
                "open_executions": found.executions,
                "dead_letters_waiting": letters.count if letters else None,
                "dead_letters_more": bool(letters and not letters.exact),
                "trouble": found.trouble,
            }
        )
    else:
        _print(found)
    if not found.works:
        raise typer.Exit(1)


def _stuck(older_than_s: int, *, as_json: bool) -> None:
    """Show what does not go on."""

    async def work() -> tuple[Status, list[Row]]:
        async with Client(platform.require()) as client:
            return await looked(client, older_than_s)

    told_stuck(*wait_for(work()), as_json=as_json)


def _print(found: Status) -> None:
    print_table(
        ("", "where", "state", "unsent", "behind", "parked"),
        (
            (
                row["name"],
                row["where"],
                Text("ready", "green") if row["ok"] else Text("not ready", "red"),
                row.get("unsent"),
                row.get("lag"),
                row.get("parked_streams"),
            )
            for row in (*found.servers, *found.services)
        ),
        "",
    )
    console.print()
    listed = ", ".join(f"{row['executions']} {row['status']}" for row in found.executions)
    console.print(f"open executions: {listed or 'none'}")
    letters = found.dead_letters
    waiting = "unknown" if letters is None else letters if letters.count else "none"
    console.print(f"dead letters that wait: {waiting}")
    for text in found.trouble:
        console.print(f"[yellow]![/yellow] {escape(text)}")
    if not found.trouble:
        console.print("[green]✔[/green] nothing is stuck")
