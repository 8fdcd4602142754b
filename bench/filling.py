"""Fills the engine's tables with finished executions: copies of one that really ran.

Its rows, in whatever tables they are, are multiplied in the database by `generate_series`, each
copy under an execution id of its own and row ids, all ordered by time as real ones are.
The journal's copies stand in shards of their own, so that running services need not know. The
indexes are dropped and built again, then everything is vacuumed, analysed and flushed: as it
would be had the rows come in the course of time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHARDS = 8
IDS = "bench_ids"
PATIENCE_S = 1_800.0

_COLUMNS = """
    SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'engine'::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT c.relispartition AND c.relname <> $1
    AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ORDER BY c.relname, a.attnum
"""

_INDEXES = """
    SELECT i.indexrelid::regclass::text AS index,
        replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS made_by,
        k.conname AS constraint, pg_get_constraintdef(k.oid) AS rule
    FROM pg_index i LEFT JOIN pg_constraint k
        ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
    WHERE i.indrelid = $1::regclass ORDER BY i.indexrelid
"""


@dataclass(frozen=True)
class Table:
    """A table with rows of the execution: its columns with their types, and which holds its id."""

    name: str
    columns: Sequence[tuple[str, str]]
    key: str
    rows: int


async def tables_of(connection: Any, execution_id: str) -> list[Table]:
    """Return the tables that hold rows of an execution: some column of text is its id."""
    by_table: dict[str, list[tuple[str, str]]] = {}
    for row in await connection.fetch(_COLUMNS, IDS):
        by_table.setdefault(row["table"], []).append((row["name"], row["type"]))
    found: list[Table] = []
    for name, columns in by_table.items():
        for column, kind in columns:
            if not kind.startswith(("text", "character varying")) or kind.endswith("[]"):
                continue
            count = await connection.fetchval(
                f'SELECT count(*) FROM engine."{name}" WHERE "{column}" = $1', execution_id
            )
            if count:
                found.append(Table(name, columns, column, count))
                break
    # What holds one row of many executions, such as a workflow's latest one, is no copy of it.
    return [table for table in found if table.name != "workflows"]


def copies(table: Table, versions: int) -> str:
    """Return the statement that multiplies an execution's rows; $1 is its id."""
    parts: list[str] = []
    for name, kind in table.columns:
        column = f't."{name}"'
        if name == table.key:
            parts.append("i.id")
        elif table.name == "journal_entry" and name == "shard":
            parts.append("'filled/' || i.shard")
        elif table.name == "journal_entry" and name == "seq":
            parts.append(f"(i.rank - 1) * {versions} + t.version")
        elif name == "id" and kind == "uuid":
            ordered = "lpad(to_hex(i.ms), 12, '0') || '8' || substr(md5(i.id || t.id::text), 1, 19)"
            parts.append(f"({ordered})::uuid")
        elif kind == "jsonb" or kind.startswith(("text", "character varying")):
            parts.append(f"replace({column}::text, $1, i.id)::{kind}")
        else:
            parts.append(column)
    names = ", ".join(f'"{name}"' for name, _ in table.columns)
    return (
        f'INSERT INTO engine."{table.name}" ({names}) SELECT {", ".join(parts)} '
        f'FROM engine.{IDS} i CROSS JOIN (SELECT * FROM engine."{table.name}" '
        f'WHERE "{table.key}" = $1) t'
    )


async def fill(connection: Any, execution_id: str, first: int, last: int) -> dict[str, int]:
    """Add the copies `first` to `last` of an execution; return how many rows each table got."""
    await connection.execute(
        "SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'"
    )
    tables = await tables_of(connection, execution_id)
    versions = await connection.fetchval(
        "SELECT max(version + events - 1) FROM engine.journal_entry WHERE stream = $1", execution_id
    )
    await connection.execute(f"DROP TABLE IF EXISTS engine.{IDS}")
    await connection.execute(f"""
        CREATE UNLOGGED TABLE engine.{IDS} AS
        SELECT n, id, n % {SHARDS} AS shard, n / {SHARDS} + 1 AS rank, ms
        FROM generate_series({first}, {last}) AS n,
            LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint - 10000000 + n AS ms) AS at,
            LATERAL (SELECT (lpad(to_hex(ms), 12, '0') || '8' || substr(md5('filled ' || n), 1, 19)
                )::uuid::text AS id) AS made
    """)
    added: dict[str, int] = {}
    for table in tables:
        indexes = await connection.fetch(_INDEXES, f'engine."{table.name}"')
        await _drop(connection, table.name, indexes)
        sql = copies(table, versions)
        done = await connection.execute(sql, execution_id, timeout=PATIENCE_S)
        await _build(connection, table.name, indexes)
        await connection.execute(f'VACUUM (ANALYZE) engine."{table.name}"', timeout=PATIENCE_S)
        added[table.name] = int(done.split()[-1])
    await connection.execute(f"DROP TABLE engine.{IDS}")
    await connection.execute("CHECKPOINT", timeout=PATIENCE_S)
    return added


async def _drop(connection: Any, table: str, indexes: Sequence[Any]) -> None:
    for index in indexes:
        if index["constraint"] is not None:
            rule = f'ALTER TABLE engine."{table}" DROP CONSTRAINT "{index["constraint"]}"'
            await connection.execute(rule)
        else:
            await connection.execute(f"DROP INDEX {index['index']}")


async def _build(connection: Any, table: str, indexes: Sequence[Any]) -> None:
    for index in indexes:
        if index["constraint"] is not None:
            rule = f'ADD CONSTRAINT "{index["constraint"]}" {index["rule"]}'
            await connection.execute(f'ALTER TABLE engine."{table}" {rule}', timeout=PATIENCE_S)
        else:
            await connection.execute(index["made_by"], timeout=PATIENCE_S)
