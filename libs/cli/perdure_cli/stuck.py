"""`perdure status --stuck`: what does not go on, and why, on one page."""

import time
from collections.abc import Iterable, Sequence

import typer
from rich.markup import escape
from rich.text import Text

from perdure_cli.client import Client, Row, told
from perdure_cli.condition import Status, examined
from perdure_cli.errors import CommandError
from perdure_cli.executions import WAITS
from perdure_cli.output import clock, console, duration, print_table, say, show

SHOWN_MAX = 50
OLD_S = 60
"""From which age on the page of `perdure status` names executions that do not go on."""

NAMED_MAX = 5


async def page(client: Client) -> Status:
    """Return the platform's state; its `trouble` names executions that do not go on, too."""
    found = await examined(client)
    if any(row["name"] == "engine" and row["ok"] for row in found.services):
        try:
            rows = await oldest(client, OLD_S)
        except CommandError:
            return found  # it is going down just now
        found.trouble.extend(told_executions(rows))
    return found


def told_executions(rows: Sequence[Row]) -> Iterable[str]:
    """Return a sentence for each execution that goes on by nobody's doing but a person's."""
    stuck = [row for row in rows if row["parked"] or row["unexplained"]]
    for row in stuck[:NAMED_MAX]:
        yield (
            f"execution {row['execution_id']} of {row['workflow_name']} waits for "
            f"{'; '.join(row['reasons'])}"
        )
    if len(stuck) > NAMED_MAX:
        yield (
            f"{len(stuck) - NAMED_MAX} more executions do not go on: "
            "`perdure status --stuck` has all"
        )


async def looked(client: Client, older_than_s: int) -> tuple[Status, list[Row]]:
    """Return the platform's state, and the oldest open executions with what they wait for."""
    rows = await oldest(client, older_than_s)
    return await examined(client), rows


async def oldest(client: Client, older_than_s: int) -> list[Row]:
    """Return the oldest open executions; `reasons` are sentences of what each waits for."""
    parameters = [("older_than_s", str(older_than_s)), ("limit", str(SHOWN_MAX))]
    rows: Row = told(await client.get("engine", "/v1/stuck", parameters), "engine")
    letters: dict[str, Row] = {}
    parked = [str(row["execution_id"]) for row in rows["items"] if row["parked"]]
    if parked and "recovery" in client.running.urls:
        found = await client.rows(
            "recovery", "dead_letters", status="waiting", parked_stream=parked
        )
        letters = {str(row["parked_stream"]): row for row in found if row.get("parked_stream")}
    for row in rows["items"]:
        row["reasons"] = list(reasons(row, letters.get(str(row["execution_id"]))))
    return rows["items"]


def reasons(row: Row, letter: Row | None) -> Iterable[str]:
    """Return why an open execution does not go on, a sentence for each thing that it waits for."""
    if row["parked"]:
        which = f" {letter['id']}" if letter is not None else ""
        yield f"a person: settle its dead letter with `perdure dead-letters redrive{which}`"
    if row["unexplained"]:
        yield f"unexplained: {row['unexplained']}; the engine looks into it by itself"
    waits: Sequence[Row] = row["waits_for"]
    for each in waits:
        if each["waits_for"] == "deadline":
            continue
        until = clock(each["until"]) or "its answer comes"
        text = WAITS.get(each["waits_for"], str(each["waits_for"]))
        where = f"{each['node_name'] or each['node_id']}: " if each["node_id"] else ""
        yield where + text.format(attempt=each["attempt"], until=until, what=each.get("what", ""))


def told_stuck(status: Status, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the page; exit code 1 if something cannot be explained or waits for a person."""
    if as_json:
        show({"executions": list(rows), "trouble": status.trouble})
    else:
        _print(status, rows)
    if any(row["unexplained"] or row["parked"] for row in rows) or not status.works:
        raise typer.Exit(1)


def _print(status: Status, rows: Sequence[Row]) -> None:
    now = time.time() * 1000
    print_table(
        ("execution", "workflow", "status", "for", "waits for"),
        (
            (
                row["execution_id"],
                row["workflow_name"],
                row["status"],
                duration(now - row["start_time"]),
                _mark(row),
            )
            for row in rows
        ),
        "no execution is open for that long",
    )
    if len(rows) == SHOWN_MAX:
        say(f"the {SHOWN_MAX} oldest are shown; `perdure executions list` has more")
    for text in status.trouble:
        console.print(f"[yellow]![/yellow] {escape(text)}")


def _mark(row: Row) -> Text:
    text = "\n".join(row["reasons"]) or "nothing"
    return Text(text, "red" if row["unexplained"] or row["parked"] else "")
