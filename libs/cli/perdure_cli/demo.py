"""`perdure demo`: the triage example on real servers, shown live, checked at the end.

Real GitHub payloads go to the topic, bugs become tickets at a service that fails on purpose,
recovery explains and tries again. Nothing here is acted: every line comes from the tables.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from perdure_common.embedded.lifeline import tied
from perdure_common.embedded.ports import Ports
from perdure_common.outbound import AllowList
from perdure_contracts.publish import Publisher
from rich.markup import escape

from perdure_cli import deploying, platform, promises
from perdure_cli.bring_up import Platform
from perdure_cli.client import Client, Row, Sent
from perdure_cli.demo_stage import DemoLive, DemoPlain, ticket_of
from perdure_cli.deploying import Loaded
from perdure_cli.errors import CommandError
from perdure_cli.follow import follow
from perdure_cli.output import AsJson, console, duration, show, wait_for
from perdure_cli.pictures import Picture
from perdure_cli.promises import Verified
from perdure_cli.recovery import TEXTS
from perdure_cli.running import started_by

EXAMPLE = Path("examples") / "triage"
REPOSITORY = "acme/shop"
SOURCE = f"https://github.com/{REPOSITORY}"
PORT = 8099
"""The port of the ticket service that the example's workflow names."""

LIMIT_S = 120.0
"""How long the executions may take altogether."""

TICKETS_S = 10.0
"""How long the ticket service may take to start."""

ALLOW = "PERDURE_HTTP_ALLOW"


@dataclass(frozen=True)
class Shown:
    """What the demonstration has seen: executions, tickets, and how long it took."""

    titles: dict[str, str]
    pictures: list[Picture]
    tickets: list[Row]
    bugs: int
    took_ms: float

    @property
    def failures(self) -> int:
        """How many failures recovery has answered with an attempt."""
        return sum(len(picture.attempts) for picture in self.pictures)

    @property
    def recovered(self) -> int:
        """How many of them helped."""
        attempts = [attempt for picture in self.pictures for attempt in picture.attempts]
        return sum(attempt["status"] == "succeeded" for attempt in attempts)


def example() -> Path:
    """Return the folder of the triage example: here, or in the repository of this program.

    Raises:
        CommandError: It is nowhere.
    """
    roots = (Path.cwd(), *Path(__file__).resolve().parents)
    for root in roots:
        if (root / EXAMPLE / "workflow.yaml").is_file():
            return root / EXAMPLE
    raise CommandError(
        f"there is no folder {EXAMPLE} here; run `perdure demo` in the repository of perdure",
        code="no_example",
    )


def payloads(folder: Path) -> list[Row]:
    """Return the webhook payloads of the example, in the order of their names."""
    files = sorted((folder / "payloads").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]


def demo(as_json: AsJson = False) -> None:
    """Run the demonstration: events, a service that fails, recovery, and a summary."""
    console.quiet = as_json
    try:
        seen = _run()
    finally:
        console.quiet = False
    if as_json:
        show(seen)


def _run() -> Row:
    """Run the demonstration and return what it has seen, for a program."""
    folder = example()
    console.print("[bold]perdure[/bold]  new GitHub issues become tickets, whatever fails\n")
    ports = Ports()
    port = ports.claim(PORT)
    running = platform.find()
    if running is not None:
        _check_allowed(running, port)
        seen = wait_for(_demo(folder, port, running))
    else:
        allowed = os.environ.get(ALLOW, "").split()
        os.environ[ALLOW] = " ".join([*allowed, f"127.0.0.1:{port}"])
        own = Platform()
        own.begin()
        seen = wait_for(_demo(folder, port, own))
    ports.release()
    return seen


async def _demo(folder: Path, port: int, where: platform.Running | Platform) -> Row:
    async with _tickets(folder, port), _platform(where) as there:
        shown = await _show(folder, there, port)
        found = await _tell(shown, there)
    console.print()
    for command, about in _next(shown):
        console.print(f"  [bold]{escape(command)}[/bold]  [dim]{escape(about)}[/dim]")
    return told(shown, found)


# Starting and stopping ------------------------------------------------------------------------


def _check_allowed(running: platform.Running, port: int) -> None:
    """Refuse a platform whose nodes may not reach the ticket service."""
    try:
        environment = psutil.Process(running.pid).environ()
    except psutil.Error:
        environment = {}
    entries = environment.get(ALLOW, "").replace(",", " ").split()
    if ("127.0.0.1", port) not in AllowList.parse(entries).places:
        raise CommandError(
            "a platform runs here whose nodes may not reach the demonstration's ticket service; "
            "stop it with `perdure down` and run `perdure demo` again",
            code="not_allowed",
        )


