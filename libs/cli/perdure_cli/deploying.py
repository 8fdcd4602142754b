"""From files to definitions, from definitions to versions, from versions to what serves.

A file's workflow is found again by its name, so applying a file again makes a new version of
the same workflow; a file may name its workflow's id instead (`id`).
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from perdure_common.credentials import PostgresCredentials, Seal, named_by_triggers
from perdure_common.ids import sha256_of_json
from perdure_common.shell.ports import Unreachable
from perdure_contracts.deployments import RollbackWorkflow
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.message import Json
from perdure_contracts.scheduler import DeploymentFailed, DeployWorkflow, WorkflowDeployed
from rich.markup import escape

from perdure_cli import definitions
from perdure_cli.client import Client, Row, user
from perdure_cli.errors import CommandError
from perdure_cli.output import errors

DEPLOYMENT_S = 75.0
"""How long the end of a deployment is waited for; the scheduler gives up after 60 s."""

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Loaded:
    """A definition from a file. `id` is the workflow's, where the file names one."""

    path: Path
    definition: Any
    id: str | None

    @property
    def name(self) -> str:
        """The workflow's name; empty if the file gives none."""
        values = cast(
            "dict[str, Any]", self.definition if isinstance(self.definition, dict) else {}
        )
        name = values.get("name")
        return name if isinstance(name, str) else ""

    def id_for(self, tenant_id: str) -> str:
        """Return the workflow's id: the file's own, or the one that follows from the name."""
        return self.id or definitions.workflow_id(tenant_id, self.name)


def load(path: Path) -> Loaded:
    """Return the definition in a file.

    Raises:
        CommandError: It cannot be read.
    """
    return Loaded(path, *definitions.read_definition(path))


def is_file(target: str) -> bool:
    """Return whether a target is meant as a file rather than as a workflow's name."""
    return target.lower().endswith(SUFFIXES) or Path(target).is_file()


# Validating -------------------------------------------------------------------------------


def problems_of(definition: Any) -> list[Row] | None:
    """Return every problem of a definition, None if the engine is not installed here.

    The entry point `perdure.definitions:engine` is the engine's own validation, so that the
    command line needs to know nothing of nodes. A row has code, severity, path, message and
    node_id.
    """
    for entry in entry_points(group="perdure.definitions", name="engine"):
        found: Any = entry.load()(definition)
        return rows_of(found.problems)
    return None


def rows_of(problems: Iterable[Any]) -> list[Row]:
    """Return problems as the engine has them, as rows."""
    names = ("code", "severity", "path", "node_id", "message")
    return [{name: getattr(each, name) for name in names} for each in problems]


def problem_line(place: str, problem: Mapping[str, Any]) -> str:
    """Return a problem as a line: file, place in it, node, what is wrong and what to do."""
    node = f" (node {problem['node_id']!r})" if problem["node_id"] is not None else ""
    where = problem["path"] or "definition"
    return f"{place}: {where}{node}: {problem['message']} [{problem['code']}]"


def refusal(loaded: Loaded, problems: Iterable[Row]) -> CommandError | None:
    """Print the problems of a file; return why it is refused, None if it is not."""
    count = 0
    listed = list(problems)
    for problem in listed:
        error = problem["severity"] == "error"
        count += error
        mark = "[red]error[/red]  " if error else "[yellow]warning[/yellow]"
        errors.print(f"{mark} {escape(problem_line(str(loaded.path), problem))}")
    if not count:
        return None
    what = "one error" if count == 1 else f"{count} errors"
    return CommandError(
        f"{loaded.path} is refused for {what}; nothing was applied",
        exit_code=2,
        code="invalid_definition",
        more={"file": str(loaded.path), "problems": listed},
    )


def checked(path: Path, *, needs_trigger: bool = False) -> Loaded:
    """Return a file's definition if nothing is wrong with it, as far as can be told here.

    Raises:
        CommandError: It cannot be read, or is refused; its problems have been printed.
    """
    loaded = load(path)
    found = refusal(loaded, problems_of(loaded.definition) or ())
    if found is not None:
        raise found
    if needs_trigger and not _has_trigger(loaded.definition):
        raise CommandError(
            f"{path} has no enabled node of type TRIGGER, so nothing can start it; add one",
            exit_code=2,
            code="no_trigger",
        )
    return loaded


