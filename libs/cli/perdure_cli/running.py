"""`perdure run` and `perdure trigger`: events to the topic, and what they start."""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from perdure_contracts.engine import StartExecution
from perdure_contracts.publish import TRIGGERS

from perdure_cli import deploying, platform, sending_files
from perdure_cli.client import Client, Sent, told, user
from perdure_cli.definitions import read_input
from perdure_cli.deploying import Loaded
from perdure_cli.errors import CommandError
from perdure_cli.executions import followed, outcome
from perdure_cli.output import AsJson, say, show, wait_for
from perdure_cli.pictures import Picture
from perdure_cli.sending_files import FilesOption

MANUAL = "perdure.trigger.manual"
OURS = "perdure.trigger."

BEGIN_S = 30.0
"""How long an execution may take to appear after its trigger event was accepted."""

LOOK_ASIDE_S = 0.7
"""How often it is looked for where else an event may have gone while it is not answered."""

QUIET_MAX = 2
"""After how many looks in a row an event that left no trace matched nothing; a dead letter
takes a moment to reach recovery."""


async def started_by(client: Client, sent: Sent) -> list[str]:
    """Wait until the scheduler has taken a trigger event; return the executions it starts.

    What matches no trigger is never answered, because the same event may match later: it is
    known by the scheduler having read everything. Then the list is empty.

    Raises:
        CommandError: It was refused, or it was not read in time.
    """
    deadline = time.monotonic() + client.answer_s
    aside_at = time.monotonic() + LOOK_ASIDE_S
    quiet = 0
    while (answer := await client.look("scheduler", sent)) is None:
        now = time.monotonic()
        if now > aside_at:
            aside_at = now + LOOK_ASIDE_S
            quiet = quiet + 1 if await _left_no_trace(client, sent) else 0
            if quiet == QUIET_MAX:
                return []
        if now > deadline:
            raise CommandError(
                f"the scheduler has not answered event {sent.id} within {client.answer_s:.0f} s; "
                "it will: `perdure status` says what is behind",
                code="not_answered",
            )
        await asyncio.sleep(0.05)
    if not answer.events:
        return []
    rows = await client.rows(
        "scheduler", "trigger_deliveries", most=1, source=sent.source, id=sent.id
    )
    return [str(id) for row in rows for id in row["executions"]]


async def _left_no_trace(client: Client, sent: Sent) -> bool:
    """Return whether the scheduler has read everything and said nothing of an event.

    Raises:
        CommandError: The event is a dead letter, or was refused.
    """
    read = await client.lag("scheduler", TRIGGERS) == 0
    if "recovery" in client.running.urls:
        letter = await client.buried(sent)
        if letter is not None:
            raise CommandError(
                f"the event was not taken: {letter['error']} (dead letter {letter['id']})",
                code="dead_letter",
            )
    return read and await client.look("scheduler", sent) is None


async def appeared(client: Client, execution_id: str) -> None:
    """Wait until an execution has begun.

    Raises:
        CommandError: It has not within `BEGIN_S`.
    """
    deadline = time.monotonic() + BEGIN_S
    while not await client.rows("engine", "workflow_executions", execution_id=execution_id):
        if time.monotonic() > deadline:
            raise CommandError(
                f"execution {execution_id} has not begun within {BEGIN_S:.0f} s; "
                "`perdure status` says what is behind, and it will begin when the engine does",
                code="not_begun",
            )
        await asyncio.sleep(0.05)


async def _run(
    target: str | Loaded, data: Any, node: str | None, key: str | None, *, quiet: bool
) -> Picture:
    async with Client(platform.require()) as client:
        version, fresh = await deploying.apply_and_deploy(client, target)
        if fresh and not quiet:
            say(f"{version['name']} version {version['version']} serves now")
        extensions = {"triggernode": node} if node is not None else {}
        if key is not None:
            extensions["executionkey"] = key
        sent = await client.trigger(MANUAL, version["workflow_id"], data, extensions=extensions)
        ids = await started_by(client, sent)
        if not ids:
            raise CommandError(
                f"the event reached no trigger of {version['name']}; `perdure workflow show "
                f"{version['workflow_id']}` shows them",
                code="nothing_started",
            )
        await appeared(client, ids[0])
        return await followed(client, ids[0], quiet=quiet)


