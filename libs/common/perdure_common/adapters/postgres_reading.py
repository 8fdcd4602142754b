"""Lookups become one query, whatever they look for; what it finds is sorted out afterwards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import orjson

from perdure_common.adapters.postgres_projection import Table, quoted
from perdure_common.adapters.postgres_types import comparable, readable, to_plain_text
from perdure_common.decider import Lookup, Page, Row
from perdure_common.shell.ports import Refused


@dataclass(frozen=True)
class Kind:
    """What lookups that share one query have in common; one that is paged has its own.

    `alone` is the place of such a one, None for others.
    """

    table: str
    where: tuple[str, ...]
    columns: tuple[str, ...]
    page: Page | None = None
    alone: int | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that the query returns."""
        return tuple(dict.fromkeys((*self.columns, *self.where)))

    def query(self, table: Table, lookups: Sequence[Lookup], arguments: list[Any]) -> str:
        """Return an array of at least the rows of all `lookups`; `arguments` become longer.

        The first argument is the tenant.

        Raises:
            Refused: The table has no such column, or a value does not fit its type.
        """
        ordered = () if self.page is None else (self.page.column,)
        for name in (*self.read, *ordered, "tenant_id"):
            if name not in table:
                raise Refused(f"table {self.table} has no column {name!r}; correct `facts`")
        conditions = [f"tenant_id = $1::text::{table['tenant_id'].type}"]
        for name in self.where:
            column = table[name]
            values = [v for lookup in lookups for v in wanted(lookup.where[name])]
            convert = column.convert or to_plain_text
            try:
                given = {to_plain_text(convert(v)) for v in values if v is not None}
            except (TypeError, ValueError, ArithmeticError) as error:
                raise Refused(f"{self.table}.{name} is a {column.type}: {error}") from error
            arguments.append(sorted(v for v in given if v is not None))
            element = column.type
            condition = f"{quoted(name)} = ANY (${len(arguments)}::text[]::{element}[])"
            conditions.append(
                f"({condition} OR {quoted(name)} IS NULL)" if None in values else condition
            )
        names = ", ".join(quoted(name) for name in self.read)
        cut = self._cut(table, conditions, arguments)
        where = " AND ".join(conditions)
        return f"ARRAY(SELECT ROW({names}) FROM {quoted(self.table)} WHERE {where}{cut})"

    def _cut(self, table: Table, conditions: list[str], arguments: list[Any]) -> str:
        """Return what ends a query of one page; where it begins is one more condition."""
        if self.page is None:
            return ""
        column = quoted(self.page.column)
        if self.page.before:
            arguments.append(self.page.before)
            kind = table[self.page.column].type
            conditions.append(f"{column} < ${len(arguments)}::text::{kind}")
        return f" ORDER BY {column} DESC LIMIT {int(self.page.most)}"


def kinds(lookups: Sequence[Lookup]) -> Mapping[Kind, Sequence[int]]:
    """Return the kinds among `lookups` and at which places each stands."""
    found: dict[Kind, list[int]] = {}
    for place, lookup in enumerate(lookups):
        alone = None if lookup.page is None else place
        kind = Kind(lookup.table, tuple(sorted(lookup.where)), lookup.columns, lookup.page, alone)
        found.setdefault(kind, []).append(place)
    # In one order, whatever was asked first: the same statement is prepared once.
    return dict(sorted(found.items(), key=lambda each: (each[0].table, each[0].where)))


def wanted(value: object) -> tuple[Any, ...]:
    """Return the values that a condition allows."""
    if isinstance(value, tuple | list | set | frozenset):
        return tuple(cast(Iterable[Any], value))
    return (value,)


def matching(
    kind: Kind, table: Table, rows: Sequence[Sequence[Any]], lookups: Sequence[Lookup]
) -> list[list[Row]]:
    """Return the rows of each lookup out of those that the query found."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for values in rows:
        row = {
            name: readable(table[name], value)
            for name, value in zip(kind.read, values, strict=True)
        }
        place = tuple(_known_as(row[name]) for name in kind.where)
        found.setdefault(place, []).append({name: row[name] for name in kind.columns})
    answers: list[list[Row]] = []
    for lookup in lookups:
        allowed = [
            {_known_as(comparable(table[name], value)) for value in wanted(lookup.where[name])}
            for name in kind.where
        ]
        places = product(*allowed)
        answers.append(in_order(row for place in places for row in found.get(place, ())))
    return answers


def _known_as(value: Any) -> Any:
    """Return what a value can be found by: itself, or its JSON where it has parts."""
    if isinstance(value, list | dict):
        return orjson.dumps(value, repr, orjson.OPT_SORT_KEYS)
    return value


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows in an order that depends on their content alone."""
    found = list(rows)
    if len(found) > 1:
        found.sort(key=lambda row: orjson.dumps(row, repr, orjson.OPT_SORT_KEYS))
    return found
