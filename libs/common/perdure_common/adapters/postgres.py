"""The store in PostgreSQL: the tables of one service, written a batch at a time.

A batch is one statement in one round trip: `commit_batch` checks the fences and writes
the fixed part, common table expressions beside it write the projections, and the server
commits with the statement. So there is one point at which an answer can be lost.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters import postgres_batch as fixed
from perdure_common.adapters.postgres_connection import CHECKED, Dropping
from perdure_common.adapters.postgres_entries import events_of
from perdure_common.adapters.postgres_errors import CONNECT_S, LOST, WAIT_S
from perdure_common.adapters.postgres_files import PostgresFiles
from perdure_common.adapters.postgres_payloads import PostgresPayloads
from perdure_common.adapters.postgres_projection import (
    Shape,
    Table,
    arrays,
    coalesced,
    quoted,
    statements,
)
from perdure_common.adapters.postgres_queries import queries
from perdure_common.adapters.postgres_reading import kinds, matching
from perdure_common.adapters.postgres_types import clean, column
from perdure_common.decider import Lookup, Row
from perdure_common.shell.ports import (
    Claim,
    Fenced,
    Heard,
    JournalRow,
    ParkedMessage,
    Refused,
    Repeated,
    ShardCommit,
    Snapshot,
    Unanswered,
    Unreachable,
)
from perdure_common.shell.whole_rows import whole_rows

_SQL = queries(Path(__file__).with_name("postgres.sql"))

_FENCED = "PD001"
"""The SQLSTATE that `commit_batch` raises when a shard is not the caller's any more."""

_AGAIN = ("40001", "40P01")
"""Serialization failure and deadlock: nothing was written, the same batch may go again."""

_OF_THE_DATA = ("22", "23", "42", "54")
"""Classes of SQLSTATE that blame the batch: data, constraint, a statement it made, a limit."""

_OF_THE_GROUND = ("42501", "42P01")
"""A right and a table that are missing: no batch is at fault, and every batch would be."""

_QUOTING_DATA = ("22P02", "22007", "22003")
"""Errors whose message repeats the text that could not be read as the column's type."""

_TRIES_MAX = 3
_STATEMENTS_MAX = 200
_CLOSE_S = 5.0
_GIVEN_UP = 4.0
"""After so many waits the server gives up a transaction whose client says no more."""

