"""`perdure vars` and `perdure static-data`: values that executions read when they begin."""

from typing import Annotated, Any, cast

import typer
from perdure_common.ids import static_data_stream, variables_stream
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_contracts.kept import DeleteVariable, SetVariable, UpdateStaticData

from perdure_cli import deploying, platform
from perdure_cli.client import Client, Row, user
from perdure_cli.definitions import read_input
from perdure_cli.errors import CommandError
from perdure_cli.listing import Limit, fetched, say_more
from perdure_cli.output import AsJson, ago, print_table, say, short, show, wait_for

app = typer.Typer(help="Variables of a workspace, which expressions read as `$vars`.",
                  no_args_is_help=True)  # fmt: skip
static_data = typer.Typer(help="What executions of a workflow keep for those to come.",
                          no_args_is_help=True)  # fmt: skip

Name = Annotated[str, typer.Argument(metavar="NAME", help="The variable.")]
Workspace = Annotated[str, typer.Option(help="The workspace that has it.")]
Expected = Annotated[
    int | None, typer.Option(help="Only if it was changed so many times; 0: only if it is not.")
]
Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Its name or id.")]


@app.command(name="list")
def list_(
    workspace: Workspace = DEFAULT_WORKSPACE, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the variables that are set."""
    found = fetched("engine", "variables", limit, workspace_id=workspace, is_set="true")
    rows = found.rows
    if as_json:
        show(rows)
        return
    print_table(
        ("variable", "value", "set", "changed", "by"),
        (
            (
                row["name"],
                short(row["value"]),
                row["number"],
                ago(row["updated_at"]),
                row["changed_by"],
            )
            for row in rows
        ),
        "there are no variables; `perdure vars set NAME VALUE` sets one",
    )
    say_more(found)


@app.command()
def get(name: Name, workspace: Workspace = DEFAULT_WORKSPACE, as_json: AsJson = False) -> None:
    """Show the value of a variable, as JSON."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            equal = {"workspace_id": workspace, "is_set": "true", "name": name}
            return await client.rows("engine", "variables", most=1, **equal)

    rows = wait_for(work())
    if not rows:
        raise CommandError(
            f"there is no variable {name!r}; `perdure vars list` shows those there are",
            exit_code=2,
            code="variable_not_found",
        )
    show(rows[0] if as_json else rows[0]["value"])


@app.command(name="set")
def set_(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE|JSON|@FILE", help="Text, or JSON.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Set a variable; executions that have begun keep what they saw. What is no JSON is a text."""

    async def work() -> None:
        async with Client(platform.require()) as client:
            stream = variables_stream(client.settings.tenant_id, workspace)
            message = SetVariable(
                variables_id=stream,
                workspace_id=workspace,
                name=name,
                value=_value(value),
                expected=expected,
                asked_by=user(),
            )
            await client.command("engine", stream, message)

    wait_for(work())
    if as_json:
        show({"name": name, "workspace_id": workspace})
    else:
        say(f"{name} is set")


@app.command()
def delete(
    name: Name,
    workspace: Workspace = DEFAULT_WORKSPACE,
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Take a variable away; it is null from then on."""

    async def work() -> None:
        async with Client(platform.require()) as client:
            stream = variables_stream(client.settings.tenant_id, workspace)
            message = DeleteVariable(
                variables_id=stream,
                workspace_id=workspace,
                name=name,
                expected=expected,
                asked_by=user(),
            )
            await client.command("engine", stream, message)

    wait_for(work())
    if as_json:
        show({"name": name, "workspace_id": workspace})
    else:
        say(f"{name} is gone")


@static_data.command(name="show")
def show_data(workflow: Workflow, as_json: AsJson = False) -> None:
    """Show the static data of a workflow; what nothing has changed is as the definition says."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            found = await deploying.find(client, workflow)
            row = await client.row("engine", "workflow_static_data", str(found["id"]))
            return row or {"data": found["static_data"] or {}, "number": 0}

    row = wait_for(work())
    show(row if as_json else row["data"])


@static_data.command(name="set")
def set_data(
    workflow: Workflow,
    data: Annotated[str, typer.Argument(metavar="JSON|@FILE", help="All of it, an object.")],
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Replace the static data of a workflow."""
    read = read_input(data)
    if not isinstance(read, dict):
        raise CommandError(
            "static data is an object; write JSON such as '{\"last_id\": 0}'",
            exit_code=2,
            code="invalid_input",
        )
    given = cast("dict[str, Any]", read)

    async def work() -> str:
        async with Client(platform.require()) as client:
            workflow_id = str((await deploying.find(client, workflow))["id"])
            stream = static_data_stream(workflow_id)
            message = UpdateStaticData(
                static_data_id=stream,
                workflow_id=workflow_id,
                values=given,
                replaces=True,
                expected=expected,
                asked_by=user(),
            )
            await client.command("engine", stream, message)
            return workflow_id

    workflow_id = wait_for(work())
    if as_json:
        show({"workflow_id": workflow_id})
    else:
        say("the static data is replaced")


def _value(text: str) -> Any:
    """Return what a value on the command line means: JSON where it is any, else the text."""
    if text.startswith("@"):
        return read_input(text)
    try:
        return read_input(text)
    except CommandError:
        return text
