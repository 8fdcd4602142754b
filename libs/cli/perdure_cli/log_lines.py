"""`perdure executions logs`: what happened in an execution, line by line."""

from typing import Annotated, Any, Literal

import typer

from perdure_cli import pictures, platform
from perdure_cli.client import Client, Row
from perdure_cli.executions import Id, app
from perdure_cli.listing import Limit, Listed, listed, print_rows
from perdure_cli.output import AsJson, clock, wait_for


@app.command()
def logs(
    id: Id,
    category: Annotated[
        Literal["business", "technical"] | None,
        typer.Option(help="Only lines for people (business) or for engineers (technical)."),
    ] = None,
    level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="Only this level.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="Only this node's (its id).")] = None,
    milestones: Annotated[bool, typer.Option("--milestones", help="Only milestones.")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List what happened in an execution, in order; lines come a second or two after it did."""
    wanted: dict[str, Any] = {"execution_id": id}
    if category is not None:
        wanted["log_category"] = category.upper()
    if level is not None:
        wanted["level"] = level.upper()
    if node is not None:
        wanted["node_id"] = node
    if milestones:
        wanted["is_milestone"] = "true"

    async def work() -> Listed:
        async with Client(platform.require()) as client:
            found = await listed(client, "engine", "workflow_execution_logs", limit, **wanted)
            if not found.rows:
                await pictures.require(client, id)
            return found

    print_rows(
        wait_for(work()),
        (
            ("at", lambda row: clock(row["created_at"])),
            ("level", lambda row: row["level"]),
            ("node", lambda row: row["node_name"] or row["node_id"]),
            ("what", _what),
        ),
        empty="there are no lines like that",
        as_json=as_json,
    )


def _what(row: Row) -> str:
    return str(row["user_friendly_message"] or row["message"])
