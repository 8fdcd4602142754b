"""`perdure dead-letters`: records that could not be applied, until a person settles them."""

from typing import Annotated

import typer
from perdure_contracts.recovery import RedriveDeadLetter
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, user
from perdure_cli.errors import CommandError
from perdure_cli.listing import Limit, column, fetched, print_rows
from perdure_cli.output import (
    AsJson,
    ago,
    clock,
    console,
    print_table,
    say,
    short,
    show,
    wait_for,
)

app = typer.Typer(help="Records that could not be applied.", no_args_is_help=True)

STATUSES = ("waiting", "redriven", "dropped")


@app.command(name="list")
def list_(
    status: Annotated[str, typer.Option(help="waiting, redriven, dropped or all.")] = "waiting",
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first: those that wait, unless told otherwise."""
    if status not in (*STATUSES, "all"):
        raise CommandError(
            f"there is no status {status!r}; there are {', '.join(STATUSES)}, and all",
            exit_code=2,
            code="unknown_status",
        )

    rows = fetched("recovery", "dead_letters", limit, status=None if status == "all" else status)
    print_rows(
        rows,
        (
            ("dead letter", column("id")),
            ("service", column("service")),
            ("event", column("event_type")),
            ("from", lambda row: short(row["source"], 30)),
            ("when", lambda row: ago(row["created_at"])),
            ("status", column("status")),
            ("error", lambda row: short(row["error"], 80)),
        ),
        empty="no dead letter waits"
        if status == "waiting"
        else "there are no dead letters like that",
        as_json=as_json,
    )


async def _find(client: Client, id: str) -> Row:
    row = await client.row("recovery", "dead_letters", id)
    if row is None:
        raise CommandError(
            f"there is no dead letter {id!r}; `perdure dead-letters list` shows those that wait",
            exit_code=2,
            code="unknown_dead_letter",
        )
    return row


@app.command(name="show")
def show_(
    id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id.")],
    as_json: AsJson = False,
) -> None:
    """Show a dead letter: where it came from, what is wrong with it, what is in it."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            return await _find(client, id)

    row = wait_for(work())
    if as_json:
        show(row)
        return
    console.print(f"[bold]{row['status']}[/bold]  {escape(row['error'])}")
    say(
        f"read from {row['topic']}/{row['partition']} at {row['record_offset']} by "
        f"{row['service']}, {clock(row['created_at'])}"
    )
    if row["parked_stream"]:
        say(f"the stream {row['parked_stream']} waits for it")
    print_table(("header", "value"), sorted(row["headers"].items()), "it has no headers")
    if row["payload"] is not None:
        console.print_json(data=row["payload"])
    else:
        say(f"its body is no JSON; its sha256 is {row['sha256']}")


@app.command()
def redrive(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="The dead letters' ids.")],
    drop: Annotated[
        bool, typer.Option("--drop", help="Settle them without sending them again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters to where they came from once more, or drop them."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            letters = [await _find(client, id) for id in ids]
            for row in letters:
                message = RedriveDeadLetter(
                    letter=row["stream"], asked_by=user(), action="drop" if drop else "retry"
                )
                await client.command("recovery", row["stream"], message)
            return [await _find(client, id) for id in ids]

    rows = wait_for(work())
    if as_json:
        show(rows)
        return
    for row in rows:
        say(f"dead letter {row['id']} is {row['status']}")
