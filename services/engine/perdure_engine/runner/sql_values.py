"""JSON values as a statement's parameters, and a row's values as JSON."""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, cast
from uuid import UUID

NUMERIC_LENGTH_MAX = 200


def bound(value: Any, kind: str) -> Any:
    """Return a JSON value as the Python value that the driver wants for a type.

    Raises:
        ValueError, TypeError, ArithmeticError: The value is none of the type.
    """
    if value is None:
        return None
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise TypeError("a list is wanted")
        return [bound(each, kind[:-2]) for each in cast("list[Any]", value)]
    turned = BOUND.get(kind)
    return value if turned is None else turned(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted; turn it into one in the expression")
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or len(str(value)) > NUMERIC_LENGTH_MAX:
        raise ValueError("a number is wanted")
    return Decimal(str(value))


def _instant(value: Any) -> datetime:
    """Return an instant; a text without an offset is in UTC."""
    at = datetime.fromisoformat(_text(value))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


BOUND: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "numeric": _decimal,
    "timestamptz": _instant,
    "timestamp": lambda value: datetime.fromisoformat(_text(value)).replace(tzinfo=None),
    "date": lambda value: date.fromisoformat(_text(value)),
    "time": lambda value: time.fromisoformat(_text(value)),
    "uuid": lambda value: UUID(_text(value)),
    "bytea": lambda value: base64.b64decode(_text(value), validate=True),
}
"""How the types are made that JSON does not have."""


def plain(value: Any) -> Any:
    """Return a value of a row as JSON."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):  # of json, which is JSON already
        return cast("Any", value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast("list[Any]", value)]
    return str(value)
