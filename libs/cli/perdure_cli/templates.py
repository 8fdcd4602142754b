"""`perdure template`: definitions that workflows begin from."""

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from perdure_contracts.templates import RetireTemplate, SaveTemplate

from perdure_cli import definitions, deploying, platform
from perdure_cli.client import Client, Row, user
from perdure_cli.deploying import Loaded
from perdure_cli.errors import CommandError
from perdure_cli.listing import Limit, Listed, listed, say_more
from perdure_cli.output import AsJson, ago, print_table, say, short, show, wait_for

app = typer.Typer(help="Templates: definitions that workflows begin from.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="NAME|ID", help="The template's name or id.")]


async def find(client: Client, which: str) -> Row:
    """Return the template with this id or name.

    Raises:
        CommandError: There is none, or there are several of that name.
    """
    if definitions.UUID.fullmatch(which):
        row = await client.row("engine", "workflow_templates", which)
        rows = [row] if row is not None else []
    else:
        rows = await client.rows("engine", "workflow_templates", most=10, name=which)
    if len(rows) != 1:
        ids = ", ".join(str(row["id"]) for row in rows)
        what = f"there are several templates called {which!r}; give the id of one: {ids}"
        raise CommandError(
            what if rows else f"there is no template {which!r}; `perdure template list` shows them",
            exit_code=2,
            code="ambiguous_template" if rows else "unknown_template",
        )
    return rows[0]


@app.command(name="list")
def list_(
    document_type: Annotated[str | None, typer.Option(help="Only those for this.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Retired ones too.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the templates that are offered."""

    async def work() -> Listed:
        async with Client(platform.require()) as client:
            equal: dict[str, Any] = {} if all_ else {"is_active": "true"}
            if document_type is not None:
                equal["document_type"] = document_type
            return await listed(client, "engine", "workflow_templates", limit, **equal)

    found = wait_for(work())
    rows = found.rows
    if as_json:
        show(rows)
        return
    print_table(
        ("template", "name", "for", "changed", "offered", "description"),
        (
            (
                row["id"],
                row["name"],
                row["document_type"],
                ago(row["updated_at"]),
                "yes" if row["is_active"] else "no",
                short(row["description"]),
            )
            for row in rows
        ),
        "there are no templates; `perdure template save FILE --document-type invoice` makes one",
    )
    say_more(found)


@app.command(name="show")
def show_(which: Which, as_json: AsJson = False) -> None:
    """Show a template with its definition."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            return await find(client, which)

    row = wait_for(work())
    if as_json:
        show(row)
        return
    say(f"{row['name']}, for {row['document_type']}: {row['description'] or 'no description'}")
    show(row["workflow_definition"])


@app.command()
def save(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A workflow file.")],
    document_type: Annotated[str, typer.Option(help="What it is for, such as invoice.")],
    name: Annotated[str | None, typer.Option(help="Its name; the file's if not given.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a template of a workflow file, or change the one of that name."""
    loaded = deploying.checked(file)

    async def work() -> tuple[str, bool]:
        async with Client(platform.require()) as client:
            called = name or loaded.name
            rows = await client.rows("engine", "workflow_templates", most=1, name=called)
            template_id = str(rows[0]["id"]) if rows else str(uuid.uuid4())
            message = SaveTemplate(
                template_id=template_id,
                name=called,
                document_type=document_type,
                definition=loaded.definition,
                description=description,
                saved_by=user(),
            )
            answer = await client.command("engine", template_id, message)
            return template_id, bool(answer.events)

    template_id, changed = wait_for(work())
    if as_json:
        show({"template_id": template_id, "changed": changed})
    else:
        say(f"template {template_id} is {'saved' if changed else 'as it was'}")


@app.command()
def retire(which: Which, as_json: AsJson = False) -> None:
    """Offer a template no more; workflows made from it stay."""

    async def work() -> str:
        async with Client(platform.require()) as client:
            template_id = str((await find(client, which))["id"])
            message = RetireTemplate(template_id=template_id, asked_by=user())
            await client.command("engine", template_id, message)
            return template_id

    template_id = wait_for(work())
    if as_json:
        show({"template_id": template_id, "is_active": False})
    else:
        say(f"template {template_id} is offered no more")


@app.command()
def use(
    which: Which,
    name: Annotated[str, typer.Option(help="What the workflow is to be called.")],
    as_json: AsJson = False,
) -> None:
    """Make a workflow from a template; it is not deployed."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            row = await find(client, which)
            if not row["is_active"]:
                raise CommandError(
                    f"the template {row['name']!r} is retired; save it again to offer it",
                    exit_code=2,
                    code="retired_template",
                )
            definition = {**row["workflow_definition"], "name": name}
            return await deploying.apply(client, Loaded(Path(which), definition, None))

    version = wait_for(work())
    if as_json:
        show(version)
    else:
        say(f"{version['name']} version {version['version']} is {version['workflow_id']}")
