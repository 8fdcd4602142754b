"""`perdure executions`: what runs, what ran, why it waits; stop it, or let it go on."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

import typer
from perdure_contracts.engine import CancelExecution
from rich.markup import escape

from perdure_cli import deploying, pictures, platform
from perdure_cli.client import Client, Row, told, user
from perdure_cli.follow import drawn, follow, said, stage_for, took
from perdure_cli.instants import typed_instant
from perdure_cli.listing import Limit, Listed, Statuses, listed, say_more
from perdure_cli.output import (
    AsJson,
    ago,
    clock,
    console,
    print_table,
    say,
    short,
    show,
    show_line,
    wait_for,
)
from perdure_cli.pictures import Picture
from perdure_cli.waiting import waiting_text
from perdure_cli.watching import events_of

app = typer.Typer(help="Executions: look at them, cancel, retry.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")]


def outcome(picture: Picture, *, as_json: bool) -> int:
    """Print how an execution stands or ended; return the exit code: 0 only for SUCCESS."""
    if as_json:
        show(pictures.as_json(picture))
    elif picture.status == "SUCCESS":
        result = pictures.result_of(picture.execution)
        if result:
            console.print_json(data=result)
    else:
        error = pictures.error_of(picture.execution)
        if error is not None:
            where = f" at {picture.name_of(error['node_id'])}" if error.get("node_id") else ""
            console.print(f"[red]{picture.status}[/red]{escape(where)}: {_message(error)}")
    return 0 if picture.status == "SUCCESS" else 1


def _message(error: Row) -> str:
    kind = f" [{error['type']}]" if error.get("type") else ""
    return escape(f"{error.get('message', 'no reason is known')}{kind}")


@app.command(name="list")
def list_(
    status: Statuses = None,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's (name or id).")] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="Started at this instant or later, in ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Started before this instant.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List executions, the newest first."""
    equal: dict[str, Any] = {"status": [each.upper() for each in status]} if status else {}
    if first is not None:
        equal["started_after"] = typed_instant(first, "--from").isoformat()
    if until is not None:
        equal["started_before"] = typed_instant(until, "--to").isoformat()

    async def work() -> Listed:
        async with Client(platform.require()) as client:
            if workflow is not None:
                equal["workflow_id"] = str((await deploying.find(client, workflow))["id"])
            return await listed(client, "engine", "workflow_executions", limit, **equal)

    found = wait_for(work())
    rows = found.rows
    if as_json:
        show(rows)
        return
    print_table(
        ("execution", "workflow", "version", "status", "began", "took", "error"),
        (
            (
                row["execution_id"],
                row["metadata"].get("workflow_name"),
                row["workflow_version"],
                row["status"],
                ago(row["start_time"]),
                took(row),
                short(row["error_message"]),
            )
            for row in rows
        ),
        "there are no executions like that; `perdure run FILE` starts one",
    )
    say_more(found)


@app.command(name="show")
def show_(id: Id, as_json: AsJson = False) -> None:
    """Show an execution: its nodes, what they emitted, how it ended, what recovery did."""

    async def work() -> Picture:
        async with Client(platform.require()) as client:
            return await pictures.require(client, id)

    picture = wait_for(work())
    if as_json:
        show(pictures.as_json(picture))
        return
    console.print(drawn(picture))
    say(f"  began {clock(picture.execution['start_time'])}, {picture.execution['triggered_by']}")
    if unreached := picture.unreached():
        say(f"  not reached: {', '.join(picture.name_of(each) for each in unreached)}")
    outcome(picture, as_json=False)


