"""The picture of a schema: what its tables are, as text that does not depend on how it came."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from perdure_common.adapters.postgres_queries import queries

_SQL = queries(Path(__file__).with_name("postgres_picture.sql"))
_KINDS = {"r": "TABLE", "p": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}
_PARTS = {
    "constraints": "CONSTRAINT",
    "indexes": "INDEX",
    "triggers": "TRIGGER",
    "policies": "POLICY",
}


async def picture(connection: Any, schema: str) -> str:
    """Return the tables, indexes, constraints and functions of `schema` as text.

    The same schema gives the same text, whatever its name, and whichever statements made it.
    The table `schema_migrations` is left out.
    """
    async with connection.transaction(readonly=True):
        await connection.execute("SELECT set_config('search_path', $1, true)", _quoted(schema))
        found = {name: await connection.fetch(sql, _quoted(schema)) for name, sql in _SQL.items()}
        prefix = await connection.fetchval("SELECT quote_ident($1) || '.'", schema)
    lines: list[str] = []
    for row in found["enums"]:
        lines += [f"TYPE {row['name']} ENUM ({row['labels']})", ""]
    for row in found["sequences"]:
        lines += [f"SEQUENCE {row['name']}", ""]
    columns = _by_table(found["columns"])
    parts = {part: _by_table(found[part]) for part in _PARTS}
    for table in found["tables"]:
        lines.append(f"{_KINDS[table['kind']]} {table['name']}")
        lines += [f"    {_column(column)}" for column in columns[table["oid"]]]
        if table["options"]:
            lines.append(f"    WITH ({table['options']})")
        if table["partition"]:
            lines.append(f"    {table['partition']}")
        if table["row_security"]:
            lines.append("    ROW LEVEL SECURITY")
        for part, word in _PARTS.items():
            for row in parts[part][table["oid"]]:
                definition = row["definition"].replace(f" ON {prefix}", " ON ")
                lines.append(f"    {word} {row['name']} {definition}")
        lines += [*table["definition"].splitlines(), ""]
    for row in found["functions"]:
        lines += [*row["definition"].replace(prefix, "", 1).rstrip().splitlines(), ""]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _by_table(rows: list[Any]) -> dict[int, list[Any]]:
    grouped: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        grouped[row["oid"]].append(row)
    return grouped


def _column(row: Any) -> str:
    text = f"{row['name']} {row['type']}"
    if row["generated"]:
        text += f" GENERATED ALWAYS AS ({row['default_to']}) STORED"
    elif row["default_to"]:
        text += f" DEFAULT {row['default_to']}"
    if row["identity"]:
        text += " GENERATED ALWAYS AS IDENTITY"
    return text + (" NOT NULL" if row["not_null"] else "")