@asynccontextmanager
async def _tickets(folder: Path, port: int) -> AsyncGenerator[None]:
    """Run the example's ticket service for as long as the block lasts."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(folder / "tickets.py"),
        str(port),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=tied(signal.SIGKILL),
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(TICKETS_S):
            line = await child.stdout.readline()
        if not line:
            raise CommandError(
                f"the ticket service did not start on port {port}; run `perdure demo` again",
                code="no_tickets",
            )
        yield
    except TimeoutError:
        raise CommandError(
            f"the ticket service did not start within {TICKETS_S:.0f} s", code="no_tickets"
        ) from None
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def _platform(where: platform.Running | Platform) -> AsyncGenerator[platform.Running]:
    """Use the platform that runs, or run one for as long as the block lasts.

    Raises:
        CommandError: It does not start, or ends before the block does.
    """
    if isinstance(where, platform.Running):
        console.print("[dim]using the platform that runs here[/dim]")
        yield where
        return
    own = where
    began = time.monotonic()
    ready: asyncio.Future[platform.Running] = asyncio.get_running_loop().create_future()
    with console.status("starting …") as spinner:
        own.on_ready = ready.set_result

        def said(text: str) -> None:
            spinner.update(f"{escape(text)} …")

        own.said = said
        task = asyncio.create_task(own.run())
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
            raise CommandError("the platform was stopped before it was ready", code="stopped")
        spent = duration((time.monotonic() - began) * 1000)
        console.print(f"[dim]PostgreSQL, Kafka and {len(own.names)} services in {spent}[/dim]")
        body = asyncio.current_task()
        assert body is not None

        def stopped(done: object) -> None:
            body.cancel()

        task.add_done_callback(stopped)  # a stop by Ctrl-C ends the block
        try:
            yield ready.result()
        finally:
            task.remove_done_callback(stopped)
    except asyncio.CancelledError:
        if not task.done():
            raise
        raise KeyboardInterrupt from None
    finally:
        ready.cancel()
        own.request_stop()
        with console.status("stopping …"):
            await asyncio.gather(task, return_exceptions=True)


# The show -------------------------------------------------------------------------------------


async def _show(folder: Path, running: platform.Running, port: int) -> Shown:
    """Deploy the workflow, publish the events, and follow what they start to its end."""
    events = payloads(folder)
    loaded = _with_port(deploying.checked(folder / "workflow.yaml"), port)
    async with Client(running) as client:
        version, _ = await deploying.apply_and_deploy(client, loaded)
        console.print(
            f"[dim]workflow {version['name']}, version {version['version']}, serves; the ticket "
            "service answers 503 once before it takes a ticket[/dim]\n"
        )
        began = time.monotonic()
        titles = await _publish(client, events, version["workflow_id"])
        stage = (
            DemoLive(console, titles)
            if console.is_terminal
            else DemoPlain(lambda text: console.print(text, markup=False), titles)
        )
        with stage:
            found = await follow(client, list(titles), stage, limit_s=LIMIT_S, settle_s=LIMIT_S / 4)
        took_ms = (time.monotonic() - began) * 1000
    async with httpx.AsyncClient(trust_env=False) as http:
        tickets = (await http.get(f"http://127.0.0.1:{port}/tickets")).json()["tickets"]
    bugs = sum(any(label["name"] == "bug" for label in e["issue"]["labels"]) for e in events)
    return Shown(titles, [found[id] for id in titles if id in found], tickets, bugs, took_ms)


def _with_port(loaded: Loaded, port: int) -> Loaded:
    """Return the definition with the ticket service's real port."""
    text = json.dumps(loaded.definition)
    return Loaded(loaded.path, json.loads(text.replace(f":{PORT}/", f":{port}/")), loaded.id)


async def _publish(client: Client, events: Sequence[Row], workflow_id: str) -> dict[str, str]:
    """Publish the payloads as any program would; return the executions and their titles."""
    titles: dict[str, str] = {}
    kafka, prefix = client.running.kafka_bootstrap, client.settings.topic_prefix
    async with Publisher(kafka, source=SOURCE, topic_prefix=prefix) as publisher:
        for payload in events:
            id = str(uuid.uuid4())  # GitHub's own header X-GitHub-Delivery is a UUID too
            await publisher.publish("perdure.trigger.github", REPOSITORY, payload, id=id)
            issue = payload["issue"]
            for started in await started_by(client, Sent(SOURCE, id)):
                titles[started] = f"#{issue['number']} {issue['title']}"
    rows = await _of_workflow(client, titles, workflow_id)
    if len(rows) != len(events):
        raise CommandError(
            f"{len(events)} events started {len(rows)} executions of the workflow; `perdure "
            "status` says what is stuck",
            code="not_started",
        )
    return {id: title for id, title in titles.items() if id in rows}