_SETTINGS = {
    "application_name": "perdure",
    "timezone": "UTC",
    # Statements are prepared once and their arrays have any length: one plan serves all. A
    # sketch of the tables' sizes is no reason to scan them, for they only grow.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


class PostgresStore:
    """A `Store` in the schema called like the service; `migrate.up` must have made it.

    Args:
        url: the database's address.
        service: names the schema and the role `<service>_shell` that writes.
        connections: how many are open at most; each lane that commits wants one.
        wait_s: how long PostgreSQL may say nothing to a statement.
    """

    def __init__(
        self, url: str, service: str, *, connections: int = 4, wait_s: float = WAIT_S
    ) -> None:
        self._url = url
        self._service = service
        self._connections = connections
        self._wait_s = wait_s
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._tables: dict[str, Table] = {}
        self.payloads = PostgresPayloads(service, self._connection)
        self.files = PostgresFiles(service, self._connection)
        self._statements: dict[tuple[Shape, ...], str] = {}

    async def claim(self, shards: Sequence[str], owner: str) -> Sequence[Claim]:
        """See `Store`."""
        async with self._connection() as connection, connection.transaction():
            claimed = await connection.fetch(_SQL["claim"], list(shards), owner)
            found = {
                name: await connection.fetch(_SQL[name], list(shards))
                for name in ("last_recorded", "consumed", "heard", "sent", "wakes")
            }
            found["parked"] = await connection.fetch(_SQL["parked_streams"], list(shards))
        by_shard = {row["id"]: row for row in claimed}
        return [_claim(by_shard[shard], _of_shard(found, shard)) for shard in shards]

    async def epochs(self, shards: Sequence[str]) -> Mapping[str, int]:
        """See `Store`."""
        rows = await self._fetch("epochs", list(shards))
        return {row["id"]: row["epoch"] for row in rows}

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        """See `Store`. A deadlock with another writer is tried again, up to three times."""
        if not batch:
            return
        payloads = [payload for commit in batch for payload in commit.payloads]
        if payloads:
            await self.payloads.put(payloads)
        try:
            await self._commit(batch)
        except Refused:
            # The tables may have been migrated since they were looked at; next time we know.
            self._tables.clear()
            self._statements.clear()
            raise

    async def load(
        self, streams: Mapping[str, int]
    ) -> Mapping[str, tuple[Snapshot | None, Sequence[JournalRow]]]:
        """See `Store`. Two queries, whatever the number of streams."""
        if not streams:
            return {}
        names = list(streams)
        async with self._connection() as connection:
            found = await connection.fetch(_SQL["snapshots"], names, list(streams.values()))
            snapshots = {row["stream"]: Snapshot(*row) for row in found}
            after = [snapshots[s].version if s in snapshots else 0 for s in names]
            entries = await connection.fetch(_SQL["entries_after"], names, after)
        first = dict(zip(names, after, strict=True))
        rows = [row for row in events_of(entries) if row.version > first[row.stream]]
        journal: dict[str, list[JournalRow]] = {name: [] for name in names}
        for row in await whole_rows(self.payloads, rows):
            journal[row.stream].append(row)
        return {name: (snapshots.get(name), journal[name]) for name in names}

    async def journal(self, shard: str, after: int, limit: int) -> Sequence[JournalRow]:
        """See `Store`."""
        entries = await self._fetch("journal", shard, after, limit)
        rows = [row for row in events_of(entries) if row.seq > after]
        return await whole_rows(self.payloads, rows[:limit])

    async def look_up(self, tenant_id: str, lookups: Sequence[Lookup]) -> Sequence[Sequence[Row]]:
        """See `Store`. Values come back as JSON has them; rows in a fixed order.

        One query in one round trip, whatever is looked for.
        """
        asked = kinds(lookups)
        if not asked:
            return []
        tables = [await self._table(kind.table) for kind in asked]
        wanted = [[lookups[place] for place in places] for places in asked.values()]
        arguments: list[Any] = [tenant_id]
        arrays = [
            kind.query(table, mine, arguments)
            for kind, table, mine in zip(asked, tables, wanted, strict=True)
        ]
        async with self._connection() as connection:
            try:
                found = await connection.fetchrow(f"SELECT {', '.join(arrays)}", *arguments)
            except asyncpg.PostgresError as error:
                if not _blames_what_was_asked(error):
                    raise Unreachable(f"PostgreSQL does not look up now: {error}") from error
                names = ", ".join(sorted({kind.table for kind in asked}))
                raise Refused(f"a lookup in {names} failed: {error}") from error
        answers: list[Sequence[Row]] = [() for _ in lookups]
        for (kind, places), table, mine, rows in zip(
            asked.items(), tables, wanted, found, strict=True
        ):
            for place, answer in zip(places, matching(kind, table, rows, mine), strict=True):
                answers[place] = answer
        return answers

    async def deliveries(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], str]:
        """See `Store`."""
        if not keys:
            return {}
        kept = {
            (tenant, clean(source), clean(i)): (tenant, source, i) for tenant, source, i in keys
        }
        rows = await self._fetch("deliveries", *(list(part) for part in zip(*kept, strict=True)))
        return {kept[row["tenant_id"], row["source"], row["id"]]: row["answer"] for row in rows}

    async def forget_deliveries(self, older_than_s: float, limit: int) -> int:
        """See `retention.Deliveries`."""
        rows = await self._fetch("forget_deliveries", older_than_s, limit)
        return int(rows[0]["count"])

    async def parked(self, stream: str, limit: int) -> Sequence[ParkedMessage]:
        """See `Store`."""
        return [ParkedMessage(*row) for row in await self._fetch("parked", stream, limit)]

    async def close(self) -> None:
        """See `Store`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), _CLOSE_S)
            except TimeoutError:
                pool.terminate()

    # Connections -------------------------------------------------------------------

    @asynccontextmanager
    async def _connection(self, *, answer_may_be_lost: bool = False) -> AsyncGenerator[Any]:
        """Give a connection; say what a broken one means.

        Raises:
            Unreachable: There is none, or it broke and nothing was to be written.
            Unanswered: It broke after something may have been written.
        """
        try:
            pool = await self._open()
            connection = await pool.acquire()
        except asyncpg.PostgresError as error:
            raise Unreachable(
                f"PostgreSQL lets nobody in: {error}; if the schema {self._service} is not made "
                "yet, run `python -m perdure_common.migrate up`"
            ) from error
        except LOST as error:
            raise Unreachable(f"PostgreSQL cannot be reached: {error!r}") from error
        try:
            yield connection
        except LOST as error:
            if isinstance(error, asyncpg.InterfaceError) and _is_open(connection):
                raise  # the driver was used wrongly
            if isinstance(error, asyncpg.InsufficientResourcesError):
                raise Unreachable(f"PostgreSQL is short of resources: {error}") from error
            if answer_may_be_lost:
                raise Unanswered(f"PostgreSQL went away: {error!r}") from error
            raise Unreachable(f"PostgreSQL went away: {error!r}") from error
        finally:
            await pool.release(connection)

    async def _open(self) -> Any:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(  # pyright: ignore
                        self._url,
                        min_size=1,
                        max_size=self._connections,
                        max_inactive_connection_lifetime=0,
                        reset=_keep,
                        timeout=CONNECT_S,
                        command_timeout=self._wait_s,
                        connection_class=Dropping,
                        statement_cache_size=_STATEMENTS_MAX,
                        max_cached_statement_lifetime=0,
                        server_settings={
                            **_SETTINGS,
                            **CHECKED,
                            "search_path": f"{quoted(self._service)}, public",
                            "role": f"{self._service}_shell",
                            # Else a claim whose process went without a word keeps its shards
                            # locked for as long as the server's TCP takes to notice: hours.
                            "idle_in_transaction_session_timeout": _ms(_GIVEN_UP * self._wait_s),
                        },
                    )
        return self._pool

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        async with self._connection() as connection:
            return await connection.fetch(_SQL[name], *arguments)

    # Committing --------------------------------------------------------------------

    async def _commit(self, batch: Sequence[ShardCommit]) -> None:
        sql, arguments = await self._statement(batch)
        for attempt in range(1, _TRIES_MAX + 1):
            try:
                async with self._connection(answer_may_be_lost=True) as connection:
                    await connection.fetchval(sql, *arguments)
                return
            except asyncpg.PostgresError as error:
                if error.sqlstate not in _AGAIN or attempt == _TRIES_MAX:
                    await self._explain(error, batch)
            except (asyncpg.DataError, ValueError, OverflowError) as error:
                raise Refused(f"a value of the batch cannot be sent: {error}") from error

    async def _statement(self, batch: Sequence[ShardCommit]) -> tuple[str, list[Any]]:
        groups = coalesced(u for commit in batch for u in commit.upserts)
        tables = {shape.table: await self._table(shape.table) for shape, _ in groups}
        arguments = fixed.arguments(batch)
        for shape, rows in groups:
            arguments += arrays(shape, tables[shape.table], rows)
        shapes = tuple(shape for shape, _ in groups)
        sql = self._statements.get(shapes)
        if sql is None:
            if len(self._statements) >= _STATEMENTS_MAX:
                self._statements.clear()
            sql = self._statements[shapes] = _batch_sql(shapes, tables)
        return sql, arguments

    async def _table(self, name: str) -> Table:
        """Return the columns of a table, read from the catalogue once."""
        table = self._tables.get(name)
        if table is None:
            rows = await self._fetch("columns", quoted(name))
            if not rows:
                raise Unreachable(
                    f"schema {self._service} has no table {name!r}; run `perdure migrate`"
                )
            table = {
                r["name"]: column(
                    r["name"], r["type"], is_array=r["is_array"], required=r["required"]
                )
                for r in rows
            }
            self._tables[name] = table
        return table

    async def _explain(self, error: asyncpg.PostgresError, batch: Sequence[ShardCommit]) -> None:
        """Raise what the database's error means for the shell."""
        if error.sqlstate == _FENCED:
            raise Fenced(json.loads(error.detail or "[]")) from error
        if error.sqlstate == "23505" and error.schema_name == self._service:
            if error.constraint_name == "delivery_pkey":
                raise Repeated from error
            if error.constraint_name == "journal_stream_version_key":
                streams = await self._repeated(batch)
                if streams:
                    raise Repeated(streams) from error
        if error.sqlstate in _AGAIN:
            raise Unreachable(f"PostgreSQL gave up on the batch: {error.message}") from error
        where = ".".join(
            part for part in (error.table_name, error.column_name or error.constraint_name) if part
        )
        # The detail may show data, and so may what cannot be read; they stay with the cause.
        told = error.sqlstate not in _QUOTING_DATA and error.message
        why = told or "a value does not fit its column"
        text = f"{where or 'the batch'}: {why} ({error.sqlstate})"
        if _blames_what_was_asked(error):
            raise Refused(text) from error
        raise Unreachable(f"PostgreSQL cannot take batches now: {text}") from error

    async def _repeated(self, batch: Iterable[ShardCommit]) -> list[str]:
        rows = [row for commit in batch for row in commit.rows]
        streams, versions = [r.stream for r in rows], [r.version for r in rows]
        found = await self._fetch("repeated", streams, versions)
        return [row["stream"] for row in found]


