"""Upserts become statements: one for each table and shape, for any number of rows.

A shape is the set of columns that are set and counted. Rows promised to be new are
inserted; rows that carry every required column are inserted or changed in one go; any
others are changed, and only inserted where they are missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from perdure_common.adapters.postgres_packing import casted, packed, unpacked
from perdure_common.adapters.postgres_types import Column
from perdure_common.decider import Upsert
from perdure_common.shell.ports import Refused
from perdure_common.shell.upserts import RowKey, merged, row_key

Table = Mapping[str, Column]


@dataclass(frozen=True, order=True)
class Shape:
    """Everything about an upsert but its values; columns in the order in which it has them."""

    table: str
    key: tuple[str, ...]
    set: tuple[str, ...]
    add: tuple[str, ...]
    new: bool
    guard: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order in which their arrays are sent."""
        return self.key + self.set + self.add


@cache
def _shape(
    table: str,
    key: tuple[str, ...],
    set_: tuple[str, ...],
    add: tuple[str, ...],
    new: bool,
    guard: tuple[str, ...],
) -> Shape:
    if not set(guard) <= set(set_):
        raise Refused(f"{table}: the guard {guard} names columns that are not set")
    return Shape(table, key, set_, add, new, guard)


def shape_of(upsert: Upsert) -> Shape:
    """Return everything about an upsert but its values.

    Raises:
        Refused: The guard names columns that are not set.
    """
    return _shape(
        upsert.table, tuple(upsert.key), tuple(upsert.set), tuple(upsert.add), upsert.new,
        upsert.guard,
    )  # fmt: skip


def coalesced(upserts: Iterable[Upsert]) -> list[tuple[Shape, list[Upsert]]]:
    """Return the upserts grouped by shape, one for each row of a table, sorted by key.

    The order is the same whoever writes, so that two writers of shared rows wait for each
    other instead of deadlocking. Rows that are new are nobody else's and stand as they came.

    Raises:
        Refused: A guard names a column that is not set, or keys cannot be compared.
    """
    try:
        return _coalesced(upserts)
    except TypeError as error:
        raise Refused(f"keys or guards of rows of one table do not compare: {error}") from error


def _coalesced(upserts: Iterable[Upsert]) -> list[tuple[Shape, list[Upsert]]]:
    rows: dict[RowKey, Upsert] = {}
    appended: list[Upsert] = []
    for upsert in upserts:
        if upsert.new and upsert.lazy:
            appended.append(upsert)
            continue
        key = row_key(upsert)
        known = rows.setdefault(key, upsert)
        if known is not upsert:
            rows[key] = merged(known, upsert)
    groups: dict[Shape, list[Upsert]] = {}
    kinds: dict[str, list[Upsert]] = {}
    for upsert in (*rows.values(), *appended):
        group = kinds.get(upsert.kind)
        if group is not None:
            group.append(upsert)
            continue
        shape = shape_of(upsert)
        group = groups.setdefault(shape, [])
        group.append(upsert)
        if upsert.kind:
            kinds[upsert.kind] = group
    for shape, group in groups.items():
        if not shape.new:
            group.sort(key=_by_key)
    return [(shape, groups[shape]) for shape in sorted(groups)]


def _by_key(upsert: Upsert) -> tuple[Any, ...]:
    return tuple(upsert.key.values())


def arrays(shape: Shape, table: Table, rows: Sequence[Upsert]) -> list[Any]:
    """Return what the statements of a shape take: how many rows, and each column's values.

    Raises:
        Refused: The table has no such column, or a value does not fit its type.
    """
    columns = [
        *zip(*[row.key.values() for row in rows], strict=True),
        *zip(*[row.set.values() for row in rows], strict=True),
        *zip(*[row.add.values() for row in rows], strict=True),
    ]
    found: list[Any] = [len(rows)]
    for name, values in zip(shape.columns, columns, strict=True):
        column = _known(table, shape.table, name)
        try:
            found.append(packed(column, values))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Refused(
                f"{shape.table}.{name} ({column.type}) does not take what the projection "
                f"gives it: {type(error).__name__}; correct `project`"
            ) from error
    return found


def _known(table: Table, table_name: str, name: str) -> Column:
    column = table.get(name)
    if column is None:
        raise Refused(f"table {table_name} has no column {name!r}; correct `project` or migrate")
    return column


def statements(shape: Shape, table: Table, first: int, label: str) -> list[str]:
    """Return the common table expressions that write rows of a shape.

    `first` is the number of the first parameter of `arrays`. Each reads `fixed`, so that the
    fence is checked before a row is touched. Names of their own begin with `label`.
    """
    columns = [_known(table, shape.table, name) for name in shape.columns]
    target = quoted(shape.table)
    names = ", ".join(quoted(c.name) for c in columns)
    values = ", ".join(_value(c) for c in columns)
    source = _source(columns, first)
    insert = f"INSERT INTO {target} AS t ({names}) SELECT {values} FROM fixed, {source}"
    if shape.new:
        return [f"{label} AS ({insert})"]
    changed = [f"{quoted(c)} = EXCLUDED.{quoted(c)}" for c in shape.set]
    changed += [_count(c, f"EXCLUDED.{quoted(c)}") for c in shape.add]
    keys = ", ".join(quoted(name) for name in shape.key)
    if not changed:
        conflict = f"ON CONFLICT ({keys}) DO NOTHING"
    else:
        guard = _guard(shape, {name: f"EXCLUDED.{quoted(name)}" for name in shape.guard})
        conflict = f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(changed)}"
        conflict += f" WHERE {guard}" if guard else ""
    if all(c.name in shape.columns for c in table.values() if c.required):
        return [f"{label} AS ({insert} {conflict})"]
    given = {c.name: _value(c) for c in columns}
    same = " AND ".join(f"t.{quoted(name)} = {given[name]}" for name in shape.key)
    missing = f"WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same})"
    parts = [f"{label}i AS ({insert} {missing} {conflict})"]
    if changed:
        changes = [f"{quoted(c)} = {given[c]}" for c in shape.set]
        changes += [_count(c, given[c]) for c in shape.add]
        guard = _guard(shape, given)
        where = f"{same} AND {guard}" if guard else same
        update = f"UPDATE {target} AS t SET {', '.join(changes)} FROM fixed, {source} WHERE {where}"
        parts.insert(0, f"{label}u AS ({update})")
    return parts


def _source(columns: Sequence[Column], first: int) -> str:
    arguments = ", ".join(unpacked(c, first + 1 + i, first) for i, c in enumerate(columns))
    return f"unnest({arguments}) AS d ({', '.join(quoted(c.name) for c in columns)})"


def _value(column: Column) -> str:
    return casted(column, f"d.{quoted(column.name)}")


def _count(name: str, amount: str) -> str:
    return f"{quoted(name)} = coalesce(t.{quoted(name)}, 0) + {amount}"


def _guard(shape: Shape, given: Mapping[str, str]) -> str:
    """Return the condition under which a row does not go back, empty without a guard."""
    if not shape.guard:
        return ""
    stands = ", ".join(f"t.{quoted(name)}" for name in shape.guard)
    comes = ", ".join(given[name] for name in shape.guard)
    return f"coalesce(({stands}) <= ({comes}), true)"


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