async def _of_workflow(client: Client, ids: Any, workflow_id: str) -> set[str]:
    """Return those of `ids` that are executions of the workflow, once all have begun."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        rows = await client.rows("engine", "workflow_executions", execution_id=list(ids))
        if len(rows) == len(ids) or time.monotonic() > deadline:
            return {row["execution_id"] for row in rows if row["workflow_id"] == workflow_id}
        await asyncio.sleep(0.05)


# The summary ----------------------------------------------------------------------------------


async def _tell(shown: Shown, running: platform.Running) -> Verified:
    """Print what happened, check it, and say it in one sentence if it did not happen.

    Returns what a check of the promises found.

    Raises:
        CommandError: Something did not happen.
    """
    failures, recovered = shown.failures, shown.recovered
    _check(shown, recovered)
    console.print()
    console.print(
        f"[green]✔[/green] {len(shown.pictures)} events, {len(shown.pictures)} executions, all "
        f"ended well in {duration(shown.took_ms)}"
    )
    listed = ", ".join(f"{ticket['number']} ({ticket['priority']})" for ticket in shown.tickets)
    console.print(
        f"[green]✔[/green] {shown.bugs} bugs, {len(shown.tickets)} tickets: {escape(listed)}; "
        "none was filed twice"
    )
    console.print(
        f"[green]✔[/green] {failures} failures on the way, {recovered} nodes recovered "
        "without anybody's help"
    )
    with console.status("checking the promises …"):
        async with Client(running) as client:
            found = await promises.verified(client.settings)
    if found.violations:
        raise CommandError(
            f"{promises.summary(found)}: `perdure up`, then `perdure verify` shows them",
            code="promise_broken",
        )
    console.print(f"[green]✔[/green] {escape(promises.summary(found))}")
    _explain(next(picture for picture in shown.pictures if picture.attempts), shown)
    return found


def told(shown: Shown, found: Verified) -> Row:
    """Return what the demonstration has seen, and that the promises hold, as JSON."""
    return {
        "executions": [
            {"execution_id": each.id, "title": shown.titles[each.id], "status": each.status}
            for each in shown.pictures
        ],
        "bugs": shown.bugs,
        "tickets": shown.tickets,
        "failures": shown.failures,
        "recovered": shown.recovered,
        "took_ms": round(shown.took_ms),
        "promises": promises.as_json(found),
    }


def _check(shown: Shown, recovered: int) -> None:
    """Raise what did not happen."""
    unfinished = [picture for picture in shown.pictures if picture.status != "SUCCESS"]
    if len(shown.pictures) != len(shown.titles) or unfinished:
        first = f": {unfinished[0].id} is {unfinished[0].status}" if unfinished else ""
        raise CommandError(
            f"{len(unfinished)} of {len(shown.titles)} executions did not end well within "
            f"{LIMIT_S:.0f} s{first}; `perdure up`, then `perdure executions why ID` says why",
            code="not_ended",
        )
    if not len(shown.tickets) == shown.bugs == sum(map(bool, map(ticket_of, shown.pictures))):
        raise CommandError(
            f"{shown.bugs} bugs led to {len(shown.tickets)} tickets; there must be one for each",
            code="wrong_tickets",
        )
    if recovered < shown.bugs:
        raise CommandError(
            f"recovery noted {recovered} recovered nodes of {shown.bugs}; `perdure up`, then "
            "`perdure recovery attempts` shows what it did",
            code="not_recovered",
        )


def _explain(picture: Picture, shown: Shown) -> None:
    """Print one explanation in full: that of the attempt that helped."""
    explanation = picture.explanations.get(str(picture.attempts[-1]["id"]))
    if explanation is None:
        return
    console.print(f"\nWhat recovery wrote about [bold]{escape(shown.titles[picture.id])}[/bold]:")
    for name, column in TEXTS:
        if explanation[column] != "none":
            console.print(f"  [dim]{name:<11}[/dim] {escape(explanation[column])}")


def program() -> str:
    """Return how this program is called from here."""
    called = Path(sys.argv[0])
    if shutil.which("perdure") or called.name != "perdure":
        return "perdure"
    try:
        return str(called.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(called)


def _next(shown: Shown) -> list[tuple[str, str]]:
    """Return what to type next, each with what it does."""
    name = program()
    failed = next(picture.id for picture in shown.pictures if picture.attempts)
    commands = [
        (f"{name} up", "leave it running; what you saw is kept"),
        (f"{name} executions list", "everything that ran"),
        (f"{name} recovery explain {failed}", "why recovery did what it did"),
        (f"{name} workflow show triage", f"the workflow; its file is {EXAMPLE / 'workflow.yaml'}"),
    ]
    width = max(len(command) for command, _ in commands)
    return [(command.ljust(width), about) for command, about in commands]
