"""`perdure executions …`: what changes an execution: pause, resume, retry, mark.

The commands stand in the group of `executions`, which only looks and stops.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from perdure_contracts.control import MarkNode, PauseExecution, RerunExecution, ResumeExecution
from perdure_contracts.engine import RetryNode

from perdure_cli import bulk as bulk
from perdure_cli import log_lines as log_lines
from perdure_cli import pictures, platform, sending_files
from perdure_cli import purging as purging
from perdure_cli.client import Client, Row, user
from perdure_cli.definitions import read_input
from perdure_cli.errors import CommandError
from perdure_cli.executions import Id, app, followed, outcome
from perdure_cli.output import AsJson, say, show, wait_for
from perdure_cli.pictures import Picture
from perdure_cli.running import appeared
from perdure_cli.sending_files import FilesOption

NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not follow it.")]
Reason = Annotated[str, typer.Option(help="What is written down as the reason.")]
Version = Annotated[int | None, typer.Option(help="The version to run; the same if not given.")]
Scope = Annotated[
    str, typer.Option(help="The loops around the node, as `show` names them: each.0/inner.2")
]


async def sent(execution_id: str, message: object) -> Picture:
    """Send a command to an execution; return how it stands after it."""
    async with Client(platform.require()) as client:
        await pictures.require(client, execution_id)
        await client.command("engine", execution_id, message)
        return await pictures.require(client, execution_id)


def _told(picture: Picture, text: str, *, as_json: bool) -> None:
    if as_json:
        show(pictures.as_json(picture))
    else:
        say(f"{picture.id} {text}; it is {picture.status}")


@app.command()
def pause(id: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Pause an execution: nothing new begins, what runs may finish, deadlines stand still."""
    message = PauseExecution(execution_id=id, reason=reason, asked_by=user())
    _told(wait_for(sent(id, message)), "is paused", as_json=as_json)


@app.command()
def resume(id: Id, as_json: AsJson = False) -> None:
    """Let a paused execution go on."""
    message = ResumeExecution(execution_id=id, asked_by=user())
    _told(wait_for(sent(id, message)), "goes on", as_json=as_json)


