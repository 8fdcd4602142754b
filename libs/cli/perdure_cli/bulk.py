"""`perdure executions bulk`: cancel or retry all executions that match, or say which would be."""

from typing import Annotated, Any, Literal

import typer

from perdure_cli import deploying, platform
from perdure_cli.client import Client, Row, told, user
from perdure_cli.executions import app
from perdure_cli.instants import typed_instant
from perdure_cli.listing import Statuses
from perdure_cli.outcomes import print_outcomes
from perdure_cli.output import AsJson, show, wait_for


@app.command()
def bulk(
    action: Annotated[Literal["cancel", "retry"], typer.Argument(help="What is to be done.")],
    status: Statuses = None,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's (name or id).")] = None,
    error_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Only those that ended with such an error.")
    ] = None,
    error_code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Only where the other side answered so: 429, not_found."),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Only those begun since then.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="INSTANT", help="Only those begun before then.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    reason: Annotated[str, typer.Option(help="What is written down as the reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """Cancel or retry all executions that match; exit code 1 if one of them refused.

    The oldest first; without --status those that are open, or those that failed.
    """
    wanted: dict[str, Any] = {
        "action": action,
        "status": [each.upper() for each in status or ()],
        "error_type": error_type,
        "error_code": error_code,
        "since": None if first is None else typed_instant(first, "--from").isoformat(),
        "before": None if until is None else typed_instant(until, "--to").isoformat(),
        "limit": limit,
        "dry_run": dry_run,
        "reason": reason,
        "asked_by": user(),
    }

    async def work() -> Row:
        async with Client(platform.require()) as client:
            if workflow is not None:
                wanted["workflow_id"] = str((await deploying.find(client, workflow))["id"])
            return told(
                await client.post("engine", "/v1/bulk/workflow_executions", wanted), "engine"
            )

    found = wait_for(work())
    if as_json:
        show(found)
    else:
        print_outcomes(found, "taken")
    if any(row["code"] for row in found["executions"]):
        raise typer.Exit(1)
