"""The stores that the same tests run against, and tables for them to write."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from perdure_common import migrate
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.shell.ports import Store
from tally import Stage, in_memory, real_stage

TABLES = """
-- migrate:up
CREATE TABLE thing (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name varchar(40) NOT NULL,
    body text,
    count integer NOT NULL DEFAULT 0,
    doc jsonb,
    at timestamptz,
    number bigint CHECK (number >= 0),
    lasts interval,
    ratio numeric(6, 3),
    open boolean,
    tags text[]
);
CREATE TABLE latest (
    tenant_id text NOT NULL,
    place text NOT NULL,
    at timestamptz,
    number bigint,
    says text,
    count integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, place)
);
-- migrate:down
DROP TABLE latest;
DROP TABLE thing;
"""


@pytest.fixture
async def shop(database: str, tmp_path: Path) -> str:
    """The URL of a database with the schema of a service called shop."""
    shutil.copytree(migrate.folder() / migrate.SHELL, tmp_path / migrate.SHELL)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "0001_tables.sql").write_text(TABLES)
    await migrate.up(database, "shop", tmp_path)
    return database


@pytest.fixture
async def postgres(shop: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(shop, "shop")
    yield store
    await store.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store of each kind; the test runs once with each."""
    if request.param == "memory":
        return MemoryStore("shop")
    return request.getfixturevalue("postgres")


@pytest.fixture(params=["memory", "real"])
def servers_of_stage(request: pytest.FixtureRequest) -> tuple[str, str, str] | None:
    """The real servers' addresses, None for memory; asked for only where they are used."""
    if request.param == "memory":
        return None
    bootstrap: str = request.getfixturevalue("servers").kafka_bootstrap
    return request.getfixturevalue("database"), request.getfixturevalue("topic_prefix"), bootstrap


@pytest.fixture
async def stage(servers_of_stage: tuple[str, str, str] | None) -> AsyncIterator[Stage]:
    if servers_of_stage is None:
        yield in_memory().stage()
        return
    async for made in real_stage(*servers_of_stage):
        yield made
