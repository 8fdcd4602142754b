"""What a stage stands on: real servers, a database and topics of its own, and a folder.

`shared_ground` uses the servers of all tests; `own_ground` starts servers that may be killed.
"""

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from perdure_common.embedded import Addresses, Embedded


@dataclass(frozen=True)
class Ground:
    """What a stage stands on. `embedded` is there where the servers are its own."""

    database_url: str
    kafka_bootstrap: str
    prefix: str
    folder: Path
    embedded: Embedded | None = None

    def server_pid(self, name: str) -> int:
        """Return the process of a server of our own: `postgres` or `kafka`."""
        assert self.embedded is not None, "only servers of one's own are killed"
        process = getattr(self.embedded.status(), name)
        return int(process.pid)


@asynccontextmanager
async def shared_ground(servers: Addresses) -> AsyncGenerator[Ground]:
    """Stand on servers that others use too, in a database and under a prefix of one's own."""
    name = f"t{int(time.time()):x}{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="perdure-stage-"))
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(f'create database "{name}" strategy = file_copy')
        url = urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{name}"))
        yield Ground(url, servers.kafka_bootstrap, name, folder)
        await connection.execute(f'drop database "{name}" with (force)')
        admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap)
        await admin.start()
        try:
            names: list[str] = await admin.list_topics()
            await admin.delete_topics([each for each in names if each.startswith(name)])
        finally:
            await admin.close()
    finally:
        await connection.close()
        shutil.rmtree(folder)


@asynccontextmanager
async def own_ground(
    disk: Callable[[Path], AbstractContextManager[None]] | None = None,
) -> AsyncGenerator[Ground]:
    """Stand on a PostgreSQL and a Kafka of one's own, which may be killed.

    `disk` puts a file system of its own at PostgreSQL's folder for that time.
    """
    # Not in pytest's folder: its parents are closed to the user that runs PostgreSQL.
    folder = Path(tempfile.mkdtemp(prefix="perdure-stage-"))
    # Who runs PostgreSQL has to get through, or its data goes elsewhere.
    folder.chmod(0o711)  # noqa: ASYNC240
    embedded = Embedded(folder / "servers")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        if disk is not None:
            stack.enter_context(disk(folder / "servers" / "postgres"))
        async with _served(embedded, folder) as ground:
            yield ground


@asynccontextmanager
async def _served(embedded: Embedded, folder: Path) -> AsyncGenerator[Ground]:
    try:
        addresses = await asyncio.to_thread(embedded.start)
        yield Ground(addresses.database_url, addresses.kafka_bootstrap, "perdure", folder, embedded)
    finally:
        await asyncio.to_thread(embedded.stop)
