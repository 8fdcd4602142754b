"""Rebuilds a service's tables from its journal in a shadow database, and compares.

The live side is read in one snapshot: rows that are written lazily count up to the mark
that the same snapshot has. So the check needs no standstill, and any difference is real.
"""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from perdure_common import migrate
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.adapters.postgres_entries import COLUMNS, events_of
from perdure_common.adapters.postgres_payloads import PostgresPayloads
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.decider import Recorded, Upsert
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.effects import effects_of
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import JournalRow, Refused, ShardCommit
from perdure_common.shell.shard import Held
from perdure_common.shell.whole_rows import whole_row

SQL = queries(Path(__file__).with_name("replay.sql"))

CHUNK = 2_000
"""Upserts written to the shadow at once, and rows compared at once."""

DIFFERENCES_MAX = 100
"""Differences that are told of one table; more say nothing new."""

SHELL_TABLES = frozenset({
    "shard", "journal_entry", "consumed", "heard", "sent", "wake", "snapshot", "delivery",
    "parked_stream", "parked_message", "schema_migrations",
})  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A row that is not as the journal says: `live` and `rebuilt` are rows as text, or None."""

    table: str
    key: str
    live: str | None
    rebuilt: str | None


@dataclass
class Report:
    """What a check of one service found; `rows` counts what was compared, by table."""

    service: str
    events: int = 0
    streams: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


async def check(service: Service, url: str) -> Report:
    """Rebuild the service's tables and compare them with the live ones.

    A journal from which something is gone makes what is left of it: streams that cannot be folded
    any more are differences too, and so are rows that the database refuses.

    Needs the right to create a database, which is dropped again at the end.

    Raises:
        UnknownType: The journal has an event that this version does not know.
        asyncpg.PostgresError: The database refuses.
    """
    report = Report(service.name)
    live = await asyncpg.connect(url)
    try:
        async with shadow_of(live, url) as shadow_url:
            await migrate.up(shadow_url, service.name)
            async with live.transaction(isolation="repeatable_read", readonly=True):
                await rebuild_into(service, live, shadow_url, report, checks=True)
                shadow = await asyncpg.connect(shadow_url)
                try:
                    for table in await tables_of(live, service):
                        since = await kept_since(live, service, table)
                        await _compare(service.name, table, live, shadow, report, since)
                finally:
                    await shadow.close()
    finally:
        await live.close()
    return report


@asynccontextmanager
async def shadow_of(live: Any, url: str) -> AsyncGenerator[str]:
    """Make an empty database beside the live one."""
    name = f"perdure_replay_{secrets.token_hex(6)}"
    await live.execute(SQL["make_database"].format(name=quoted(name)))
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        await live.execute(SQL["drop_database"].format(name=quoted(name)))


async def rebuild_into(
    service: Service, live: Any, shadow_url: str, report: Report, *, checks: bool = False
) -> None:
    """Fold every stream of the live journal and write its rows to the shadow.

    Twice: a lazy row may belong to another stream's row (a workflow's latest execution),
    which must be there first. Who only `checks` is told what cannot be made, and gets the rest.

    Raises:
        Refused: The database refuses a row; not while checking.
    """
    schema = quoted(service.name)
    marks = await live.fetch(SQL["marks"].format(schema=schema))
    projected = {row["id"]: row["projected_seq"] for row in marks}
    store = PostgresStore(shadow_url, service.name)
    try:
        (claim,) = await store.claim(["replay"], "replay")
        for lazy in (False, True):
            upserts: list[Upsert] = []
            async for row, made in _folded(service, live, report, count=lazy, checks=checks):
                late = row.seq > projected[row.shard]
                upserts.extend(u for u in made if u.lazy == lazy and not (lazy and late))
                if len(upserts) >= CHUNK:
                    await _write(store, claim.epoch, upserts, checks=checks)
                    upserts = []
            await _write(store, claim.epoch, upserts, checks=checks)
    finally:
        await store.close()


async def _folded(
    service: Service, live: Any, report: Report, *, count: bool, checks: bool
) -> AsyncGenerator[tuple[JournalRow, Sequence[Upsert]]]:
    """Fold the journal stream by stream and give each row with the rows of tables it makes."""
    registry = Registry(service)
    held, stream, broken = Held(None, None, 0, ""), None, False
    statement = SQL["entries"].format(columns=COLUMNS, schema=quoted(service.name))
    payloads = PostgresPayloads(service.name, lambda: nullcontext(live))
    async for entry in live.cursor(statement, prefetch=CHUNK):
        for found in events_of([entry]):
            row = await whole_row(payloads, found)
            if row.stream != stream:
                held, stream, broken = Held(None, None, 0, ""), row.stream, False
                report.streams += count
            report.events += count
            if broken:
                continue
            event = codec.event_of(row)
            recorded = Recorded(event, row.tenant_id, row.stream, row.version, row.recorded_at)
            try:
                _, made, _ = effects_of(registry, held, recorded)
            except Exception as error:  # whatever a state without its past makes of an event
                if not checks:
                    raise
                broken = True
                if count:
                    report.differences.append(_unfolded(row, error))
                continue
            yield row, made


def _unfolded(row: JournalRow, error: Exception) -> Difference:
    """Return that a stream cannot be folded from an event on."""
    what = f"version {row.version} cannot follow what is before it: {type(error).__name__}"
    return Difference("journal_entry", row.stream, what, None)


async def _write(
    store: PostgresStore, epoch: int, upserts: Sequence[Upsert], *, checks: bool
) -> None:
    """Write rows; who only checks goes on without those that the database refuses."""
    commit = ShardCommit("replay", epoch, 1, 1)
    commit.upserts = list(upserts)
    try:
        await store.commit([commit])
    except Refused:
        if not checks:
            raise
        if len(upserts) > 1:  # a row that is missing then is a difference
            half = len(upserts) // 2
            await _write(store, epoch, upserts[:half], checks=checks)
            await _write(store, epoch, upserts[half:], checks=checks)


async def tables_of(live: Any, service: Service) -> list[str]:
    """Return the tables that the service makes from its journal."""
    rows = await live.fetch(SQL["tables"], quoted(service.name))
    names = [str(row["relname"]) for row in rows]
    return [name for name in names if name not in SHELL_TABLES and name not in service.kept]


async def kept_since(live: Any, service: Service, table: str) -> str:
    """Return the condition on the rows of a table that are kept: older ones were dropped."""
    column = service.expires.get(table)
    if column is None:
        return "true"
    statement = SQL["dropped_before"].format(schema=quoted(service.name))
    before = await live.fetchval(statement, table)
    return "true" if before is None else f"{quoted(column)} >= '{before.isoformat()}'"


async def _compare(
    schema: str, table: str, live: Any, shadow: Any, report: Report, since: str
) -> None:
    """Walk both tables in the order of their keys and note every row that differs."""
    keys = await key_of(live, schema, table)
    key = f"ROW({', '.join(f't.{quoted(name)}' for name in keys)})::text"
    target = f"{quoted(schema)}.{quoted(table)}"
    statement = SQL["rows"].format(key=key, target=target, since=since)
    async with shadow.transaction():
        left = live.cursor(statement, prefetch=CHUNK).__aiter__()
        right = shadow.cursor(statement, prefetch=CHUNK).__aiter__()
        a, b = await _next(left), await _next(right)
        count = 0
        while (a or b) and len(report.differences) < DIFFERENCES_MAX:
            count += 1
            if a and b and a["key"] == b["key"]:
                if a["row"] != b["row"]:
                    report.differences.append(Difference(table, a["key"], a["row"], b["row"]))
                a, b = await _next(left), await _next(right)
            elif a and (not b or a["key"] < b["key"]):
                report.differences.append(Difference(table, a["key"], a["row"], None))
                a = await _next(left)
            else:
                report.differences.append(Difference(table, b["key"], None, b["row"]))
                b = await _next(right)
    report.rows[table] = count


async def _next(rows: Any) -> Any:
    return await anext(rows, None)


async def key_of(live: Any, schema: str, table: str) -> list[str]:
    """Return the columns of a table's primary key, in order."""
    rows = await live.fetch(SQL["key"], schema, table)
    return [str(row["attname"]) for row in rows]
