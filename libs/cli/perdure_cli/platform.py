"""The platform on this machine: servers, schema, topics and services, started and found.

What is running is written down in `.perdure/platform.json`, so that every other command
finds it. The environment wins: `PERDURE_DATABASE_URL`, `PERDURE_KAFKA_BOOTSTRAP` and
`PERDURE_<SERVICE>_URL` point a command at a platform elsewhere.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
from perdure_common import migrate, topics
from perdure_common.embedded import Addresses, Embedded
from perdure_common.settings import PORTS, SERVERS, Settings
from perdure_common.supervise import Service, ServicePhase, ServiceStatus, Supervisor

from perdure_cli.errors import CommandError

SERVICES = ("engine", "runner", "scheduler", "recovery")
"""What `perdure up` starts, in this order."""

MODULES = {"runner": "perdure_engine.runner.app"}
READY_S = 60.0
STOP_S = 40.0


def home() -> Path:
    """Return the folder that keeps data and logs: `PERDURE_HOME`, or `.perdure` here."""
    return Path(os.environ.get("PERDURE_HOME") or ".perdure").resolve()


@dataclass(frozen=True)
class Running:
    """A platform that runs: who supervises it, where its servers and services are."""

    pid: int
    started_at: float
    database_url: str
    kafka_bootstrap: str
    urls: Mapping[str, str]

    def is_alive(self) -> bool:
        """Return whether the supervisor is still the process that wrote this down."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started_at) < 1.0
        except psutil.Error:
            return False


def state_file() -> Path:
    """Return where the running platform is written down."""
    return home() / "platform.json"


def addresses_file(root: Path) -> Path:
    """Return where the servers' addresses are written down for the services."""
    return root / "addresses.json"


