"""A table as an API shows it, and the SELECT statements for a page or a row of it. Pure.

Names in the statements come from the `TableView` alone, which is code; what a caller sends
travels as parameters, each cast to its column's type by the server.
"""

import base64
import binascii
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import orjson

from perdure_common.adapters.postgres_projection import quoted
from perdure_common.api.problem import Problem

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
"""Rows of one page."""

COUNT_MAX = 100_000
"""As many rows are counted; of more it is said that they are more."""

RESERVED = ("limit", "cursor", "q")
"""Parameters of a list that are no columns."""

Types = Mapping[str, str]
"""The type of each column, as PostgreSQL's `format_type` names it."""


@dataclass(frozen=True, kw_only=True)
class TableView:
    """What an API shows of a table.

    `order` are the columns that pages are sorted by, none of them null and together unique
    within a tenant; the newest first unless `descending` is False. `key` is the unique
    column that one row is asked for by, None if there is none. `filters` may be asked for by
    equality, `search` are texts in which `q` looks for a part. `times` are columns of
    time-ordered ids by what happened then: `{"started": "id"}` gives `started_after` and
    `started_before`, which an index on the id answers.

    A page with a `q` passes over `walked` rows at most, of those that match bounds and the filters
    in `indexed`: what is rare is found page by page, each of which has something to go on from,
    instead of in one that reads the whole table.
    """

    columns: tuple[str, ...]
    order: tuple[str, ...]
    key: str | None = "id"
    filters: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    descending: bool = True
    about: str = ""
    times: Mapping[str, str] = field(default_factory=dict[str, str])
    walked: int | None = None
    indexed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = {*self.order, *self.filters, *self.search, *((self.key,) if self.key else ())}
        named |= set(self.times.values())
        unknown = named - set(self.columns)
        if unknown or not self.order:
            raise ValueError(f"{sorted(unknown)} are not among the columns {self.columns}")
        if set(self.filters) & set(RESERVED):
            raise ValueError(f"a filter cannot be called like one of {RESERVED}")

    def bound_of(self, parameter: str) -> tuple[str, str] | None:
        """Return the column and the sign of a parameter that bounds a time, None for others."""
        what, _, which = parameter.rpartition("_")
        if what not in self.times or which not in ("after", "before"):
            return None
        return self.times[what], ">=" if which == "after" else "<"


@dataclass(frozen=True)
class Query:
    """What a caller wants of a list.

    `after` are the order columns of the last row he has, `bounds` what columns are compared
    with: (column, `>=` or `<`, value).
    """

    limit: int = LIMIT_DEFAULT
    after: tuple[str, ...] | None = None
    text: str = ""
    equal: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    bounds: Sequence[tuple[str, str, str]] = ()


def read_query(view: TableView, parameters: Sequence[tuple[str, str]]) -> Query:
    """Return what the parameters of a request ask for; one given twice means any of both.

    Raises:
        Problem: `unknown_parameter`, `invalid_limit`, `invalid_cursor`, `invalid_instant`.
    """
    limit, after, text = LIMIT_DEFAULT, None, ""
    equal: dict[str, list[str]] = {}
    bounds: list[tuple[str, str, str]] = []
    for name, value in parameters:
        if name == "limit":
            limit = _limit(value)
        elif name == "cursor":
            after = read_cursor(view, value)
        elif name == "q" and view.search:
            text = value
        elif name in view.filters:
            equal.setdefault(name, []).append(value)
        elif (bound := view.bound_of(name)) is not None:
            bounds.append((*bound, _first_id(name, value)))
        else:
            raise _unknown(view, name)
    return Query(limit, after, text, equal, bounds)


def read_count(view: TableView, parameters: Sequence[tuple[str, str]]) -> Query:
    """Return what the parameters of a request want counted: filters and times, as of a list.

    Raises:
        Problem: `unknown_parameter`, `invalid_instant`.
    """
    for name, _ in parameters:
        if name in RESERVED:
            raise Problem(400, "unknown_parameter", f"a count has no {name!r}; it is of all rows")
    return read_query(view, parameters)


def _first_id(name: str, value: str) -> str:
    """Return the first time-ordered id of an instant (`ids.time_ordered`)."""
    try:
        moment = datetime.fromisoformat(value.strip().replace(" ", "+"))
        milliseconds = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        milliseconds = -1
    if not 0 <= milliseconds < 1 << 48:
        raise Problem(
            400,
            "invalid_instant",
            f"`{name}` must be an instant such as 2026-01-31T12:00:00Z, from 1970 on",
        )
    return str(UUID(int=milliseconds << 80))


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= LIMIT_MAX):
        raise Problem(400, "invalid_limit", f"`limit` must be a number from 1 to {LIMIT_MAX}")
    return int(value)


def _unknown(view: TableView, name: str) -> Problem:
    times = [f"{name}_{which}" for name in view.times for which in ("after", "before")]
    names = [*view.filters, *times, "limit", "cursor", *(["q"] if view.search else [])]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return Problem(400, "unknown_parameter", f"there is no parameter {name[:100]!r}; {hint}")


def make_cursor(view: TableView, row: bytes) -> str:
    """Return the mark of a page's last row (its JSON), for the caller to give back."""
    values: dict[str, Any] = orjson.loads(row)
    mark = [str(values[name]) for name in view.order]
    return base64.urlsafe_b64encode(orjson.dumps(mark)).decode().rstrip("=")


