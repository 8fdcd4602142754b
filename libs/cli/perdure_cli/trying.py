"""`perdure triggers test`: a URL for one request that starts the draft, whatever serves.

The commands of `triggers` stand in the same group, which is whole when this is loaded.
"""

import asyncio
import time
from typing import Any

from perdure_cli import deploying, platform, triggers
from perdure_cli.client import Client, Row, told
from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, say, show, wait_for
from perdure_cli.triggers import Node, Workflow, app

__all__ = ["app", "test", "triggers"]

ON_HTTP = ("WEBHOOK", "GITHUB", "SLACK")
LOOK_S = 0.25
OPEN_S = 120.0


@app.command()
def test(workflow: Workflow, node: Node = None, as_json: AsJson = False) -> None:
    """Wait two minutes for one request to a test URL; it starts the newest version, by hand."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            found = await deploying.find(client, workflow)
            opened = await _opened(client, found, node)
            if not as_json:
                say(f"send one request to {opened['url']} within {OPEN_S:.0f} s")
            else:
                show(opened)
            return {**opened, "execution_id": await _used(client, opened["id"])}

    became = wait_for(work())
    if as_json:
        show(became)
    else:
        say(f"execution {became['execution_id']} has started; `perdure executions show` tells more")


async def _opened(client: Client, workflow: Row, node: str | None) -> Row:
    """Open a test URL for a trigger node of the newest version.

    Raises:
        CommandError: There is no such node, or several; or the scheduler refuses it.
    """
    version = int(workflow["newest_version"])
    frozen = await deploying.frozen(client, workflow, version)
    definition: Any = frozen["definition"]
    nodes: list[Any] = [
        each
        for each in definition["nodes"]
        if each.get("node_type") == "TRIGGER" and each.get("node_subtype") in ON_HTTP
    ]
    meant = [each for each in nodes if node is None or each["node_id"] == node]
    if len(meant) != 1:
        known = ", ".join(sorted(str(each["node_id"]) for each in nodes)) or "none"
        raise CommandError(
            f"version {version} of {workflow['name']} has {len(meant)} trigger nodes that could be "
            f"meant; on HTTP there are: {known}" + ("; name one with --node" if meant else ""),
            exit_code=2,
            code="ambiguous_trigger" if meant else "trigger_not_found",
        )
    wanted = {
        "workflow_id": str(workflow["id"]),
        "workflow_name": str(workflow["name"]),
        "version": version,
        "node": meant[0],
    }
    return told(await client.post("scheduler", "/v1/trigger_tests", wanted), "scheduler")


async def _used(client: Client, trial: str) -> str:
    """Wait for the request and return the execution that it started.

    Raises:
        CommandError: None came.
    """
    limit = time.monotonic() + OPEN_S
    while time.monotonic() < limit:
        answer = await client.get("scheduler", f"/v1/trigger_tests/{trial}")
        execution_id = told(answer, "scheduler")["execution_id"]
        if execution_id is not None:
            return str(execution_id)
        await asyncio.sleep(LOOK_S)
    raise CommandError("no request came that was taken; the scheduler's log says what was refused")
