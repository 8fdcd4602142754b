"""`perdure workflow`: check definitions, apply and deploy them, look at them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from perdure_contracts.deployments import RollbackWorkflow
from perdure_contracts.message import Json
from perdure_contracts.scheduler import UndeployWorkflow
from rich.markup import escape

from perdure_cli import deploying, diff, importing, platform
from perdure_cli.client import Client, Row, user
from perdure_cli.definitions import read_input
from perdure_cli.deploying import Loaded
from perdure_cli.errors import CommandError
from perdure_cli.listing import fetched, say_more
from perdure_cli.output import AsJson, ago, clock, console, print_table, say, short, show, wait_for

app = typer.Typer(help="Definitions: check, apply, deploy, look at them.", no_args_is_help=True)
app.command(name="import")(importing.import_)

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="YAML or JSON.")]
Targets = Annotated[
    list[str], typer.Argument(metavar="FILE|NAME…", help="A file, or a workflow's name or id.")
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="JSON|@FILE", help="An object that is written down with the deployment."
    ),
]


@app.command()
def validate(files: Files, as_json: AsJson = False) -> None:
    """Say everything that is wrong with definitions, each with its place. Applies nothing."""
    found: list[Row] = []
    for path in files:
        loaded = deploying.load(path)
        problems = deploying.problems_of(loaded.definition)
        if problems is None:
            raise CommandError(
                "the engine is not installed here, so nothing can be validated; install "
                "perdure-engine, or use `perdure workflow apply`, which validates too",
                code="engine_not_installed",
            )
        valid = not any(problem["severity"] == "error" for problem in problems)
        found.append({"file": str(path), "valid": valid, "problems": problems})
        if as_json:
            continue
        deploying.refusal(loaded, problems)
        if valid:
            say(f"{path} is valid")
    if as_json:
        show(found)
    if not all(each["valid"] for each in found):
        raise typer.Exit(2)


def _targets(targets: Sequence[str]) -> list[str | Loaded]:
    return [
        deploying.checked(Path(each), needs_trigger=True) if deploying.is_file(each) else each
        for each in targets
    ]


@app.command(name="apply")
def apply_(files: Files, as_json: AsJson = False) -> None:
    """Save definitions as new versions of their workflows; nothing is deployed."""
    loaded = [deploying.checked(path) for path in files]

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            return [await deploying.apply(client, each) for each in loaded]

    versions = wait_for(work())
    if as_json:
        show(versions)
        return
    for row in versions:
        text = "is version" if row["is_new"] else "is unchanged, version"
        say(f"{row['name']} {text} {row['version']} (workflow {row['workflow_id']})")


@app.command(name="deploy")
def deploy_(
    targets: Targets,
    config: Config = None,
    expected: Annotated[
        int | None,
        typer.Option("--if-serving", min=0, metavar="N", help="Only if this serves; 0: nothing."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let the newest version of workflows serve; files are applied first."""
    loaded, said = _targets(targets), _config(config)

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            done = [
                await deploying.apply_and_deploy(client, each, config=said, expected=expected)
                for each in loaded
            ]
            return [{**version, "is_newly_deployed": fresh} for version, fresh in done]

    versions = wait_for(work())
    if as_json:
        show(versions)
        return
    for row in versions:
        text = "serves now" if row["is_newly_deployed"] else "serves already"
        say(f"{row['name']} version {row['version']} {text}")


def _config(text: str | None) -> dict[str, Json] | None:
    """Return what `--config` gives.

    Raises:
        CommandError: It is no JSON object, or the file cannot be read.
    """
    if text is None:
        return None
    value = read_input(text)
    if not isinstance(value, dict):
        raise CommandError(
            'a deployment\'s configuration is an object; write --config \'{"ticket": "OPS-1"}\'',
            exit_code=2,
            code="invalid_input",
        )
    return cast("dict[str, Json]", value)