@app.command()
def watch(
    id: Id,
    events: Annotated[
        bool, typer.Option("--events", help="Print each event as it happens, a line each.")
    ] = False,
    after: Annotated[
        int, typer.Option(min=0, help="With --events: go on behind this version.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Follow an execution to its end; exit code 0 if it ends with SUCCESS."""
    if events:
        raise typer.Exit(wait_for(_told_live(id, after, as_json=as_json)))

    async def work() -> Picture:
        async with Client(platform.require()) as client:
            await pictures.require(client, id)
            return await followed(client, id, quiet=as_json)

    raise typer.Exit(outcome(wait_for(work()), as_json=as_json))


async def _told_live(id: str, after: int, *, as_json: bool) -> int:
    """Print the events of an execution as they come; return 0 if it ended with SUCCESS."""
    async with Client(platform.require()) as client:
        async for event in events_of(client, id, after):
            if as_json:
                show_line(asdict(event))
                continue
            data = event.data
            where = data.get("node_id") or data.get("status") or ""
            kind = event.type.removeprefix("engine.").rpartition(".v")[0]
            say(f"{event.version:>6}  {clock(event.recorded_at)}  {kind}  {where}")
        rows = await client.rows("engine", "workflow_executions", execution_id=id)
        return 0 if rows and rows[0]["status"] == "SUCCESS" else 1


async def followed(client: Client, execution_id: str, *, quiet: bool) -> Picture:
    """Follow an execution to its end, showing it unless `quiet`."""
    if quiet:
        found = await follow(client, [execution_id], _Unseen())
    else:
        with stage_for(console) as stage:
            found = await follow(client, [execution_id], stage)
    return found[execution_id]


class _Unseen:
    """Shows nothing: the outcome alone is wanted."""

    def update(self, pictures: Iterable[Picture]) -> None:
        """Show nothing."""


# Why ----------------------------------------------------------------------------------------


def reasons(picture: Picture, waits: Iterable[Row], letters: Iterable[Row]) -> list[Row]:
    """Return what an execution waits for, or why it ended as it did, one row each.

    `waits` is the engine's own list, `letters` the dead letters that its stream waits for.
    """
    found: list[Row] = [
        {
            "node_id": "",
            "waits_for": "person",
            "text": f"a message for it could not be applied: {letter['error']}; settle it with "
            f"`perdure dead-letters redrive {letter['id']}`",
        }
        for letter in letters
    ]
    decisions: dict[str, Row] = {row["failure_id"]: row for row in picture.attempts}
    for each in waits:
        text = waiting_text(each)
        decision = decisions.get(each["failure_id"])
        if decision is not None:
            text += f"; recovery says: {said(picture, decision)}"
        worker = {"worker": each["worker"]} if "worker" in each else {}
        reason: Row = {"node_id": each["node_id"], "waits_for": each["waits_for"], "text": text}
        found.append(reason | worker)
    if picture.ended:
        error = pictures.error_of(picture.execution)
        text = f"it has ended with {picture.status}"
        if error is not None:
            text += f": {error['message']}"
        node_id = (error or {}).get("node_id") or ""
        found.append({"node_id": node_id, "waits_for": "nothing", "text": text})
    elif all(row["waits_for"] == "deadline" for row in found):
        text = "it waits for nothing that could make it go on: it is stalled, which is a defect"
        found.append({"node_id": "", "waits_for": "unknown", "text": text})
    return found


@app.command()
def why(id: Id, as_json: AsJson = False) -> None:
    """Say what an execution waits for, or why it ended as it did."""

    async def work() -> tuple[Picture, list[Row]]:
        async with Client(platform.require()) as client:
            picture = await pictures.require(client, id)
            path = f"/v1/workflow_executions/{quote(id, safe='')}/why"
            answer: Row = told(await client.get("engine", path), "engine")
            letters: list[Row] = []
            if "recovery" in client.running.urls:
                letters = await client.rows(
                    "recovery", "dead_letters", parked_stream=id, status="waiting"
                )
            return picture, reasons(picture, answer["waits_for"], letters)

    picture, found = wait_for(work())
    if as_json:
        show({"execution_id": picture.id, "status": picture.status, "reasons": found})
        return
    for row in found:
        where = f"{picture.name_of(row['node_id'])}: " if row["node_id"] else ""
        say(f"{where}{row['text']}")


# Doing --------------------------------------------------------------------------------------


@app.command()
def cancel(
    id: Id,
    reason: Annotated[str, typer.Option(help="What is written down as the reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop an execution: nothing new begins, what runs is told to stop and has a moment to end."""

    async def work() -> Picture:
        async with Client(platform.require()) as client:
            await pictures.require(client, id)
            message = CancelExecution(execution_id=id, reason=reason, asked_by=user())
            await client.command("engine", id, message)
            return await pictures.require(client, id)

    picture = wait_for(work())
    if as_json:
        show(pictures.as_json(picture))
    elif picture.ended:
        say(f"{id} is {picture.status}")
    else:
        say(f"{id} is being cancelled; what runs has a moment to end (cancel again to cut it off)")