async def _with_files(
    target: str | Loaded,
    data: Any,
    node: str | None,
    key: str | None,
    mocks: Any,
    paths: Mapping[str, Path],
    *,
    quiet: bool,
) -> Picture:
    """Run a version whose first item has files: a trigger event carries none."""
    async with Client(platform.require()) as client:
        files = await sending_files.sent(client, paths)  # what is too large deploys nothing
        version, fresh = await deploying.apply_and_deploy(client, target)
        if fresh and not quiet:
            say(f"{version['name']} version {version['version']} serves now")
        wanted = {
            "workflow_id": str(version["workflow_id"]),
            "version": int(version["version"]),
            "node_id": node,
            "data": {} if data is None else data,
            "execution_id": key,
            "pin_data": mocks,
            "files": {"0": files},
        }
        answer = await client.post("engine", "/v1/workflow_executions", wanted)
        execution_id = str(told(answer, "engine")["execution_id"])
        await appeared(client, execution_id)
        return await followed(client, execution_id, quiet=quiet)


async def _mocked(target: str | Loaded, data: Any, node: str | None, mocks: Any) -> Picture:
    """Run a version with nodes mocked, at once: a test run fires no trigger event."""
    async with Client(platform.require()) as client:
        version, _ = await deploying.apply_and_deploy(client, target)
        message = StartExecution(
            execution_id=str(uuid.uuid4()),
            workflow_id=str(version["workflow_id"]),
            version=int(version["version"]),
            node_id=node or "",
            mode="MANUAL",
            triggered_by=f"TEST:{user()}",
            trigger={"type": "perdure.test", "source": client.source},
            data=data,
            pin_data=mocks,
        )
        await client.command("engine", message.execution_id, message)
        await appeared(client, message.execution_id)
        return await followed(client, message.execution_id, quiet=True)


def run(
    target: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="A file, or a workflow's name or id.")
    ],
    data: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="The event's data.")
    ] = None,
    node: Annotated[
        str | None,
        typer.Option("--trigger", metavar="NODE_ID", help="The trigger node to fire."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="A key of your own: a second run with it shows the first."),
    ] = None,
    mock: Annotated[
        str | None,
        typer.Option("--mock", metavar="JSON|@FILE", help="What nodes emit instead of running."),
    ] = None,
    file: FilesOption = None,
    as_json: AsJson = False,
) -> None:
    """Apply, deploy, publish a trigger event, follow the execution to its end.

    Exit code 0: SUCCESS. 1: ERROR, TIMEOUT or CANCELED. 2: the definition is refused.
    """
    value = read_input(data)
    paths = sending_files.paths_of(file or ())
    loaded: str | Loaded = target
    if deploying.is_file(target):
        loaded = deploying.checked(Path(target), needs_trigger=True)
    if paths:
        mocks = None if mock is None else read_input(mock)
        work = _with_files(loaded, value, node, key, mocks, paths, quiet=as_json)
        picture = wait_for(work)
    elif mock is not None:
        picture = wait_for(_mocked(loaded, value, node, read_input(mock)))
    else:
        picture = wait_for(_run(loaded, value, node, key, quiet=as_json))
    raise typer.Exit(outcome(picture, as_json=as_json))


def _extensions(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name.isascii() or not name.isalnum() or name != name.lower():
            raise CommandError(
                f"{pair!r} is no extension; write name=value with a name of small letters and "
                "digits, such as event=issues",
                exit_code=2,
                code="invalid_extension",
            )
        found[name] = value
    return found


def trigger(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as perdure.trigger.github.")],
    subject: Annotated[str, typer.Option(help="What the event is about, such as acme/shop.")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON|@FILE", help="The event's data.")
    ] = None,
    id: Annotated[
        str | None, typer.Option("--id", help="The event's id; an id counts only once.")
    ] = None,
    extension: Annotated[
        list[str] | None, typer.Option("--extension", "-x", metavar="NAME=VALUE")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return when it is written, not when it is taken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish one CloudEvent on perdure.triggers.v1 and say which executions it starts."""
    value = read_input(data)
    extensions = _extensions(extension or ())
    waits = not no_wait

    async def work() -> tuple[Sent, list[str] | None]:
        async with Client(platform.require()) as client:
            sent = await client.trigger(type, subject, value, id=id, extensions=extensions)
            return sent, await started_by(client, sent) if waits else None

    sent, ids = wait_for(work())
    if as_json and (ids != [] or not type.startswith(OURS)):
        show({"source": sent.source, "id": sent.id, "executions": ids})
    elif ids is None:
        say(f"event {sent.id} is on the topic")
    else:
        for each in ids:
            say(f"event {sent.id} starts execution {each}")
    if ids is not None and not ids and not type.startswith(OURS):
        say(f"event {sent.id} is on the topic; no trigger here was fired by it")
    elif ids is not None and not ids:
        raise CommandError(
            f"event {sent.id} started nothing: no deployed trigger listens to {type} about "
            f"{subject!r}; `perdure workflow list` shows what serves",
            code="nothing_started",
            more={"source": sent.source, "id": sent.id, "executions": []},
        )