@app.command()
def mark(
    id: Id,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node's id.")],
    outcome: Annotated[Literal["done", "skipped"], typer.Option("--as", help="How it ends.")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON|@FILE", help="What it emits.")
    ] = None,
    file: FilesOption = None,
    scope: Scope = "",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Settle a node by hand, in place of an attempt that waits or has failed."""
    paths = sending_files.paths_beside(file, data, "--data")
    message = MarkNode(
        execution_id=id,
        node_id=node,
        outcome=outcome,
        scope=_scope(scope),
        data=None if data is None else read_input(data),
        reason=reason,
        asked_by=user(),
    )

    async def work() -> Picture:
        async with Client(platform.require()) as client:
            await pictures.require(client, id)
            files = await sending_files.beside(client, paths)
            await client.command("engine", id, replace(message, files=files))
            return await pictures.require(client, id)

    _told(wait_for(work()), f"has {node} marked as {outcome}", as_json=as_json)


def _scope(text: str) -> tuple[tuple[str, int], ...]:
    parts = [part.rpartition(".") for part in text.split("/")] if text else []
    if not all(region and k.isdecimal() for region, _, k in parts):
        raise CommandError(
            f"{text!r} is no scope; write each.0, or each.0/inner.2 as `perdure executions show` "
            "does",
            exit_code=2,
            code="invalid_scope",
        )
    return tuple((region, int(k)) for region, _, k in parts)


SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=JSON", help="A parameter of the node to be another."),
]
ModelOption = Annotated[str | None, typer.Option("--model", help="The model to ask instead.")]
CredentialOption = Annotated[
    str | None,
    typer.Option("--credential", help="The credential to use in place of the node's own."),
]


@app.command()
def rerun(
    id: Id,
    start: Annotated[
        bool, typer.Option("--from-start", help="From its start: everything runs again.")
    ] = False,
    node: Annotated[
        str | None, typer.Option("--node", help="From this node; the failed one if not given.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="The version to run; the same if none.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE", help="What --node takes instead."),
    ] = None,
    set_: SetOption = None,
    model: ModelOption = None,
    credential: CredentialOption = None,
    file: FilesOption = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Run an ended execution again as a new one, which adopts what was finished before."""
    origin = "start" if start else "failed" if node is None else "node"
    overrides = changed(set_ or (), model, credential, data)
    paths = sending_files.paths_beside(file, data, "--input")
    message = _message(id, origin, node, version, overrides)
    _begin(message, paths, no_wait=no_wait, as_json=as_json)


@app.command()
def fork(
    id: Id,
    node: Annotated[str, typer.Option("--node", help="The node from which the new one goes on.")],
    version: Annotated[
        int | None, typer.Option(help="The version to run; the same if none.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE", help="What the node takes instead."),
    ] = None,
    set_: SetOption = None,
    model: ModelOption = None,
    credential: CredentialOption = None,
    file: FilesOption = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Begin a new execution that goes on from a node; the old one goes on as it is."""
    overrides = changed(set_ or (), model, credential, data)
    paths = sending_files.paths_beside(file, data, "--input")
    message = replace(_message(id, "node", node, version, overrides), fork=True)
    _begin(message, paths, no_wait=no_wait, as_json=as_json)


def _message(
    id: str,
    origin: Literal["start", "failed", "node"],
    node: str | None,
    version: int | None,
    overrides: Row | None,
) -> RerunExecution:
    return RerunExecution(
        execution_id=id,
        new_execution_id=str(uuid.uuid4()),
        origin=origin,
        node_id=node or "",
        version=version,
        overrides=overrides,
        asked_by=user(),
    )


def _begin(
    message: RerunExecution, paths: Mapping[str, Path], *, no_wait: bool, as_json: bool
) -> None:
    """Begin an execution from another one, and follow it to its end unless `no_wait`."""
    id = message.execution_id

    async def work() -> Picture | None:
        async with Client(platform.require()) as client:
            await pictures.require(client, id)
            overrides = await _with_files(client, message.overrides, paths)
            await client.command("engine", id, replace(message, overrides=overrides))
            if no_wait:
                return None
            await appeared(client, message.new_execution_id)
            return await followed(client, message.new_execution_id, quiet=as_json)

    picture = wait_for(work())
    if picture is not None:
        raise typer.Exit(outcome(picture, as_json=as_json))
    if as_json:
        show({"execution_id": message.new_execution_id, "parent_execution_id": id})
    else:
        say(f"{id} is run again as {message.new_execution_id}")


@app.command()
def retry(
    id: Id,
    node: Annotated[
        str | None, typer.Option(help="The node to run again; the failed one if not given.")
    ] = None,
    set_: SetOption = None,
    model: ModelOption = None,
    credential: CredentialOption = None,
    data: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE", help="What it takes instead of its items."),
    ] = None,
    file: FilesOption = None,
    delay: Annotated[float, typer.Option(help="Seconds to wait before.")] = 0.0,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Run a node of an ended execution once more, and follow it to its end."""
    paths = sending_files.paths_beside(file, data, "--input")
    overrides = changed(set_ or (), model, credential, data)

    async def work() -> Picture | None:
        async with Client(platform.require()) as client:
            picture = await pictures.require(client, id)
            row = _to_retry(picture, node)
            message = RetryNode(
                execution_id=id,
                node_id=row["node_id"],
                scope=tuple(pictures.scope_of(row)),
                asked_by=user(),
                overrides=await _with_files(client, overrides, paths),
                delay_s=delay,
            )
            await client.command("engine", id, message)
            return None if no_wait else await followed(client, id, quiet=as_json)

    picture = wait_for(work())
    if picture is None:
        if as_json:
            show({"execution_id": id, "retried": True})
        else:
            say(f"{id} goes on; `perdure executions watch {id}` follows it")
        return
    raise typer.Exit(outcome(picture, as_json=as_json))


def changed(
    pairs: Sequence[str], model: str | None, credential: str | None, data: str | None
) -> Row | None:
    """Return what is to be other than it was, None if nothing is."""
    found: Row = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise CommandError(
                f"{pair!r} changes nothing; write name=value, the value as JSON",
                exit_code=2,
                code="invalid_parameter",
            )
        found.setdefault("parameters", {})[name] = _json(value)
    if model is not None:
        found["model"] = model
    if credential is not None:
        found["credentials"] = {"credential": credential}
    if data is not None:
        given = read_input(data)
        found["input"] = given if isinstance(given, list) else [given]
    return found or None


async def _with_files(client: Client, overrides: Any, paths: Mapping[str, Path]) -> Any:
    """Send files, and return overrides in which the first item of the input has them."""
    files = await sending_files.beside(client, paths)
    return overrides if files is None else {**overrides, "files": files}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # plain texts need no quotes


def _to_retry(picture: Picture, node: str | None) -> Row:
    """Return the node run that is to run again: the one named, or the one that failed."""
    if node is None:
        candidates = picture.failures()
    else:
        candidates = [row for row in picture.nodes if row["node_id"] == node]
    if not candidates:
        what = "no node failed" if node is None else f"the node {node!r} has no run"
        raise CommandError(
            f"{what} in execution {picture.id}; `perdure executions show {picture.id}` shows its "
            "nodes, `--node` names one",
            exit_code=2,
            code="nothing_to_retry",
        )
    return candidates[-1]