@app.command()
def undeploy(
    targets: Targets,
    cancel_running: Annotated[
        bool, typer.Option("--cancel-running", help="Stop what runs of the version that served.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let workflows' triggers serve no more; running executions finish unless told otherwise."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            done: list[Row] = []
            for target in targets:
                if deploying.is_file(target):
                    workflow_id = deploying.load(Path(target)).id_for(client.settings.tenant_id)
                else:
                    workflow_id = str((await deploying.find(client, target))["id"])
                message = UndeployWorkflow(
                    workflow_id=workflow_id, undeployed_by=user(), cancel_running=cancel_running
                )
                await client.command("scheduler", workflow_id, message)
                done.append({"workflow_id": workflow_id, "target": target})
            return done

    found = wait_for(work())
    if as_json:
        show(found)
        return
    for row in found:
        say(f"{row['target']} serves no more")


@app.command()
def rollback(
    target: Annotated[str, typer.Argument(metavar="NAME|ID", help="The workflow.")],
    to: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The version; else the one that served before."),
    ] = None,
    expected: Annotated[
        int | None,
        typer.Option("--if-serving", min=1, metavar="N", help="Only if this version serves."),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Let a version serve again that served before, as a new version of its own."""
    said = _config(config)

    async def work() -> Row:
        async with Client(platform.require()) as client:
            row = await deploying.find(client, target)
            # What the version that is gone back to needs is known to whoever is asked only later:
            # all credentials that any version of the workflow names are told.
            served = await deploying.credentials_of_versions(client, row)
            message = RollbackWorkflow(
                workflow_id=str(row["id"]),
                to_version=to,
                asked_by=user(),
                expected_version=expected,
                config=said,
                credentials=served,
            )
            return await deploying.roll_back(client, row, message)

    done = wait_for(work())
    if as_json:
        show(done)
    elif done["rollback_of"] is None:
        say(f"{done['name']} version {done['version']} serves already")
    else:
        say(
            f"{done['name']} version {done['version']} serves now; it is version "
            f"{done['rollback_of']} again"
        )


# Looking ------------------------------------------------------------------------------------


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the workflows."""
    found = fetched("engine", "workflows")
    rows = found.rows
    if as_json:
        show(rows)
        return
    print_table(
        ("workflow", "version", "deployment", "serves", "last execution", "when", "id"),
        (
            (
                row["name"],
                row["newest_version"],
                row["deployment_status"],
                row["deployment_version"] if row["deployment_status"] == "ACTIVE" else None,
                row["latest_execution_status"],
                ago(row["latest_execution_time"]),
                row["id"],
            )
            for row in rows
        ),
        "there are no workflows; `perdure workflow apply FILE` makes one",
    )
    say_more(found)


@app.command(name="show")
def show_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A workflow's name or id.")],
    as_json: AsJson = False,
) -> None:
    """Show a workflow: what serves, its nodes and connections, and its deployments."""

    async def work() -> tuple[Row, list[Row]]:
        async with Client(platform.require()) as client:
            row = await deploying.find(client, name)
            history = await client.rows(
                "scheduler", "workflow_deployment_history", most=10, workflow_id=str(row["id"])
            )
            return row, history

    row, history = wait_for(work())
    if as_json:
        show({**row, "deployments": history})
        return
    definition = row["workflow_data"]
    console.print(f"[bold]{escape(row['name'])}[/bold]  {escape(row['description'] or '')}")
    say(f"id {row['id']}, version {row['newest_version']}, {row['deployment_status']}")
    console.print()
    print_table(
        ("node", "type", "name", "goes to"),
        (
            (
                node["node_id"],
                f"{node['node_type']} {node.get('node_subtype', '')}",
                node.get("name", node["node_id"]),
                ", ".join(_goes_to(definition, node["node_id"])),
            )
            for node in definition["nodes"]
        ),
        "it has no nodes",
    )
    console.print()
    print_table(
        ("when", "what", "version", "by", ""),
        (
            (
                clock(each["started_at"]),
                each["deployment_action"],
                each["deployment_version"],
                each["triggered_by"],
                short(each["error_message"]),
            )
            for each in history
        ),
        "it was never deployed",
    )


@app.command(name="diff")
def diff_(
    target: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="A file, or a workflow's name or id.")
    ],
    before: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=1,
            metavar="N",
            help="The version to compare with: for a file the newest if not given, for a "
            "workflow the one before.",
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option("--to", min=1, metavar="N", help="A workflow's version; else the newest."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what differs between a file and its workflow, or between two versions.

    Exit code 0: nothing differs. 1: something does.
    """
    loaded = deploying.load(Path(target)) if deploying.is_file(target) else None
    if loaded is not None and after is not None:
        raise CommandError(
            "`--to` names a version of a workflow; a file has none", exit_code=2, code="wrong_usage"
        )

    async def work() -> tuple[Row, Row]:
        async with Client(platform.require()) as client:
            if loaded is not None:
                name = loaded.id_for(client.settings.tenant_id)
                row = await deploying.find(client, name, called=loaded.name)
                old = await deploying.frozen(client, row, before or row["newest_version"])
                return old, {**old, "version": None, "definition": loaded.definition}
            row = await deploying.find(client, target)
            newest = after or row["newest_version"]
            new = await deploying.frozen(client, row, newest)
            return await deploying.frozen(client, row, before or max(1, newest - 1)), new

    old, new = wait_for(work())
    changes = diff.differences(old["definition"], new["definition"])
    if as_json:
        show(
            {
                "workflow_id": old["workflow_id"],
                "name": old["name"],
                "from": old["version"],
                "to": new["version"],
                "changes": changes,
            }
        )
    else:
        to = str(loaded.path) if loaded is not None else f"version {new['version']}"
        say(f"{old['name']}: from version {old['version']} to {to}")
        for change in changes:
            say(diff.line(change))
        if not changes:
            say("nothing differs")
    if changes:
        raise typer.Exit(1)


def _goes_to(definition: Row, node_id: str) -> list[str]:
    found: list[str] = []
    edges: list[Row] = definition.get("connections") or []
    for edge in edges:
        if edge["source_node_id"] == node_id:
            port = str(edge.get("source_port", "main"))
            port = port.lower() if port in ("True", "False") else port  # booleans in the file
            target = edge["target_node_id"]
            found.append(target if port == "main" else f"{port} > {target}")
    return found