def _has_trigger(definition: Any) -> bool:
    values = cast("dict[str, Any]", definition if isinstance(definition, dict) else {})
    nodes = values.get("nodes")
    return any(
        isinstance(node, dict)
        and cast("dict[str, Any]", node).get("node_type") == "TRIGGER"
        and cast("dict[str, Any]", node).get("disabled") is not True
        for node in cast("list[Any]", nodes if isinstance(nodes, list) else [])
    )


# Applying and deploying ------------------------------------------------------------------


async def apply(client: Client, loaded: Loaded) -> Row:
    """Save a definition as the newest version of its workflow, and return the version's row.

    The row has workflow_id, version, name, sha256, and `is_new`: False if the newest version
    is the same already.

    Raises:
        CommandError: It is refused (exit code 2), or not answered.
    """
    workflow_id = loaded.id_for(client.settings.tenant_id)
    message = SaveWorkflow(workflow_id=workflow_id, definition=loaded.definition, saved_by=user())
    try:
        answer = await client.command("engine", workflow_id, message)
    except CommandError as error:
        if error.code != "invalid_definition":
            raise
        text = f"{loaded.path} is refused:\n{error}"
        raise CommandError(text, exit_code=2, code=error.code) from None
    row = await client.row("engine", "workflows", workflow_id)
    if row is None:
        raise CommandError(
            f"workflow {workflow_id} was saved but is not shown; run `perdure replay --check`",
            code="not_shown",
        )
    return {
        "workflow_id": workflow_id,
        "name": row["name"],
        "version": row["newest_version"],
        "sha256": sha256_of_json(loaded.definition),
        "is_new": bool(answer.events),
    }


async def deploy(
    client: Client,
    version: Row,
    definition: Any,
    *,
    config: Json = None,
    expected: int | None = None,
) -> bool:
    """Let a version serve; return False if it does already.

    `version` is a row as `apply` returns, `config` is written down with the deployment. If another
    version serves than `expected` (0: none), nothing happens.

    Raises:
        CommandError: The scheduler refuses it, or does not answer.
    """
    workflow_id = version["workflow_id"]
    message = DeployWorkflow(
        workflow_id=workflow_id,
        version=version["version"],
        sha256=version["sha256"],
        definition=definition,
        deployed_by=user(),
        expected_version=expected,
        config=config,
        credentials=await fields_there(client, definition),
    )
    answer = await client.command("scheduler", workflow_id, message)
    if answer.events and not answer.has(WorkflowDeployed):
        await _ended(client, workflow_id, str(version["name"]), failed=answer.has(DeploymentFailed))
    return bool(answer.events)


async def _ended(client: Client, workflow_id: str, name: str, *, failed: bool = False) -> Row:
    """Wait for the end of a deployment that began, and return its row in the history.

    Raises:
        CommandError: It failed, or takes longer than a deployment may.
    """
    deadline = time.monotonic() + DEPLOYMENT_S
    while time.monotonic() < deadline:
        [row] = await client.rows(
            "scheduler", "workflow_deployment_history", most=1, workflow_id=workflow_id
        ) or [{}]
        action = row.get("deployment_action")
        if action == "DEPLOY_FAILED":
            raise CommandError(
                f"version {row['deployment_version']} of {name} cannot be deployed: "
                f"{row['error_message']}",
                exit_code=2,
                code="deployment_failed",
            )
        if action == "DEPLOY_COMPLETED" and not failed:
            return row
        await asyncio.sleep(0.1)
    raise CommandError(
        f"the deployment of {name} has not ended within {DEPLOYMENT_S:.0f} s; "
        "`perdure workflow show` says how it goes on, `perdure status` what is behind",
        code="not_answered",
    )


