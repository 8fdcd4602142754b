"""`perdure executions signal` and `query`: tell a running execution something, ask how it is.

The commands of `steering` stand in the same group, which is whole when this is loaded.
"""

import uuid
from typing import Annotated, Any
from urllib.parse import quote

import typer
from perdure_contracts.flow import SignalExecution

from perdure_cli import files as files
from perdure_cli import pictures, platform, steering
from perdure_cli.client import Client, Row, told, user
from perdure_cli.definitions import read_input
from perdure_cli.executions import Id, app
from perdure_cli.output import AsJson, print_table, say, show, wait_for

__all__ = ["app", "files", "query", "signal", "steering"]


@app.command()
def signal(
    id: Id,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The event's name.")],
    data: Annotated[str, typer.Option("--data", metavar="JSON|@FILE", help="What it says.")] = "{}",
    key: Annotated[str, typer.Option(help="Which one of that name a WAIT must wait for.")] = "",
    signal_id: Annotated[
        str, typer.Option("--id", help="Makes it one signal, however often it is sent.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Tell a running execution something: a WAIT for it goes on, now or when it comes."""

    async def work() -> str:
        async with Client(platform.require()) as client:
            await pictures.require(client, id)
            message = SignalExecution(
                execution_id=id,
                name=name,
                signal_id=signal_id or str(uuid.uuid4()),
                payload=read_input(data),
                key=key,
                sent_by=user(),
            )
            answer = await client.command("engine", id, message)
            return "taken" if "engine.wait-ended.v1" in answer.events else "kept"

    became = wait_for(work())
    if as_json:
        show({"execution_id": id, "name": name, "signal": became})
    elif became == "taken":
        say(f"{id} goes on with it")
    else:
        say(f"{id} keeps it for the WAIT that comes")


@app.command()
def query(
    id: Id,
    node: Annotated[str | None, typer.Option(help="Show what this node emitted.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask an execution for its state at this moment, from the journal."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            path = f"/v1/workflow_executions/{quote(id, safe='')}/query"
            parameters = [] if node is None else [("node_id", node)]
            return told(await client.get("engine", path, parameters), "engine")

    found = wait_for(work())
    if as_json or node is not None:
        show(found)
        return
    say(f"{id} is {found['status']}, {found['steps']} of {found['steps_total']} nodes have ended")
    rows: list[Any] = found["nodes"]
    print_table(
        ("node", "scope", "run", "attempt", "status"),
        ((r["node_id"], r["scope"], r["run"], r["attempt"], r["status"]) for r in rows),
        "no node has a run yet",
    )