def _blames_what_was_asked(error: asyncpg.PostgresError) -> bool:
    """Tell whether asking the same again would fail again, however well the server is."""
    state = error.sqlstate or ""
    return state[:2] in _OF_THE_DATA and state not in _OF_THE_GROUND


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _is_open(connection: Any) -> bool:
    """Tell whether a connection of the pool can be used; one that was dropped is not even asked."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False


async def _keep(connection: Any) -> None:
    """Leave the session as it is: nothing here changes it, and a reset is a round trip."""
    del connection


def _batch_sql(shapes: Sequence[Shape], tables: Mapping[str, Table]) -> str:
    """Return the one statement that writes a batch with rows of these shapes."""
    numbers = ", ".join(f"${n}" for n in range(1, fixed.ARGUMENTS + 1))
    parts = [f"fixed AS MATERIALIZED (SELECT commit_batch({numbers}) AS done)"]
    first = fixed.ARGUMENTS + 1
    for i, shape in enumerate(shapes):
        parts += statements(shape, tables[shape.table], first, f"p{i}")
        first += 1 + len(shape.columns)
    return "WITH " + ", ".join(parts) + " SELECT done FROM fixed"


def _of_shard(found: Mapping[str, list[Any]], shard: str) -> dict[str, list[Any]]:
    return {name: [row for row in rows if row["shard"] == shard] for name, rows in found.items()}


def _claim(row: Any, found: Mapping[str, list[Any]]) -> Claim:
    last = found["last_recorded"]
    return Claim(
        shard=row["id"],
        epoch=row["epoch"],
        next_seq=row["next_seq"],
        published_seq=row["published_seq"],
        projected_seq=row["projected_seq"],
        format=row["format"],
        recorded_at=last[0]["recorded_at"] if last else None,
        consumed={(r["topic"], r["partition"]): r["next_offset"] for r in found["consumed"]},
        heard={
            (r["topic"], r["partition"], r["source"]): Heard(r["seq"], r["gap"])
            for r in found["heard"]
        },
        sent={(r["topic"], r["partition"]): r["seq"] for r in found["sent"]},
        wakes={r["stream"]: r["at"] for r in found["wakes"]},
        parked={r["stream"]: r["last_n"] for r in found["parked"]},
    )
