"""`perdure executions purge`: delete executions that ended long ago, or say which would go."""

from typing import Annotated, Any

import typer

from perdure_cli import deploying, platform
from perdure_cli.client import Client, Row, told, user
from perdure_cli.executions import app
from perdure_cli.listing import Statuses
from perdure_cli.outcomes import print_outcomes
from perdure_cli.output import AsJson, show, wait_for


@app.command()
def purge(
    id: Annotated[str | None, typer.Argument(help="Only this execution.")] = None,
    older_than: Annotated[
        int, typer.Option("--older-than", min=1, metavar="DAYS", help="Since its end; from 7 up.")
    ] = 30,
    status: Statuses = None,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's (name or id).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete executions that ended long ago; exit code 1 if one of them refused.

    The latest execution of a workflow stays. Rows go within a minute, and do not come back.
    """

    async def work() -> Row:
        async with Client(platform.require()) as client:
            wanted: dict[str, Any] = {
                "older_than_days": older_than,
                "status": [each.upper() for each in status or ()],
                "execution_id": id,
                "limit": limit,
                "dry_run": dry_run,
                "asked_by": user(),
            }
            if workflow is not None:
                wanted["workflow_id"] = str((await deploying.find(client, workflow))["id"])
            return told(await client.post("engine", "/v1/bulk/purges", wanted), "engine")

    found = wait_for(work())
    if as_json:
        show(found)
    else:
        print_outcomes(found, "purged")
    if any(row["code"] for row in found["executions"]):
        raise typer.Exit(1)
