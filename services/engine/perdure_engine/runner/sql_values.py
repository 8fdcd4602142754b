"""JSON values as a statement's parameters, and a row's values as JSON."""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import time
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from math import isfinite, isnan
from typing import Any, cast
from uuid import UUID

import asyncpg
from asyncpg.types import BitString, Path, Range

from perdure_engine.runner.sql_dates import CODECS

NUMERIC_LENGTH_MAX = 200

AS_TEXT = (
    *(Decimal, UUID, IPv4Address, IPv4Interface, IPv4Network),
    *(IPv6Address, IPv6Interface, IPv6Network),
)
"""What Python writes as PostgreSQL does."""

QUOTED = re.compile(r'[\s"\\(),\[\]]')
"""What must stand in quotes at an end of a range."""


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


def _fits(name: str) -> Callable[[Any], Any]:
    """Return what looks whether a value is one of a type; the driver asks for it once more."""
    sent, _ = CODECS[name]

    def looked_at(value: Any) -> Any:
        sent(value)
        return value

    return looked_at


BOUND: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "numeric": _decimal,
    **{name: _fits(name) for name in CODECS},
    "time": lambda value: time.fromisoformat(_text(value)),
    "uuid": lambda value: UUID(_text(value)),
    "bytea": lambda value: base64.b64decode(_text(value), validate=True),
}
"""How the types are made that JSON does not have."""


def plain(value: Any) -> Any:
    """Return a value of a row as JSON. What JSON has not is a text as PostgreSQL writes it.

    Raises:
        ValueError: The driver gives something for it that is nothing outside of Python.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else _unbounded(value)
    if isinstance(value, time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):  # of json, which is JSON already
        return cast("Any", value)
    if isinstance(value, asyncpg.Record):  # a composite value
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, Range):
        return _range(cast("Any", value))
    if isinstance(value, Path):
        return [plain(each) for each in cast("Any", value).points]
    if isinstance(value, BitString):
        bits = int.from_bytes(b"\x01" + value.bytes, "big")  # whose first bit keeps the zeros
        return f"{bits:b}"[1 : 1 + len(value)]
    if isinstance(value, AS_TEXT):
        return str(value)
    raise ValueError(f"a {type(value).__name__} is no JSON")


def _unbounded(value: float) -> str:
    if isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _range(value: Any) -> str:
    """Return a range as text: `[2026-01-01,infinity)`, or `empty`."""
    if value.isempty:
        return "empty"
    begin, end = "[" if value.lower_inc else "(", "]" if value.upper_inc else ")"
    return f"{begin}{_end_of_range(value.lower)},{_end_of_range(value.upper)}{end}"


def _end_of_range(value: Any) -> str:
    if value is None:
        return ""
    text = str(plain(value))
    if text and not QUOTED.search(text):
        return text
    doubled = re.sub(r'(["\\])', r"\1\1", text)
    return f'"{doubled}"'
