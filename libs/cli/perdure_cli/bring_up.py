"""Brings the platform on this machine up and keeps it up: servers, schema, topics, services."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import httpx
import psutil
from perdure_common import migrate, topics
from perdure_common.embedded import Addresses, Embedded
from perdure_common.embedded.ports import HOST, Ports
from perdure_common.settings import HOOKS_PORT, PORTS, SERVERS, Settings
from perdure_common.supervise import Service, ServiceStatus, Supervisor

from perdure_cli import credentials_key
from perdure_cli.errors import CommandError
from perdure_cli.platform import (
    READY_S,
    SERVICES,
    Running,
    find,
    home,
    kind_of,
    known,
    state_file,
)

MODULES = {"runner": "perdure_engine.runner.app"}


def addresses_file(root: Path) -> Path:
    """Return where the servers' addresses are written down for the services."""
    return root / "addresses.json"


async def migrate_all(database: Awaitable[str]) -> None:
    """Bring the schema of every service to where this version needs it, as soon as there is one."""
    database_url = await database
    await asyncio.gather(*(migrate.up(database_url, name) for name in migrate.services()))


async def make_topics(database_url: str, kafka_bootstrap: str) -> tuple[str, ...]:
    """Make the topics that are missing, and return their names."""
    environ = {
        **os.environ,
        "PERDURE_DATABASE_URL": database_url,
        "PERDURE_KAFKA_BOOTSTRAP": kafka_bootstrap,
    }
    settings = Settings.read("engine", environ)
    return await topics.create_topics(kafka_bootstrap, settings.topic_prefix, settings.partitions)


async def prepare(addresses: Addresses) -> None:
    """Bring the schema and the topics to where this version needs them."""
    database = asyncio.get_running_loop().create_future()
    database.set_result(addresses.database_url)
    await asyncio.gather(
        migrate_all(database), make_topics(addresses.database_url, addresses.kafka_bootstrap)
    )


class Platform:
    """The platform as its supervisor sees it: `begin` where there is no event loop yet, then `run`.

    Both belong to the main thread. Without `begin` everything works, and takes longer.
    """

    def __init__(
        self,
        names: Sequence[str] = SERVICES,
        on_change: Callable[[ServiceStatus], None] | None = None,
        on_ready: Callable[[Running], None] | None = None,
        said: Callable[[str], None] = lambda text: None,
        embedded: Embedded | None = None,
    ) -> None:
        self.names = known(names)
        self.running: Running | None = None
        self._on_change = on_change
        self.on_ready = on_ready
        self.said = said
        self._embedded = embedded or Embedded(home())
        self._ports = Ports()
        self._urls: dict[str, str] = {}
        self._hooks_url = ""
        self._supervisor: Supervisor | None = None

    def status(self) -> list[ServiceStatus]:
        """Return a line for each service."""
        return self._supervisor.status() if self._supervisor is not None else []

    def request_stop(self) -> None:
        """Let `run` return after a clean stop."""
        if self._supervisor is not None:
            self._supervisor.request_stop()

    def begin(self) -> None:
        """Get the servers going, load the services' code meanwhile, and fork them.

        Raises:
            CommandError, EmbeddedError: As `run`.
        """
        supervisor = self._prepare()
        self._embedded.begin()
        supervisor.fork_ahead()

    async def run(self) -> None:
        """Start servers and services, and stop them again at SIGINT, SIGTERM or `request_stop`.

        Raises:
            CommandError: A platform runs here already, or a service does not come up.
        """
        root, supervisor = home(), self._supervisor or self._prepare()
        database: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        servers = asyncio.create_task(self._start_servers(database))
        ready = asyncio.create_task(self._bring_up(servers, database, root))
        ready.add_done_callback(self._announced)
        try:
            await supervisor.run()
        finally:
            ready.cancel()
            await asyncio.wait((ready, servers))
            for path in (state_file(), addresses_file(root)):
                path.unlink(missing_ok=True)
            await asyncio.to_thread(self._embedded.release)
            self._ports.release()
        if not ready.cancelled():
            ready.result()

    def _prepare(self) -> Supervisor:
        if (other := find()) is not None:
            raise CommandError(
                f"a platform runs here already (process {other.pid}); "
                "`perdure status` shows it, `perdure down` stops it",
                code="already_running",
            )
        root = home()
        addresses_file(root).unlink(missing_ok=True)
        ports = {name: self._ports.claim(PORTS.get(name, 0)) for name in self.names}
        hooks = self._ports.claim(HOOKS_PORT) if "scheduler" in ports else 0
        self._hooks_url = f"http://{HOST}:{hooks}" if hooks else ""
        self._urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
        self._supervisor = Supervisor(
            _services(self.names, ports, root, hooks), root / "logs", on_change=self._on_change
        )
        return self._supervisor

    async def _start_servers(self, database: asyncio.Future[str]) -> Addresses:
        """Start the servers; `database` gets its URL as soon as PostgreSQL serves."""
        loop = asyncio.get_running_loop()

        def serves(url: str) -> None:
            loop.call_soon_threadsafe(database.set_result, url)

        try:
            return await asyncio.to_thread(lambda: self._embedded.start(on_database=serves))
        except BaseException:
            database.cancel()
            raise

    async def _bring_up(
        self, servers: asyncio.Task[Addresses], database: asyncio.Future[str], root: Path
    ) -> None:
        """Tell the services where the servers are, and the world when the services are ready.

        The services start while the servers do: they load their code and wait for the file.
        The schema is brought up to date while Kafka starts.
        """
        self.said(f"starting PostgreSQL, Kafka, {', '.join(self.names)}")
        schema = asyncio.create_task(migrate_all(database))
        try:
            addresses = await asyncio.shield(servers)
            self.said("bringing schema and topics up to date")
            there = make_topics(addresses.database_url, addresses.kafka_bootstrap)
            await asyncio.gather(schema, there)
        finally:
            schema.cancel()
        environ = {
            "PERDURE_DATABASE_URL": addresses.database_url,
            "PERDURE_KAFKA_BOOTSTRAP": addresses.kafka_bootstrap,
        }
        _write_privately(addresses_file(root), environ)
        self.running = Running(
            os.getpid(),
            psutil.Process().create_time(),
            addresses.database_url,
            addresses.kafka_bootstrap,
            self._urls,
            os.environ.get("PERDURE_HOOKS_URL") or self._hooks_url,
        )
        await await_ready(self.running, self.status)
        _write_privately(state_file(), asdict(self.running))
        if self.on_ready is not None:
            self.on_ready(self.running)

    def _announced(self, task: asyncio.Task[None]) -> None:
        """Stop everything when a service does not become ready; `run` raises the reason."""
        if not task.cancelled() and task.exception() is not None:
            self.request_stop()


