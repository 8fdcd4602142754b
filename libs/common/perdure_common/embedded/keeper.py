"""The keeper: the process that holds PostgreSQL and Kafka as its children.

It starts them, starts one again that crashed, and stops both as soon as nobody needs them: every
user of the servers holds a shared lock on one file, the keeper waits for that lock alone. The
kernel drops a lock when its holder dies, so no user can forget to say goodbye. Servers that were
started to stay (`detached`) run until they are stopped.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from perdure_common.allocator import ENVIRONMENT
from perdure_common.embedded.errors import EmbeddedError, tail
from perdure_common.embedded.kafka import Kafka, kafka
from perdure_common.embedded.lifeline import tied
from perdure_common.embedded.ports import Ports
from perdure_common.embedded.postgres import Postgres, RunAs, postgres
from perdure_common.embedded.state import Lock, Phase, Process, Root, State

READY_LIMIT_S = 60.0
LOG_BYTES_MAX = 10_000_000
_POLL_S = 0.05
_WATCH_S = 0.25
_STOP_LIMIT_S = 10.0
_BACKOFF_MAX_S = 30.0
_SETTLED_S = 60.0

REMAINS_LIMIT_S = 15.0
"""How long the children of a killed PostgreSQL may take to end."""

REMAINS_PAUSE_S = 0.3


@dataclass
class Server:
    """One child of the keeper and what is needed to start, judge and stop it."""

    name: str
    command: Callable[[], list[str]]
    is_ready: Callable[[int], bool]
    log: Path
    stop_signal: signal.Signals
    run_as: RunAs = field(default_factory=lambda: RunAs())
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    child: subprocess.Popen[bytes] | None = None
    log_from: int = 0
    crashes: int = 0
    launched_at_s: float = 0.0
    again_at_s: float = 0.0

    def launch(self) -> None:
        """Start the process; its output is appended to its log."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.log_from = log.tell()
            self.launched_at_s = time.monotonic()
            self.child = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                preexec_fn=tied(self.stop_signal),
                env={**os.environ, **self.env},
                **self.run_as,
            )

    @property
    def exit_code(self) -> int | None:
        """None while the process runs."""
        return self.child.poll() if self.child else None

    def await_ready(self, give_up: Callable[[], bool]) -> None:
        """Wait until the server serves.

        Raises:
            EmbeddedError: `<name>_start_failed`, with the last lines of the log.
        """
        limit = time.monotonic() + READY_LIMIT_S
        while not self.is_ready(self.log_from):
            ended = self.exit_code is not None
            if ended or time.monotonic() > limit or give_up():
                how = f"ended with code {self.exit_code}" if ended else "did not get ready"
                message = (
                    f"The embedded {self.name} {how} while starting; read {self.log}, and if its "
                    "data is damaged move the folder away or run `make doctor`."
                )
                raise EmbeddedError(f"{self.name}_start_failed", message, tail(self.log))
            time.sleep(_POLL_S)

    def process(self, port: int) -> Process:
        """The running process as it is written down."""
        assert self.child is not None
        created = psutil.Process(self.child.pid).create_time()
        return Process(self.child.pid, created, port)


