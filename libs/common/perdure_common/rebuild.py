"""Writes one table anew from the journal, while nothing else writes it.

The rows are made in a database of their own, as for a check, and then only those that differ
are changed. Until that is done the service's batches wait: what they would write next builds on
the journal as it was read.
"""

import io
from dataclasses import dataclass
from typing import Any

import asyncpg

from perdure_common import migrate
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.errors import Told
from perdure_common.replay import (
    SQL,
    Report,
    kept_since,
    key_of,
    rebuild_into,
    shadow_of,
    tables_of,
)
from perdure_common.service import Service


class NoProjection(Told):
    """A table is not made from the journal, or is not there."""

    code = "no_projection"
    exit_code = 2


@dataclass(frozen=True)
class Rebuilt:
    """What was done to a table: rows that are as the journal says, and what had to change."""

    table: str
    rows: int
    added: int
    changed: int
    removed: int


async def rebuild(service: Service, url: str, table: str) -> Rebuilt:
    """Let a table of a service be what its journal makes of it.

    Needs the right to create a database, which is dropped again at the end.

    Raises:
        NoProjection: The service has no such table, or keeps it beside the journal.
        asyncpg.PostgresError: The database refuses.
    """
    live: Any = await asyncpg.connect(url)
    try:
        known = await tables_of(live, service)
        if table not in known:
            raise NoProjection(
                f"{service.name} makes no table {table!r} from its journal; there are: "
                f"{', '.join(known)}"
            )
        async with shadow_of(live, url) as shadow_url:
            await migrate.up(shadow_url, service.name)
            async with live.transaction():
                await live.execute(SQL["stand_still"].format(schema=quoted(service.name)))
                await rebuild_into(service, live, shadow_url, Report(service.name))
                await _fetch(service.name, table, live, shadow_url)
                since = await kept_since(live, service, table)
                return await _replace(service.name, table, live, since)
    finally:
        await live.close()


async def _fetch(schema: str, table: str, live: Any, shadow_url: str) -> None:
    """Copy the table's rows from the shadow into a table of this transaction."""
    target = f"{quoted(schema)}.{quoted(table)}"
    await live.execute(SQL["make_rebuilt"].format(target=target))
    shadow: Any = await asyncpg.connect(shadow_url)
    try:
        columns = await live.fetch(SQL["columns"], target)
        names = [str(row["attname"]) for row in columns]
        listed = ", ".join(quoted(name) for name in names)
        rows = io.BytesIO()
        copied = SQL["copied"].format(listed=listed, target=target)
        await shadow.copy_from_query(copied, output=rows, format="binary")
        rows.seek(0)
        await live.copy_to_table("rebuilt", source=rows, columns=names, format="binary")
    finally:
        await shadow.close()


async def _replace(schema: str, table: str, live: Any, since: str) -> Rebuilt:
    """Bring the live table to what was rebuilt, changing only the rows that differ."""
    target = f"{quoted(schema)}.{quoted(table)}"
    keys = await key_of(live, schema, table)
    same = " AND ".join(f"t.{quoted(name)} = r.{quoted(name)}" for name in keys)
    await live.execute(SQL["leave_out"].format(since=since))
    await live.execute("ANALYZE rebuilt")
    total = await live.fetchval(SQL["count_rebuilt"])
    removed = await live.execute(SQL["remove"].format(target=target, same=same))
    changed = await live.execute(SQL["remove_changed"].format(target=target, same=same))
    added = await live.execute(SQL["add"].format(target=target, same=same))
    replaced = _count(changed)
    return Rebuilt(table, int(total), _count(added) - replaced, replaced, _count(removed))


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
