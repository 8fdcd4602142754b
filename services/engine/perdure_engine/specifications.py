"""The table node_specifications: written from the nodes' own files whenever the engine starts.

It is no projection of the journal: what it says follows from the version that runs.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import FAILED, UPKEEP_S
from perdure_common.adapters.postgres_queries import queries
from perdure_common.ids import derived
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner

from .nodes.describe import Described, all_described

BACK_OFF_S = 2.0
"""Between two tries to reach the database."""

CONNECT_S = 10.0

log = structlog.get_logger(__name__)


async def fill(url: str, tenant_id: str) -> list[str]:
    """Bring the table up to date; return the subtypes whose row changed.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not take it.
    """
    sql = queries(Path(__file__).with_name("specifications.sql"))
    nodes = all_described()
    ids = [specification_id(tenant_id, node) for node in nodes]
    connection: Any = await asyncpg.connect(  # pyright: ignore
        url, timeout=CONNECT_S, command_timeout=UPKEEP_S, connection_class=Dropping
    )
    try:
        async with connection.transaction():
            changed = await connection.fetch(
                sql["fill"],
                tenant_id,
                ids,
                [node["node_type"] for node in nodes],
                [node["node_subtype"] for node in nodes],
                [version_of(node) for node in nodes],
                [json.dumps(node, ensure_ascii=False) for node in nodes],
            )
            retired = await connection.fetch(sql["retire"], tenant_id, ids)
    finally:
        await connection.close()
    return [row["node_subtype"] for row in (*changed, *retired)]


def specification_id(tenant_id: str, node: Described) -> str:
    """Return the id of a subtype's row."""
    subtype = (node["node_type"], node["node_subtype"], version_of(node))
    return derived("node-specification", tenant_id, *subtype)


def version_of(node: Described) -> str:
    """Return the subtype's version as the column has it."""
    return f"{node['version']}.0.0"


async def fill_at_start(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Fill the table beside the owner, which starts meanwhile; try until the database is there."""
    del owner
    while not stop.is_set():
        try:
            changed = await fill(settings.database_url, settings.tenant_id)
        except FAILED as error:
            log.warning("specifications_not_written", error=str(error), wait_s=BACK_OFF_S)
            try:
                async with asyncio.timeout(BACK_OFF_S):
                    await stop.wait()
            except TimeoutError:
                continue
        else:
            if changed:
                log.info("specifications_written", subtypes=changed)
            return
