"""The platform on this machine, found, started and stopped; bring_up.py is what runs then.

What is running is written down in `.perdure/platform.json`, so that every other command
finds it. The environment wins: `PERDURE_DATABASE_URL`, `PERDURE_KAFKA_BOOTSTRAP` and
`PERDURE_<SERVICE>_URL` point a command at a platform elsewhere.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from perdure_common.settings import PORTS

from perdure_cli.errors import CommandError

SERVICES = ("engine", "runner", "scheduler", "recovery")
"""What `perdure up` starts, in this order."""

READY_S = 60.0
STOP_S = 40.0


def kind_of(name: str) -> str:
    """Return what a process is: `engine-2` is an `engine`, one that shares its shards."""
    kind, dash, number = name.rpartition("-")
    return kind if dash and number.isdecimal() and int(number) > 1 else name


def with_engines(names: Sequence[str], engines: int) -> tuple[str, ...]:
    """Return the names with so many processes of the engine: `engine`, `engine-2` and so on."""
    more = [f"engine-{n}" for n in range(2, engines + 1)] if "engine" in names else []
    return (*names, *more)


def known(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of processes as they are: a service's, or that of a further one (`engine-2`).

    Raises:
        CommandError: There is no service of one of them.
    """
    unknown = [name for name in names if kind_of(name) not in SERVICES]
    if unknown:
        raise CommandError(
            f"there is no service {unknown[0]!r}; there are {', '.join(SERVICES)}",
            exit_code=2,
            code="unknown_service",
        )
    return tuple(names)


def home() -> Path:
    """Return the folder that keeps data and logs: `PERDURE_HOME`, or `.perdure` here."""
    return Path(os.environ.get("PERDURE_HOME") or ".perdure").resolve()


@dataclass(frozen=True)
class Running:
    """A platform that runs: who supervises it, where its servers and services are.

    `hooks_url` is where requests to triggers come.
    """

    pid: int
    started_at: float
    database_url: str
    kafka_bootstrap: str
    urls: Mapping[str, str]
    hooks_url: str = ""

    def is_alive(self) -> bool:
        """Return whether the supervisor is still the process that wrote this down."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started_at) < 1.0
        except psutil.Error:
            return False


def state_file() -> Path:
    """Return where the running platform is written down."""
    return home() / "platform.json"


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