def find() -> Running | None:
    """Return the platform that runs here, None if none does."""
    try:
        found = Running(**json.loads(state_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.is_alive() else None


def require() -> Running:
    """Return the platform that a command talks to.

    Raises:
        CommandError: None runs here and the environment names none.
    """
    found = find()
    if found is not None:
        return found
    database, kafka = (os.environ.get(f"PERDURE_{n}") for n in ("DATABASE_URL", "KAFKA_BOOTSTRAP"))
    if database and kafka:
        host = os.environ.get("PERDURE_HTTP_HOST") or "127.0.0.1"
        urls = {
            name: os.environ.get(f"PERDURE_{name.upper()}_URL") or f"http://{host}:{port}"
            for name, port in PORTS.items()
        }
        return Running(0, 0.0, database, kafka, urls)
    raise CommandError(
        f"no platform runs in {home()}; start one with `perdure up`, or set "
        "PERDURE_DATABASE_URL and PERDURE_KAFKA_BOOTSTRAP to reach another",
        code="not_running",
    )


def free_port(preferred: int) -> int:
    """Return `preferred` if nobody listens there, otherwise a port that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError("no port is free on 127.0.0.1", code="no_port")


async def prepare(addresses: Addresses) -> None:
    """Bring the schema and the topics to where this version needs them."""
    environ = {
        **os.environ,
        "PERDURE_DATABASE_URL": addresses.database_url,
        "PERDURE_KAFKA_BOOTSTRAP": addresses.kafka_bootstrap,
    }
    settings = Settings.read("engine", environ)
    await asyncio.gather(
        *(migrate.up(addresses.database_url, name) for name in migrate.services()),
        topics.create_topics(addresses.kafka_bootstrap, settings.topic_prefix, settings.partitions),
    )


class Platform:
    """The platform as its supervisor sees it; use `run` from the main thread."""

    def __init__(
        self,
        names: Sequence[str] = SERVICES,
        on_change: Callable[[ServiceStatus], None] | None = None,
        on_ready: Callable[[Running], None] | None = None,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        unknown = [name for name in names if name not in SERVICES]
        if unknown:
            raise CommandError(
                f"there is no service {unknown[0]!r}; there are {', '.join(SERVICES)}",
                exit_code=2,
                code="unknown_service",
            )
        self.names = tuple(names)
        self.running: Running | None = None
        self._on_change = on_change
        self._on_ready = on_ready
        self._said = said
        self._supervisor: Supervisor | None = None

    def status(self) -> list[ServiceStatus]:
        """Return a line for each service."""
        return self._supervisor.status() if self._supervisor is not None else []

    def request_stop(self) -> None:
        """Let `run` return after a clean stop."""
        if self._supervisor is not None:
            self._supervisor.request_stop()

    async def run(self) -> None:
        """Start servers and services, and stop them again at SIGINT, SIGTERM or `request_stop`.

        Raises:
            CommandError: A platform runs here already, or a service does not come up.
        """
        if (other := find()) is not None:
            raise CommandError(
                f"a platform runs here already (process {other.pid}); "
                "`perdure status` shows it, `perdure down` stops it",
                code="already_running",
            )
        root = home()
        addresses_file(root).unlink(missing_ok=True)
        ports = {name: free_port(PORTS[name]) for name in self.names}
        self._supervisor = Supervisor(
            _services(self.names, ports, root), root / "logs", on_change=self._on_change
        )
        embedded = Embedded(root)
        servers = asyncio.create_task(asyncio.to_thread(embedded.start))
        ready = asyncio.create_task(self._bring_up(servers, ports, root))
        ready.add_done_callback(self._announced)
        try:
            await self._supervisor.run()
        finally:
            ready.cancel()
            await asyncio.wait((ready, servers))
            for path in (state_file(), addresses_file(root)):
                path.unlink(missing_ok=True)
            await asyncio.to_thread(embedded.release)
        if not ready.cancelled():
            ready.result()

    async def _bring_up(
        self, servers: asyncio.Task[Addresses], ports: Mapping[str, int], root: Path
    ) -> None:
        """Tell the services where the servers are, and the world when the services are ready.

        The services start while the servers do: they load their code and wait for the file.
        """
        self._said(f"starting PostgreSQL, Kafka, {', '.join(self.names)}")
        addresses = await asyncio.shield(servers)
        self._said("bringing schema and topics up to date")
        await prepare(addresses)
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
            {name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
        )
        await await_ready(self.running, self.status)
        _write_privately(state_file(), asdict(self.running))
        if self._on_ready is not None:
            self._on_ready(self.running)

    def _announced(self, task: asyncio.Task[None]) -> None:
        """Stop everything when a service does not become ready; `run` raises the reason."""
        if not task.cancelled() and task.exception() is not None:
            self.request_stop()


def _services(names: Sequence[str], ports: Mapping[str, int], root: Path) -> list[Service]:
    """Return the children of the supervisor; they learn the servers' addresses from a file."""
    env = {f"PERDURE_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    env |= {SERVERS: str(addresses_file(root))}
    env |= {"PERDURE_DATABASE_URL": "", "PERDURE_KAFKA_BOOTSTRAP": ""}
    return [
        Service(name, (sys.executable, "-m", MODULES.get(name, f"perdure_{name}.app")), env)
        for name in names
    ]


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


def start_detached(names: Sequence[str]) -> Running:
    """Start the platform in a process of its own and return when it is ready.

    Raises:
        CommandError: It ended before it was ready, or was not ready in time.
    """
    if (other := find()) is not None:
        return other
    root = home()
    root.mkdir(parents=True, exist_ok=True)
    log = root / "logs" / "platform.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "perdure_cli.main", "up", "--quiet"]
    command += ["--services", ",".join(names)]
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PERDURE_HOME": str(root)},
        )
    deadline = time.monotonic() + 3 * READY_S
    while time.monotonic() < deadline:
        if (running := find()) is not None:
            return running
        if child.poll() is not None:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise CommandError(f"the platform did not start: {' '.join(last)}; read {log}")
        time.sleep(0.05)
    child.terminate()
    raise CommandError(f"the platform was not ready in time; read {log}", code="not_ready")


def stop() -> bool:
    """Stop the platform that runs here; return False when none does.

    Raises:
        CommandError: It does not end.
    """
    running = find()
    if running is None:
        return False
    process = psutil.Process(running.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except psutil.TimeoutExpired:
        raise CommandError(
            f"process {running.pid} does not end after {STOP_S:.0f} s; look into {home()}/logs",
            code="not_stopped",
        ) from None
    return True


def crashed(lines: Sequence[ServiceStatus]) -> list[ServiceStatus]:
    """Return the services that are down at this moment."""
    return [line for line in lines if line.phase is ServicePhase.CRASHED]
