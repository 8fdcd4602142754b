"""Values between Python and PostgreSQL: what a column takes, and what a reader gets back.

Rows are written as arrays, one for each column (`postgres_packing.py`). A type that asyncpg can
send in an array goes as it is; any other goes as text and is cast by the server.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, cast
from uuid import UUID

import orjson

Convert: TypeAlias = Callable[[Any], Any]

REPLACEMENT = "\ufffd"
"""Stands where a text had a character that PostgreSQL cannot keep (NUL, lone surrogates)."""


@dataclass(frozen=True)
class Column:
    """A column of a table, as the catalogue has it, and how its values travel.

    `sent_as` is the type of an element of the array, `convert` makes one of a value. `required`
    columns must be given when a row is inserted.
    """

    name: str
    type: str
    required: bool
    sent_as: str
    convert: Convert | None


def column(name: str, type_name: str, *, is_array: bool, required: bool) -> Column:
    """Return the column called `name`; `type_name` as `format_type` prints it."""
    base = type_name.partition("(")[0].strip()
    if is_array:
        return Column(name, type_name, required, "text", to_array_text)
    if base.startswith("timestamp") and type_name.endswith("with time zone"):
        return Column(name, type_name, required, "timestamptz", to_instant)
    sent_as, convert = _SENT.get(base, ("text", to_plain_text))
    return Column(name, type_name, required, sent_as, convert)


def clean(text: str) -> str:
    """Return the text without characters that PostgreSQL refuses."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def to_text(value: Any) -> str | None:
    """Return a text; other values are refused by the driver."""
    return clean(value) if isinstance(value, str) else value


def to_plain_text(value: Any) -> str | None:
    """Return the text that the server casts to the column's type."""
    if value is None:
        return None
    return clean(value) if isinstance(value, str) else str(value)


def to_json(value: Any) -> str | None:
    """Return a JSON value as text.

    Raises:
        TypeError: The value is no JSON.
    """
    if value is None:
        return None
    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        text = orjson.dumps(cleaned(value), option=orjson.OPT_NON_STR_KEYS).decode()
    # An escaped NUL is the only thing that valid JSON has and jsonb has not.
    return orjson.dumps(cleaned(value)).decode() if "\\u0000" in text else text


def cleaned(value: Any) -> Any:
    """Return a JSON value with every text in it cleaned; whole numbers stay exact.

    Integers that do not fit in 64 bits become floats, as most readers of JSON take them; those
    that no float is near to become null, as JSON writes infinity. A row must not fail for a number.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {clean(str(k)): cleaned(v) for k, v in items}
    if isinstance(value, list | tuple):
        return [cleaned(v) for v in cast(Sequence[Any], value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            return None
    return value


def to_instant(value: Any) -> datetime | None:
    """Return an instant from a datetime or RFC 3339 text; without a zone it is UTC."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def to_date(value: Any) -> date | None:
    """Return a date from a date or ISO text."""
    return date.fromisoformat(value) if isinstance(value, str) else value


def to_interval(value: Any) -> timedelta | None:
    """Return a span from a timedelta or a number of seconds."""
    return timedelta(seconds=value) if isinstance(value, int | float) else value


def to_numeric(value: Any) -> Decimal | None:
    """Return an exact number."""
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


def to_array_text(value: Any) -> str | None:
    """Return an array literal: `{"a","b"}`, elements of any type as text."""
    if value is None:
        return None
    return "{" + ",".join(_element(v) for v in value) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        value = instant_text(value)
    text = clean(str(value)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def instant_text(moment: datetime) -> str:
    """Return an instant as RFC 3339 text in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Any) -> Any:
    """Return a value as JSON has it: instants as text, spans in seconds, ids as text."""
    if isinstance(value, datetime):
        return instant_text(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(v) for v in cast(Sequence[Any], value)]
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in cast(Mapping[Any, Any], value).items()}
    return value


def readable(column: Column, value: Any) -> Any:
    """Return a value that was read from `column` as JSON has it."""
    if value is not None and column.sent_as in ("jsonb", "json"):
        return orjson.loads(value)
    return plain(value)


def comparable(column: Column, value: Any) -> Any:
    """Return a value that somebody looks for, as `readable` would give it back."""
    if column.sent_as in ("jsonb", "json"):
        return plain(value)
    if column.sent_as == "uuid" and isinstance(value, str):
        return str(UUID(value))
    if column.sent_as == "text":
        return clean(value) if isinstance(value, str) else plain(value)
    return plain(column.convert(value)) if column.convert is not None else value


_SENT: dict[str, tuple[str, Convert | None]] = {
    "text": ("text", to_text),
    "character varying": ("text", to_text),
    "character": ("text", to_text),
    "smallint": ("smallint", None),
    "integer": ("integer", None),
    "bigint": ("bigint", None),
    "boolean": ("boolean", None),
    "real": ("real", None),
    "double precision": ("double precision", None),
    "bytea": ("bytea", None),
    "uuid": ("uuid", None),
    "jsonb": ("jsonb", to_json),
    "json": ("json", to_json),
    "numeric": ("numeric", to_numeric),
    "interval": ("interval", to_interval),
    "date": ("date", to_date),
}
