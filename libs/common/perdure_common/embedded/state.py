"""What is written down about the running servers: the files of a root directory and its locks.

Everything lives under one directory (`.perdure/` of a project): data, logs, three lock files and
`servers.json`. Locks are advisory (`flock`): the kernel releases them when their holder dies, also
by kill -9, which no pid file does.
"""

import fcntl
import os
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

_POLL_S = 0.02


class Phase(StrEnum):
    """Where the servers of a root directory are in their life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Addresses:
    """Where to find the two servers: a PostgreSQL URL (password inside) and `host:port`."""

    database_url: str
    kafka_bootstrap: str


@dataclass(frozen=True)
class Process:
    """A server process. `created_at_s` (seconds since the epoch) tells a reused pid apart."""

    pid: int
    created_at_s: float
    port: int


@dataclass(frozen=True)
class State:
    """The contents of `servers.json`. `run` names the keeper's run that wrote it."""

    phase: Phase = Phase.STOPPED
    run: str = ""
    keeper_pid: int = 0
    postgres: Process | None = None
    kafka: Process | None = None
    kafka_controller_port: int = 0
    error_code: str = ""
    error: str = ""
    error_detail: str = ""


@dataclass(frozen=True)
class Root:
    """The paths under one root directory; making it makes the directories."""

    path: Path
    logs: Path = field(init=False)
    locks: Path = field(init=False)

    def __post_init__(self) -> None:
        path = self.path.expanduser().absolute()
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "logs", path / "logs")
        object.__setattr__(self, "locks", path / "locks")
        for directory in (path, self.logs, self.locks):
            directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and path.stat().st_mode & 0o011 != 0o011:
            # PostgreSQL will run as somebody else (postgres.py) and has to get through.
            path.chmod(path.stat().st_mode | 0o011)

    @property
    def detached(self) -> Path:
        """Exists while the servers are meant to outlive those who started them."""
        return self.locks / "detached"

    def read(self) -> State:
        """The state written last; a fresh one where there is none or it cannot be read."""
        try:
            return msgspec.json.decode((self.path / "servers.json").read_bytes(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return State()

    def read_ports(self) -> dict[str, int]:
        """The ports of the last run, by name; they are used again where they are free."""
        try:
            return msgspec.json.decode((self.path / "ports.json").read_bytes(), type=dict[str, int])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def write_ports(self, ports: dict[str, int]) -> None:
        """Remember the ports for the next run."""
        (self.path / "ports.json").write_bytes(msgspec.json.encode(ports))

    def write(self, state: State) -> None:
        """Replace the state in one step, so that no reader sees half of it."""
        fresh = self.path / f"servers.json.{os.getpid()}"
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        fresh.replace(self.path / "servers.json")


class Lock:
    """An advisory lock on a file; released by `release` or by the death of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, *, shared: bool = False, timeout_s: float = 0.0) -> bool:
        """Take the lock, waiting at most `timeout_s`; True when it is held."""
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        limit = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= limit:
                    os.close(file)
                    return False
                time.sleep(_POLL_S)
            else:
                self.release()
                self._file = file
                return True

    def acquire_forever(self) -> None:
        """Sleep in the kernel until the lock is held alone."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file = file

    def release(self) -> None:
        """Let go; nothing happens where the lock is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None