class Keeper:
    """Runs the servers of one root directory until nobody needs them."""

    def __init__(self, root: Root, run: str, *, with_postgres: bool, with_kafka: bool) -> None:
        self._root = root
        self._state = State(phase=Phase.STARTING, run=run, keeper_pid=os.getpid())
        self._with_postgres = with_postgres
        self._with_kafka = with_kafka
        self._stop = threading.Event()
        self._servers: dict[str, Server] = {}
        self._ports_claimed = Ports()

    def run(self) -> int:
        """Start, watch, stop; the exit code of the keeper process."""
        alone = Lock(self._root.locks / "keeper")
        if not alone.acquire(timeout_s=READY_LIMIT_S):
            return 1
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._write(phase=Phase.STARTING)
        try:
            try:
                self._start()
                self._write(phase=Phase.READY)
                self._root.write_ports(self._ports())
                threading.Thread(target=self._await_orphanhood, daemon=True).start()
                self._watch()
                self._write(phase=Phase.STOPPING)
            finally:
                self._stop_all()
        except EmbeddedError as error:
            failure = {"error_code": error.code, "error": error.message}
            self._write(phase=Phase.FAILED, **failure, error_detail=error.detail)
            return 1
        self._write(phase=Phase.STOPPED, keeper_pid=0)
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop.set()

    def _write(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        self._root.write(self._state)

    def _ports(self) -> dict[str, int]:
        ports = self._root.read_ports()
        if self._state.postgres:
            ports["postgres"] = self._state.postgres.port
        if self._state.kafka:
            ports["kafka"] = self._state.kafka.port
            ports["kafka_controller"] = self._state.kafka_controller_port
        return ports

    def _start(self) -> None:
        before = self._root.read_ports()
        database = postgres(self._root.path) if self._with_postgres else None
        broker = kafka(self._root.path) if self._with_kafka else None
        end_leftovers(database, broker)
        # Both get going before either is waited for: the second one's start is then free. Their
        # first preparations take a second each. The processes are started from this thread alone
        # (lifeline.py).
        waits: list[Callable[[], None]] = []
        names = ("kafka", "kafka_controller") if broker else ()
        ports = [self._ports_claimed.claim(before.get(name, 0)) for name in names]
        with ThreadPoolExecutor(1) as beside:
            prepared = beside.submit(broker.prepare, *ports) if broker else None
            if database:
                waits.append(self._start_postgres(database, before.get("postgres", 0)))
            if broker and prepared:
                prepared.result()
                waits.append(self._start_kafka(broker, *ports))
        for wait in waits:
            wait()

    def _start_postgres(self, database: Postgres, port_before: int) -> Callable[[], None]:
        database.prepare()
        port = self._ports_claimed.claim(port_before)
        server = Server(
            name="postgres",
            command=lambda: database.command(port),
            is_ready=lambda _: database.is_ready(port),
            log=database.log,
            stop_signal=signal.SIGINT,  # "fast": roll back, flush, leave
            run_as=database.run_as,
            env=ENVIRONMENT,
        )
        self._servers["postgres"] = server
        server.launch()

        def wait() -> None:
            self._await_postgres(server)
            database.make_database(port)
            self._write(postgres=server.process(port))

        return wait

    def _await_postgres(self, server: Server) -> None:
        """Wait until PostgreSQL serves; start it again while one that was killed still ends.

        The children of a killed postmaster hold its shared memory for a moment, and a new one
        refuses to start as long as they do.
        """
        limit = time.monotonic() + REMAINS_LIMIT_S
        while True:
            try:
                server.await_ready(self._stop.is_set)
                return
            except EmbeddedError as error:
                remains = "shared memory block" in error.detail and "still in use" in error.detail
                if not remains or time.monotonic() > limit:
                    raise
            time.sleep(REMAINS_PAUSE_S)
            server.launch()

    def _start_kafka(self, broker: Kafka, port: int, controller_port: int) -> Callable[[], None]:
        server = Server(
            name="kafka",
            command=broker.command,
            is_ready=broker.is_ready,
            log=broker.log,
            stop_signal=signal.SIGTERM,
        )
        self._servers["kafka"] = server
        server.launch()

        def wait() -> None:
            server.await_ready(self._stop.is_set)
            self._write(kafka=server.process(port), kafka_controller_port=controller_port)

        return wait

    def _await_orphanhood(self) -> None:
        """Stop once no process holds the users' lock, unless the servers are to stay."""
        users = Lock(self._root.locks / "users")
        while True:
            users.acquire_forever()
            if not self._root.detached.exists():
                self._stop.set()  # and keep the lock: who comes now waits for our end
                return
            users.release()
            time.sleep(1.0)

    def _watch(self) -> None:
        while not self._stop.wait(_WATCH_S):
            for server in self._servers.values():
                if server.exit_code is not None:
                    self._revive(server)

    def _revive(self, server: Server) -> None:
        """Start a crashed server again on its port: after 1 s, 2 s, … up to 30 s."""
        now = time.monotonic()
        if not server.again_at_s:
            if now - server.launched_at_s > _SETTLED_S:
                server.crashes = 0
            delay_s = min(2.0**server.crashes, _BACKOFF_MAX_S)
            server.crashes += 1
            server.again_at_s = now + delay_s
            self._write(phase=Phase.STARTING)  # who comes now waits until it is back
            say(f"{server.name} ended with code {server.exit_code}; again in {delay_s:.0f} s")
        elif now >= server.again_at_s:
            server.again_at_s = 0.0
            server.launch()
            with suppress(EmbeddedError):  # the next round sees that it ended, and waits longer
                server.await_ready(self._stop.is_set)
                written: Process | None = getattr(self._state, server.name)
                self._write(**{server.name: server.process(written.port if written else 0)})
                if all(other.exit_code is None for other in self._servers.values()):
                    self._write(phase=Phase.READY)

    def _stop_all(self) -> None:
        running = [s for s in self._servers.values() if s.child and s.exit_code is None]
        for server in running:
            assert server.child is not None
            server.child.send_signal(server.stop_signal)
        limit = time.monotonic() + _STOP_LIMIT_S
        for server in running:
            assert server.child is not None
            try:
                server.child.wait(max(0.0, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                say(f"{server.name} did not stop within {_STOP_LIMIT_S:.0f} s; killed")
                server.child.kill()
                server.child.wait()


def say(text: str) -> None:
    """A line for the keeper's log, which is its standard output."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def end_leftovers(database: Postgres | None, broker: Kafka | None) -> None:
    """End servers of these directories that a keeper killed with -9 left behind.

    They are known by their command line, which names our files; a pid file would not tell a
    reused pid apart. A `postmaster.pid` whose process is gone is PostgreSQL's own to clear, except
    where another program has that pid by now.
    """
    ours = {str(database.data)} if database else set[str]()
    ours |= {str(broker.properties)} if broker else set()
    left: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours_by_name = process.name() in ("postgres", "java")
            if ours_by_name and ours & set(process.cmdline()):
                process.send_signal(signal.SIGINT if database else signal.SIGTERM)
                left.append(process)
    _, stubborn = psutil.wait_procs(left, timeout=_STOP_LIMIT_S)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_STOP_LIMIT_S)
    if database:
        (database.data / "postmaster.pid").unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """`keep ROOT RUN WHAT`: become the keeper of a root directory, apart from who asked."""
    root, run, what = Root(Path(arguments[0])), arguments[1], arguments[2].split(",")
    if os.fork():
        return 0  # the caller's child ends here, so that nobody has to reap the keeper
    with_postgres, with_kafka = "postgres" in what, "kafka" in what
    keeper = Keeper(root, run, with_postgres=with_postgres, with_kafka=with_kafka)
    try:
        code = keeper.run()
    except BaseException as error:
        state = State(Phase.FAILED, run, error_code="keeper_crashed", error=repr(error))
        root.write(state)
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    os._exit(code)  # not waiting for the thread that sleeps in the kernel
