"""A table as an API shows it, and the SELECT statements for a page or a row of it. Pure.

Names in the statements come from the `TableView` alone, which is code; what a caller sends
travels as parameters, each cast to its column's type by the server.
"""

import base64
import binascii
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from perdure_common.adapters.postgres_projection import quoted
from perdure_common.api.problem import Problem

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
"""Rows of one page."""

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
    equality, `search` are texts in which `q` looks for a part.
    """

    columns: tuple[str, ...]
    order: tuple[str, ...]
    key: str | None = "id"
    filters: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    descending: bool = True
    about: str = ""

    def __post_init__(self) -> None:
        named = {*self.order, *self.filters, *self.search, *((self.key,) if self.key else ())}
        unknown = named - set(self.columns)
        if unknown or not self.order:
            raise ValueError(f"{sorted(unknown)} are not among the columns {self.columns}")
        if set(self.filters) & set(RESERVED):
            raise ValueError(f"a filter cannot be called like one of {RESERVED}")


@dataclass(frozen=True)
class Query:
    """What a caller wants of a list. `after` are the order columns of the last row he has."""

    limit: int = LIMIT_DEFAULT
    after: tuple[str, ...] | None = None
    text: str = ""
    equal: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


def read_query(view: TableView, parameters: Sequence[tuple[str, str]]) -> Query:
    """Return what the parameters of a request ask for; one given twice means any of both.

    Raises:
        Problem: `unknown_parameter`, `invalid_limit`, `invalid_cursor`.
    """
    limit, after, text = LIMIT_DEFAULT, None, ""
    equal: dict[str, list[str]] = {}
    for name, value in parameters:
        if name == "limit":
            limit = _limit(value)
        elif name == "cursor":
            after = read_cursor(view, value)
        elif name == "q" and view.search:
            text = value
        elif name in view.filters:
            equal.setdefault(name, []).append(value)
        else:
            raise _unknown(view, name)
    return Query(limit, after, text, equal)


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= LIMIT_MAX):
        raise Problem(400, "invalid_limit", f"`limit` must be a number from 1 to {LIMIT_MAX}")
    return int(value)


def _unknown(view: TableView, name: str) -> Problem:
    names = [*view.filters, "limit", "cursor", *(["q"] if view.search else [])]
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
    conditions = [f"tenant_id = $1::text::{types['tenant_id']}"]
    for name, values in query.equal.items():
        arguments.append(list(values))
        wanted = f"${len(arguments)}::text[]::{types[name]}[]"
        conditions.append(f"{quoted(name)} = ANY ({wanted})")
    if query.text:
        arguments.append(f"%{_literally(query.text)}%")
        found = [f"{quoted(name)}::text ILIKE ${len(arguments)}" for name in view.search]
        conditions.append(f"({' OR '.join(found)})")
    if query.after is not None:
        marks: list[str] = []
        for name, value in zip(view.order, query.after, strict=True):
            arguments.append(value)
            marks.append(f"${len(arguments)}::text::{types[name]}")
        names = ", ".join(quoted(name) for name in view.order)
        sign = "<" if view.descending else ">"
        conditions.append(f"({names}) {sign} ({', '.join(marks)})")
    direction = "DESC" if view.descending else "ASC"
    order = ", ".join(f"{quoted(name)} {direction}" for name in view.order)
    arguments.append(query.limit + 1)
    return (
        f"SELECT row_to_json(t)::text FROM (SELECT {_columns(view)} FROM {quoted(table)} "
        f"WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ${len(arguments)}::int) AS t",
        arguments,
    )


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
