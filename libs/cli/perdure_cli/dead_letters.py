"""`perdure dead-letters`: records that could not be applied, until a person settles them."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from perdure_contracts.dead_letters import EditDeadLetter, RedriveDeadLetter
from perdure_contracts.shell import Unpark
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, told, user
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

Pattern = Annotated[
    str | None, typer.Option(help="Only those that are alike: a signature of `patterns`.")
]
PARTS = ("engine", "recovery", "scheduler")
Action: TypeAlias = Literal["retry", "drop"]
DONE: dict[Action, str] = {"retry": "sent", "drop": "dropped"}
SETTLED: dict[Action, str] = {"retry": "redriven", "drop": "dropped"}
PART = 200
"""Letters that one request settles: it is answered long before the client gives it up."""
STATUSES = ("waiting", "redriven", "dropped")
Status = Annotated[str, typer.Option(help="waiting, redriven, dropped or all.")]


@app.command(name="list")
def list_(
    status: Status = "waiting",
    pattern: Pattern = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first: those that wait, unless told otherwise."""
    rows = fetched(
        "recovery", "dead_letters", limit, status=_status(status), pattern_signature=pattern
    )
    print_rows(
        rows,
        (
            ("dead letter", column("id")),
            ("service", column("service")),
            ("event", column("event_type")),
            ("from", lambda row: short(row["source"], 30)),
            ("when", lambda row: ago(row["created_at"])),
            ("status", column("status")),
            ("tried", column("attempts")),
            ("pattern", column("pattern_signature")),
            ("error", lambda row: short(row["error"], 80)),
        ),
        empty="no dead letter waits"
        if status == "waiting"
        else "there are no dead letters like that",
        as_json=as_json,
    )


def _status(status: str) -> str | None:
    if status not in (*STATUSES, "all"):
        raise CommandError(
            f"there is no status {status!r}; there are {', '.join(STATUSES)}, and all",
            exit_code=2,
            code="unknown_status",
        )
    return None if status == "all" else status


@app.command()
def patterns(status: Status = "waiting", limit: Limit = 20, as_json: AsJson = False) -> None:
    """List dead letters that are alike as one, those with the most that wait first."""
    wanted = _status(status)

    async def work() -> Row:
        async with Client(platform.require()) as client:
            given = [] if wanted is None else [("status", wanted)]
            return told(await client.get("recovery", "/v1/dead_letter_patterns", given), "recovery")

    rows: list[Row] = wait_for(work())["items"][:limit]
    if as_json:
        show(rows)
        return
    print_table(
        ("pattern", "service", "waiting", "letters", "tried", "last", "error"),
        (
            (
                row["pattern_signature"] or "of before",
                row["service"],
                row["waiting"],
                row["letters"],
                row["attempts_max"],
                ago(row["last_at"]),
                short(row["error"], 80),
            )
            for row in rows
        ),
        "there are no dead letters like that",
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
    if row["pattern_signature"]:
        say(f"it was tried {row['attempts']} time(s); its pattern is {row['pattern_signature']}")
    if row["last_failed_at"] != row["created_at"]:
        say(f"it failed last {clock(row['last_failed_at'])}, and was sent again before")
    say(f"it is taken for {row['failure_type']}: {row['user_action_required']}")
    if row["parked_stream"]:
        say(f"the stream {row['parked_stream']} waits for it")
    print_table(("header", "value"), sorted(row["headers"].items()), "it has no headers")
    if row["payload"] is not None:
        console.print_json(data=row["payload"])
    else:
        say(f"its body is no JSON; its sha256 is {row['sha256']}")
    if row["edited_by"]:
        say(f"{row['edited_by']} gave it another body, {clock(row['edited_at'])}:")
        console.print_json(data=row["edited_payload"])


@app.command()
def redrive(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="The dead letters' ids.")
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Settle them without sending them again.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="All that wait and match.")] = False,
    service: Annotated[str | None, typer.Option(help="Only this service's.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only those read from this topic.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this type of event.")] = None,
    code: Annotated[str | None, typer.Option(help="Only this error's code.")] = None,
    pattern: Pattern = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters to where they came from once more, or drop them; each only once.

    Exit code 1 if one of them is refused.
    """
    narrowed = {"service": service, "topic": topic, "event_type": event, "code": code,
                "pattern": pattern}  # fmt: skip
    if bool(ids) == every or (ids and any(narrowed.values())):
        raise CommandError(
            "name dead letters by their ids, or give --all with what they must match",
            exit_code=2,
            code="wrong_usage",
        )
    action: Action = "drop" if drop else "retry"

    async def work() -> tuple[list[Row], bool]:
        async with Client(platform.require()) as client:
            if not ids:
                return await _in_bulk(client, narrowed, action, limit, dry_run=dry_run)
            letters = [await _find(client, id) for id in ids]
            return [await _settled(client, row, action, dry_run=dry_run) for row in letters], False

    rows, more = wait_for(work())
    if as_json:
        show(rows)
    elif not rows:
        say("no dead letter waits that is like that")
    for row in () if as_json else rows:
        what = row["status"] if row["refused"] is None else f"refused: {row['refused']}"
        say(f"dead letter {row['id']} {f'would be {DONE[action]}' if dry_run else f'is {what}'}")
    if more and not as_json:
        say("others match as well: run it again, or give a higher --limit")
    if any(row["refused"] is not None for row in rows):
        raise typer.Exit(1)


@app.command()
def edit(
    id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id.")],
    body: Annotated[Path, typer.Argument(metavar="FILE", help="Its new body; - reads stdin.")],
    reason: Annotated[str, typer.Option(help="What is written down as the reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let a dead letter be sent with another body; what it was stays written down."""
    value = sys.stdin.buffer.read() if str(body) == "-" else _read(body)

    async def work() -> Row:
        async with Client(platform.require()) as client:
            stream = (await _find(client, id))["stream"]
            message = EditDeadLetter(letter=stream, value=value, edited_by=user(), reason=reason)
            await client.command("recovery", stream, message)
            return await _find(client, id)

    row = wait_for(work())
    if as_json:
        show(row)
        return
    say(f"dead letter {id} goes with {len(value):,} bytes now: `perdure dead-letters redrive {id}`")


