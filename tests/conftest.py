"""Real servers for the tests that ask for them: one PostgreSQL and one Kafka for everybody.

`servers` starts them, or finds those of another worker or run; they stop when the last run has
ended. Each test has a database and a first word for its topics of its own. Tests that do not ask
pay nothing.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import HealthCheck, settings
from perdure_common.embedded import Addresses, Embedded
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parent.parent / ".perdure" / "tests"
# What a killed run left behind is swept by the first run after this long.
LEFTOVER_AGE_S = 6 * 3600

# Timings are not asserted: the machine may be busy with other tests.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


class _Scheduling(LoadFileScheduling):
    """Workers take files, but of a long test each `part` alone: several work on it at once."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "[part " in nodeid else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Return who gives tests to workers."""
    return _Scheduling(config, log)


def _name() -> str:
    """A random name that carries its birth, so that leftovers can be told from neighbours."""
    return f"t{int(time.time()):x}{secrets.token_hex(4)}"


def _is_leftover(name: str) -> bool:
    try:
        return name.startswith("t") and time.time() - int(name[1:9], 16) > LEFTOVER_AGE_S
    except ValueError:
        return False


def _on(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _delete_topics(bootstrap: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names: list[str] = await admin.list_topics()
        mine = [n for n in names if n.startswith(prefix) or _is_leftover(n.split(".")[0])]
        if mine:
            await admin.delete_topics(mine)
    finally:
        await admin.close()


async def _drop_leftover_databases(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("select pg_advisory_lock(1)")  # one worker at a time
        for row in await connection.fetch("select datname from pg_database"):
            if _is_leftover(row["datname"]):
                await connection.execute(f'drop database "{row["datname"]}" with (force)')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """The addresses of a real PostgreSQL and a real Kafka."""
    embedded = Embedded(ROOT)
    addresses = embedded.start()
    try:
        asyncio.run(_drop_leftover_databases(addresses.database_url))
        yield addresses
    finally:
        embedded.release()


@pytest.fixture
async def database(servers: Addresses) -> AsyncIterator[str]:
    """The URL of an empty database of this test's own."""
    name = _name()
    connection = await asyncpg.connect(servers.database_url)
    try:
        # Copying files costs half of what writing every page to the log does.
        await connection.execute(f'create database "{name}" strategy = file_copy')
        yield _on(servers.database_url, name)
        await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()


@pytest.fixture
async def topic_prefix(servers: Addresses, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The first word of this test's topics, instead of "perdure"; set as PERDURE_TOPIC_PREFIX."""
    prefix = _name()
    monkeypatch.setenv("PERDURE_TOPIC_PREFIX", prefix)
    yield prefix
    await _delete_topics(servers.kafka_bootstrap, prefix)
