"""`Embedded`: what a caller uses to have PostgreSQL and Kafka running, and to let go of them."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from perdure_common.embedded.errors import EmbeddedError, tail
from perdure_common.embedded.jars import fetch
from perdure_common.embedded.keeper import READY_LIMIT_S
from perdure_common.embedded.postgres import postgres
from perdure_common.embedded.state import Addresses, Lock, Phase, Root, State

DATABASE_VARIABLE = "PERDURE_DATABASE_URL"
KAFKA_VARIABLE = "PERDURE_KAFKA_BOOTSTRAP"
_POLL_S = 0.05
_STOP_LIMIT_S = 30.0


class Embedded:
    """The servers of one root directory (`.perdure/`), as one of their users sees them.

    `start` is idempotent and may be called by many processes at once: one of them starts the
    servers, the others find them. They stop when the last user is gone (by `release`, by its end
    or by kill -9), or at once by `stop`. `PERDURE_DATABASE_URL` and `PERDURE_KAFKA_BOOTSTRAP` each
    replace one server, which is then not started.

    All calls block; asyncio programs use `asyncio.to_thread`.
    """

    def __init__(self, root: Path) -> None:
        self._root = Root(root)
        self._users = Lock(self._root.locks / "users")
        self._starting: Lock | None = None
        self._begun = ""
        self._keeper: subprocess.Popen[bytes] | None = None
        self._on_state: Callable[[State], None] = lambda state: None

    def __enter__(self) -> Addresses:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def begin(self) -> None:
        """Get the servers going without waiting for them; `start` does that.

        Nothing happens when somebody else is starting them at this moment.

        Raises:
            EmbeddedError: As `start`.
        """
        wanted = self._wanted()
        if not wanted or self._begun:
            return
        if "kafka" in wanted:
            fetch()
        starting = Lock(self._root.locks / "start")
        if not starting.acquire():
            return
        if self._is_kept() or not self._users.acquire(shared=True):
            starting.release()
            return
        # The lock is kept until `start`: whoever comes meanwhile waits there.
        self._begun = self._spawn(wanted, detach=False)
        self._starting = starting

    def start(
        self, *, detach: bool = False, on_database: Callable[[str], None] | None = None
    ) -> Addresses:
        """Have the servers running and give their addresses.

        Args:
            detach: the servers stay after everybody has gone, until `stop`.
            on_database: called with the database's URL as soon as PostgreSQL serves, which is
                before Kafka does.

        Raises:
            EmbeddedError: `postgres_start_failed`, `kafka_start_failed`, `jars_unavailable`,
                `servers_differ`, `servers_busy`, …; the message says what to do.
        """
        wanted = self._wanted()
        tell = _Once(on_database)
        if "postgres" not in wanted:
            tell(os.environ[DATABASE_VARIABLE])
        if not wanted:
            return Addresses(os.environ[DATABASE_VARIABLE], os.environ[KAFKA_VARIABLE])
        self._on_state = lambda state: self._tell_database(state, tell)
        begun, self._begun = self._begun, ""
        starting = self._starting or self._alone(wanted)
        self._starting = None
        try:
            if detach:
                self._root.detached.touch()
            if begun:
                state = self._await(begun)
            else:
                self._join()
                state = self._find() or self._await(self._spawn(wanted, detach=detach))
            if detach:
                self._users.release()  # they stay anyway
        except BaseException:
            self._users.release()
            raise
        finally:
            starting.release()
        found = self._addresses(state, wanted)
        tell(found.database_url)
        return found

    def _wanted(self) -> list[str]:
        """Which servers are not replaced by ones that the environment names."""
        return [
            name
            for name, variable in (("postgres", DATABASE_VARIABLE), ("kafka", KAFKA_VARIABLE))
            if not os.environ.get(variable)
        ]

    def _alone(self, wanted: list[str]) -> Lock:
        """Become the only process that starts servers here."""
        if "kafka" in wanted:
            fetch()  # before the locks: it may take minutes the first time
        starting = Lock(self._root.locks / "start")
        if not starting.acquire(timeout_s=2 * READY_LIMIT_S):
            message = f"Another process has been starting the servers in {self._root.path} for too"
            raise EmbeddedError("servers_busy", message + " long; end it and try again.")
        return starting

    def _join(self) -> None:
        """Become one of the users of the servers."""
        if not self._users.held and not self._users.acquire(shared=True, timeout_s=_STOP_LIMIT_S):
            message = f"The servers in {self._root.path} do not finish stopping; try again."
            raise EmbeddedError("servers_busy", message)

    def _tell_database(self, state: State, tell: "_Once") -> None:
        if state.postgres is not None:
            tell(postgres(self._root.path).url(state.postgres.port))

    def release(self) -> None:
        """Say that this process needs the servers no longer; the last one's word stops them."""
        if self._starting is not None:
            self._starting.release()
            self._starting = None
        self._users.release()

    def stop(self) -> None:
        """Stop the servers now, whoever uses them; returns when they are gone.

        Raises:
            EmbeddedError: `servers_busy` when the keeper does not end even when killed.
        """
        self._root.detached.unlink(missing_ok=True)
        self._users.release()
        keeper = Lock(self._root.locks / "keeper")
        for end in (psutil.Process.terminate, psutil.Process.kill):
            if keeper.acquire():
                break
            with suppress(psutil.NoSuchProcess, ValueError):
                end(psutil.Process(self._root.read().keeper_pid))
            if keeper.acquire(timeout_s=_STOP_LIMIT_S):
                break
        else:
            raise EmbeddedError("servers_busy", f"The keeper of {self._root.path} does not stop.")
        keeper.release()

    def status(self) -> State:
        """What is written down, corrected by whether the keeper lives."""
        state = self._root.read()
        if state.phase in (Phase.READY, Phase.STARTING, Phase.STOPPING) and not self._is_kept():
            return State(phase=Phase.STOPPED, run=state.run)
        return state

    def _is_kept(self) -> bool:
        keeper = Lock(self._root.locks / "keeper")
        free = keeper.acquire(shared=True)
        keeper.release()
        return not free

    def _find(self) -> State | None:
        """The state of running servers; None when there is no keeper."""
        limit = time.monotonic() + READY_LIMIT_S
        while self._is_kept():
            state = self._root.read()
            self._on_state(state)
            if state.phase is Phase.READY:
                return state
            if time.monotonic() > limit:
                message = f"The servers in {self._root.path} are stuck; run `make down` first."
                raise EmbeddedError("servers_busy", message)
            time.sleep(_POLL_S)
        return None

    def _spawn(self, wanted: list[str], *, detach: bool) -> str:
        """Start a keeper and return the name of its run."""
        if not detach:
            self._root.detached.unlink(missing_ok=True)
        run = secrets.token_hex(8)
        command = [sys.executable, "-m", "perdure_common.embedded", "keep"]
        with (self._root.logs / "keeper.log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [*command, str(self._root.path), run, ",".join(wanted)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return run

    def _await(self, run: str) -> State:
        """Wait until that keeper's servers serve."""
        assert self._keeper is not None
        log_path = self._root.logs / "keeper.log"
        if self._keeper.wait(READY_LIMIT_S):  # the keeper itself is its child, and goes on
            message = f"The servers' keeper did not start; read {log_path}."
            raise EmbeddedError("servers_busy", message, tail(log_path))
        limit = time.monotonic() + 2 * READY_LIMIT_S
        while True:
            state = self._root.read()
            if state.run == run:
                self._on_state(state)
            if state.run == run and state.phase is Phase.READY:
                return state
            if state.run == run and state.phase is Phase.FAILED:
                raise EmbeddedError(state.error_code, state.error, state.error_detail)
            if time.monotonic() > limit:
                message = f"The servers did not get ready in time; read {log_path}."
                raise EmbeddedError("servers_busy", message, tail(log_path))
            time.sleep(_POLL_S)

    def _addresses(self, state: State, wanted: list[str]) -> Addresses:
        url, bootstrap = os.environ.get(DATABASE_VARIABLE), os.environ.get(KAFKA_VARIABLE)
        for name in wanted:
            if getattr(state, name) is None:
                message = (
                    f"The servers that run in {self._root.path} were started without {name}; "
                    "run `make down`, then try again."
                )
                self.release()
                raise EmbeddedError("servers_differ", message)
        if not url:
            assert state.postgres is not None
            url = postgres(self._root.path).url(state.postgres.port)
        if not bootstrap:
            assert state.kafka is not None
            bootstrap = f"127.0.0.1:{state.kafka.port}"
        return Addresses(url, bootstrap)


class _Once:
    """Calls a function the first time it is called itself."""

    def __init__(self, act: Callable[[str], None] | None) -> None:
        self._act = act

    def __call__(self, value: str) -> None:
        act, self._act = self._act, None
        if act is not None:
            act(value)