@app.command()
def unpark(
    service: Annotated[str, typer.Argument(help="The service that has parked the stream.")],
    stream: Annotated[str, typer.Argument(help="The stream, as `perdure verify` names it.")],
    as_json: AsJson = False,
) -> None:
    """Let a parked stream go on for which no dead letter waits; if it stops again, one does."""
    if service not in PARTS:
        raise CommandError(
            f"{service!r} parks no streams; {', '.join(PARTS)} do",
            exit_code=2,
            code="unknown_service",
        )

    async def work() -> None:
        async with Client(platform.require()) as client:
            waiting = await client.rows(
                "recovery", "dead_letters", most=1, service=service, parked_stream=stream,
                status="waiting",
            )  # fmt: skip
            if waiting:
                letter = waiting[0]["id"]
                raise CommandError(
                    f"a dead letter waits for it: `perdure dead-letters redrive {letter}`",
                    exit_code=2,
                    code="letter_waits",
                )
            await client.tell(service, stream, Unpark(stream=stream))

    wait_for(work())
    if as_json:
        show({"service": service, "stream": stream, "asked": "unpark"})
        return
    say(f"{service} was told to let {stream} go on; if it stops again, a dead letter waits for it")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read: {error.strerror}", exit_code=2, code="unreadable_file"
        ) from None


async def _in_bulk(
    client: Client,
    narrowed: Mapping[str, str | None],
    action: Action,
    limit: int,
    *,
    dry_run: bool,
) -> tuple[list[Row], bool]:
    """Settle the letters that wait and match, the oldest first; return them, and if there are more.

    Each has its `status` then, and in `refused` why it refused, None if it did not.
    """
    wanted = {name: value for name, value in narrowed.items() if value is not None}
    wanted |= {"action": action, "asked_by": user()}
    rows: list[Row] = []
    while True:
        part = limit if dry_run else min(PART, limit - len(rows))
        body = {**wanted, "dry_run": dry_run, "limit": part}
        found: Row = told(await client.post("recovery", "/v1/bulk/dead_letters", body), "recovery")
        rows += [_came(each, action, dry_run=dry_run) for each in found["letters"]]
        stuck = found["accepted"] < found["matched"]
        if dry_run or stuck or not found["more"] or len(rows) >= limit:
            return rows, found["more"]


def _came(letter: Row, action: Action, *, dry_run: bool) -> Row:
    row = {name: letter[name] for name in ("id", "service", "event_type", "error")}
    if dry_run:
        return {**row, "status": "waiting", "refused": None}
    if letter["accepted"]:
        return {**row, "status": SETTLED[action], "refused": None}
    reason = letter["detail"] or "it was not answered in time, and may still be carried out"
    return {**row, "status": "waiting", "refused": reason}


async def _settled(client: Client, row: Row, action: Action, *, dry_run: bool) -> Row:
    """Settle a letter and return its row; `refused` is None.

    Raises:
        CommandError: It was refused.
    """
    if dry_run:
        return {**row, "refused": None}
    message = RedriveDeadLetter(letter=row["stream"], asked_by=user(), action=action)
    await client.command("recovery", row["stream"], message)
    return {**await _find(client, row["id"]), "refused": None}