def read_cursor(view: TableView, cursor: str) -> tuple[str, ...]:
    """Return the order columns in a mark.

    Raises:
        Problem: `invalid_cursor`.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        mark: Any = orjson.loads(raw)
    except (binascii.Error, ValueError):
        mark = None
    if isinstance(mark, list):
        values = cast("list[Any]", mark)
        if len(values) == len(view.order) and all(isinstance(v, str) for v in values):
            return tuple(values)
    raise Problem(
        400, "invalid_cursor", "`cursor` is none of this list; give back `next` of a page as it is"
    )


def page_sql(
    table: str, view: TableView, types: Types, tenant_id: str, query: Query
) -> tuple[str, list[Any]]:
    """Return the statement for one page and one row more, and its arguments."""
    arguments: list[Any] = [tenant_id]
    walks = walk_of(view, query)
    near = _bounds(view, types, query, arguments)
    if walks is not None:
        near += _equal(types, query, arguments, [n for n in query.equal if n in view.indexed])
    far = _equal(
        types, query, arguments, [n for n in query.equal if walks is None or n not in view.indexed]
    )
    if query.text:
        arguments.append(f"%{_literally(query.text)}%")
        found = [f"{quoted(name)}::text ILIKE ${len(arguments)}" for name in view.search]
        far.append(f"({' OR '.join(found)})")
    source, order = quoted(table), _order(view)
    if walks is not None:
        source = (
            f"(SELECT * FROM {source} WHERE {' AND '.join(near)} ORDER BY {order} LIMIT {walks}) "
            "AS walked"
        )
        near = []
    arguments.append(query.limit + 1)
    return (
        f"SELECT row_to_json(t)::text FROM (SELECT {_columns(view)} FROM {source} "
        f"WHERE {' AND '.join([*near, *far])} ORDER BY {order} LIMIT ${len(arguments)}::int) AS t",
        arguments,
    )


def count_sql(
    table: str, view: TableView, types: Types, tenant_id: str, query: Query
) -> tuple[str, list[Any]]:
    """Return the statement that counts the rows of a list, one more than `COUNT_MAX` at most."""
    arguments: list[Any] = [tenant_id]
    found = _bounds(view, types, query, arguments)
    found += _equal(types, query, arguments, list(query.equal))
    return (
        f"SELECT count(*) FROM (SELECT 1 FROM {quoted(table)} WHERE {' AND '.join(found)} "
        f"LIMIT {COUNT_MAX + 1}) AS counted",
        arguments,
    )


def walk_of(view: TableView, query: Query) -> int | None:
    """Return how many rows a page may pass over, None where it is not bound."""
    return view.walked if query.text else None


def walked_sql(
    table: str, view: TableView, types: Types, tenant_id: str, query: Query
) -> tuple[str, list[Any]]:
    """Return the statement for the last row that a page has passed over, if there were so many."""
    arguments: list[Any] = [tenant_id]
    near = _bounds(view, types, query, arguments)
    near += _equal(types, query, arguments, [n for n in query.equal if n in view.indexed])
    marks = ", ".join(quoted(name) for name in view.order)
    return (
        f"SELECT row_to_json(t)::text FROM (SELECT {marks} FROM {quoted(table)} "
        f"WHERE {' AND '.join(near)} ORDER BY {_order(view)} "
        f"LIMIT 1 OFFSET {(walk_of(view, query) or 1) - 1}) AS t",
        arguments,
    )


def _equal(types: Types, query: Query, arguments: list[Any], names: Sequence[str]) -> list[str]:
    conditions: list[str] = []
    for name in names:
        arguments.append(list(query.equal[name]))
        wanted = f"${len(arguments)}::text[]::{types[name]}[]"
        conditions.append(f"{quoted(name)} = ANY ({wanted})")
    return conditions


def _bounds(view: TableView, types: Types, query: Query, arguments: list[Any]) -> list[str]:
    """Return the conditions on the tenant, on times, and that of the cursor."""
    conditions = [f"tenant_id = $1::text::{types['tenant_id']}"]
    for name, sign, value in query.bounds:
        arguments.append(value)
        conditions.append(f"{quoted(name)} {sign} ${len(arguments)}::text::{types[name]}")
    if query.after is not None:
        marks: list[str] = []
        for name, value in zip(view.order, query.after, strict=True):
            arguments.append(value)
            marks.append(f"${len(arguments)}::text::{types[name]}")
        names = ", ".join(quoted(name) for name in view.order)
        sign = "<" if view.descending else ">"
        conditions.append(f"({names}) {sign} ({', '.join(marks)})")
    return conditions


def _order(view: TableView) -> str:
    direction = "DESC" if view.descending else "ASC"
    return ", ".join(f"{quoted(name)} {direction}" for name in view.order)


def row_sql(table: str, view: TableView, types: Types) -> str:
    """Return the statement for one row; its arguments are the tenant and the key."""
    assert view.key is not None
    return (
        f"SELECT row_to_json(t)::text FROM (SELECT {_columns(view)} FROM {quoted(table)} "
        f"WHERE tenant_id = $1::text::{types['tenant_id']} "
        f"AND {quoted(view.key)} = $2::text::{types[view.key]}) AS t"
    )


def _columns(view: TableView) -> str:
    return ", ".join(quoted(name) for name in view.columns)


def _literally(text: str) -> str:
    """Return a text in which LIKE finds nothing but the text itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
