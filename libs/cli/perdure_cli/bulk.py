"""`perdure executions bulk`: cancel or retry all executions that match, or say which would be."""

from typing import Annotated, Any, Literal

import typer
from perdure_contracts.engine import CancelExecution, RetryNode

from perdure_cli import deploying, platform
from perdure_cli.client import Client, Row, user
from perdure_cli.errors import CommandError
from perdure_cli.executions import app
from perdure_cli.listing import Statuses
from perdure_cli.output import AsJson, print_table, short, show, wait_for

FOR: dict[str, tuple[str, ...]] = {
    "cancel": ("NEW", "RUNNING", "PAUSED", "WAITING_FOR_HUMAN"),
    "retry": ("ERROR", "TIMEOUT"),
}
"""The statuses that an action is for, where none is named."""


@app.command()
def bulk(
    action: Annotated[Literal["cancel", "retry"], typer.Argument(help="What is to be done.")],
    status: Statuses = None,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's (name or id).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    reason: Annotated[str, typer.Option(help="What is written down as the reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """Cancel or retry all executions that match; exit code 1 if one of them refused."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            wanted: dict[str, Any] = {"status": [each.upper() for each in status or FOR[action]]}
            if workflow is not None:
                wanted["workflow_id"] = str((await deploying.find(client, workflow))["id"])
            rows = await client.rows("engine", "workflow_executions", most=limit, **wanted)
            return [await _one(client, action, row, reason, dry_run=dry_run) for row in rows]

    found = wait_for(work())
    if as_json:
        show(found)
    else:
        print_table(
            ("execution", "workflow", "was", "came of it"),
            (
                (row["execution_id"], row["workflow"], row["was"], short(row["came"]))
                for row in found
            ),
            "there are no executions like that",
        )
    if any(row["code"] for row in found):
        raise typer.Exit(1)


async def _one(
    client: Client, action: Literal["cancel", "retry"], row: Row, reason: str, *, dry_run: bool
) -> Row:
    id = str(row["execution_id"])
    told: Row = {
        "execution_id": id,
        "workflow": row["metadata"].get("workflow_name"),
        "was": row["status"],
        "came": "nothing was sent" if dry_run else "taken",
        "code": "",
    }
    if dry_run:
        return told
    message: CancelExecution | RetryNode = RetryNode(execution_id=id, asked_by=user())
    if action == "cancel":
        message = CancelExecution(execution_id=id, reason=reason, asked_by=user())
    try:
        await client.command("engine", id, message)
    except CommandError as error:
        return {**told, "came": str(error), "code": error.code}
    return told