def _services(
    names: Sequence[str], ports: Mapping[str, int], root: Path, hooks: int
) -> list[Service]:
    """Return the children of the supervisor; they learn the servers' addresses from a file."""
    env = {_port_of(name): str(port) for name, port in ports.items() if name in SERVICES}
    env |= {"PERDURE_HOOKS_PORT": str(hooks)}
    if "engine" in ports:
        env |= {"PERDURE_ENGINE_URL": f"http://{HOST}:{ports['engine']}"}
    env |= {SERVERS: str(addresses_file(root))}
    env |= {"PERDURE_DATABASE_URL": "", "PERDURE_KAFKA_BOOTSTRAP": ""}
    secret = {} if os.environ.get(credentials_key.VARIABLE) else {
        credentials_key.VARIABLE: credentials_key.own_key_text()
    }  # fmt: skip
    found: list[Service] = []
    for name in names:
        kind = kind_of(name)
        module = MODULES.get(kind, f"perdure_{kind}.app")
        own = env | {_port_of(kind): str(ports[name])}
        if kind in ("runner", "scheduler"):
            own |= secret
        found.append(Service(name, (sys.executable, "-m", module), own, module))
    return found


def _port_of(name: str) -> str:
    return f"PERDURE_{name.upper()}_PORT"


def _write_privately(path: Path, content: Mapping[str, object]) -> None:
    """Write a file at once, for this user alone: it holds the database's password."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    fresh.rename(path)


async def await_ready(
    running: Running, status: Callable[[], Sequence[ServiceStatus]], limit_s: float = READY_S
) -> None:
    """Wait until every service says that it is ready.

    Raises:
        CommandError: One is not after `limit_s`; the text names its log.
    """
    waiting = dict(running.urls)
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        deadline = time.monotonic() + limit_s
        while waiting:
            for name, url in list(waiting.items()):
                try:
                    answer = await client.get(f"{url}/readyz")
                except httpx.HTTPError:
                    continue
                if answer.status_code == 200:
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                logs = [str(line.log) for line in status() if line.name in waiting]
                raise CommandError(
                    f"{', '.join(waiting)} did not become ready within {limit_s:.0f} s; "
                    f"read {' and '.join(logs) or home() / 'logs'}",
                    code="not_ready",
                )
            await asyncio.sleep(0.05)