async def roll_back(client: Client, workflow: Row, message: RollbackWorkflow) -> Row:
    """Let a version serve again that served before.

    Returns workflow_id, name, version (the new one) and rollback_of: None if it serves already.

    Raises:
        CommandError: It is refused, fails, or is not answered.
    """
    workflow_id, name = str(workflow["id"]), str(workflow["name"])
    answer = await client.command("scheduler", workflow_id, message)
    if not answer.events:
        version = workflow["deployment_version"]
        return {"workflow_id": workflow_id, "name": name, "version": version, "rollback_of": None}
    row = await _ended(client, workflow_id, name)
    return {
        "workflow_id": workflow_id,
        "name": name,
        "version": row["deployment_version"],
        "rollback_of": row["deployment_config"]["rollback_of"],
    }


async def credentials_of_versions(client: Client, workflow: Row) -> dict[str, tuple[str, ...]]:
    """Return what the credentials have that the newest hundred versions of a workflow name."""
    rows = await client.rows(
        "engine", "workflow_versions", most=100, workflow_id=str(workflow["id"])
    )
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if named_by_triggers(row["definition"]):
            found |= await fields_there(client, row["definition"])
    return found


async def fields_there(client: Client, definition: Any) -> dict[str, tuple[str, ...]]:
    """Return what the credentials have that trigger nodes name: names of fields, no values."""
    named = named_by_triggers(definition)
    if not named:
        return {}
    store = PostgresCredentials(client.settings.database_url, Seal(()))
    try:
        listed = await store.list(client.settings.tenant_id)
    except Unreachable as error:
        raise CommandError(str(error), code="database_unreachable") from None
    finally:
        await store.close()
    return {each.handle: each.fields for each in listed if each.handle in named}


async def frozen(client: Client, workflow: Row, version: int) -> Row:
    """Return a frozen version of a workflow, with its definition.

    Raises:
        CommandError: There is no such version.
    """
    rows = await client.rows(
        "engine", "workflow_versions", most=1, workflow_id=workflow["id"], version=str(version)
    )
    if not rows:
        raise CommandError(
            f"{workflow['name']} has no version {version}; the newest is "
            f"{workflow['newest_version']}",
            exit_code=2,
            code="unknown_version",
        )
    return rows[0]


async def find(client: Client, name: str, *, called: str = "") -> Row:
    """Return the row of the workflow with this id or name; `called` is what to call it to people.

    Raises:
        CommandError: There is none, or there are several of that name.
    """
    if definitions.UUID.fullmatch(name):
        row = await client.row("engine", "workflows", name)
        rows = [row] if row is not None else []
    else:
        rows = await client.rows("engine", "workflows", most=10, name=name)
    if not rows:
        raise CommandError(
            f"there is no workflow {called or name!r}; `perdure workflow list` shows those there "
            "are, `perdure workflow apply FILE` makes one",
            exit_code=2,
            code="unknown_workflow",
        )
    if len(rows) > 1:
        ids = ", ".join(str(row["id"]) for row in rows)
        raise CommandError(
            f"there are several workflows called {name!r}; give the id of one: {ids}",
            exit_code=2,
            code="ambiguous_workflow",
        )
    return rows[0]


async def newest(client: Client, name: str) -> tuple[Row, Any]:
    """Return the newest version of a workflow as `apply` does, and its definition.

    Raises:
        CommandError: See `find`.
    """
    row = await find(client, name)
    version = {
        "workflow_id": row["id"],
        "name": row["name"],
        "version": row["newest_version"],
        "sha256": row["sha256"],
        "is_new": False,
    }
    return version, row["workflow_data"]


async def apply_and_deploy(
    client: Client, target: str | Loaded, *, config: Json = None, expected: int | None = None
) -> tuple[Row, bool]:
    """Let a file's definition, or a workflow's newest version, serve.

    Returns the version, and whether it began to serve only now. The rest is as in `deploy`.

    Raises:
        CommandError: It is refused, or somebody does not answer.
    """
    if isinstance(target, Loaded):
        version, definition = await apply(client, target), target.definition
    else:
        version, definition = await newest(client, target)
    return version, await deploy(client, version, definition, config=config, expected=expected)
