"""Columns of values as the parameters of a statement, packed so that the driver has little to do.

asyncpg takes some 200 ns for each element of an array, whatever it is. So short texts travel
joined to one, and a value that all rows share travels once: an array of one element stands for
as many as there are rows. The functions `texts` and `repeated` of the schema make the arrays.
Long texts travel as they are: looking for the separators would cost the server more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import orjson

from perdure_common.adapters.postgres_types import Column, clean, to_json, to_plain_text, to_text

SEPARATOR, NULL = "\x1f", "\x1e"
"""What stands between joined texts, and for one that is NULL. No JSON has either."""

JOINED_MAX = 256
"""The mean length of texts that are joined, in characters."""

_AS_TEXT = ("text", "uuid", "jsonb", "json", "numeric")
"""Types that travel as text: their arrays are slow to make."""

_REPEATED = (int, bool, datetime, type(None))
"""Types of which equal values are the same value."""


def packed(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    """Return what is sent for the values of a column.

    Raises:
        TypeError, ValueError, ArithmeticError: The column does not take a value.
    """
    convert = column.convert
    if column.sent_as in ("jsonb", "json"):
        return packed_json(values)
    if column.sent_as not in _AS_TEXT:
        values = repeated(values)  # one for all is converted once
    if convert is not None and convert not in (to_text, to_plain_text):
        values = [convert(value) for value in values]
    if column.sent_as not in _AS_TEXT:
        return values
    if convert is not to_text:
        values = [value if isinstance(value, str) else to_plain_text(value) for value in values]
    return [None if text is None else clean(text) for text in texts(values)]


def unpacked(column: Column, values: int, count: int) -> str:
    """Return the SQL for the array of a column: parameter `values`, for `count` rows."""
    if column.sent_as in _AS_TEXT:
        return f"texts(${values}::text[], ${count}::integer)"
    return f"repeated(${values}::{column.sent_as}[], ${count}::integer)"


def casted(column: Column, name: str) -> str:
    """Return the SQL for a value of the column; a `varchar(n)` is not cast, its length counts."""
    as_it_is = column.convert is to_text or column.sent_as not in _AS_TEXT
    return name if as_it_is else f"{name}::{column.type}"


def repeated(values: Sequence[Any]) -> Sequence[Any]:
    """Return the values, or the only one if they are all the same."""
    first = values[0]
    if isinstance(first, _REPEATED) and values.count(first) == len(values):
        return (first,)
    return values


def texts(values: Sequence[str | None]) -> Sequence[str | None]:
    """Return texts joined to one, or as they are.

    Raises:
        TypeError: A value is no text.
    """
    nulls = values.count(None)
    given = [NULL if text is None else text for text in values] if nulls else values
    one = SEPARATOR.join(cast(Sequence[str], given))
    count = len(values)
    if (
        count == 1
        or len(one) > JOINED_MAX * count
        or one.count(SEPARATOR) != count - 1
        or one.count(NULL) != nulls
    ):
        return values
    return (one,)


def packed_json(values: Sequence[Any]) -> Sequence[str | None]:
    """Return JSON values as texts, joined or as they are.

    Raises:
        TypeError: A value is no JSON.
    """
    try:
        raw = [
            NULL.encode() if value is None else orjson.dumps(value, None, orjson.OPT_NON_STR_KEYS)
            for value in values
        ]
    except TypeError:
        return texts([to_json(value) for value in values])
    one = SEPARATOR.encode().join(raw).decode()
    if "\\u0000" in one:
        return texts([to_json(value) for value in values])
    if len(values) == 1 or len(one) > JOINED_MAX * len(values):
        pairs = zip(values, raw, strict=True)
        return [None if value is None else text.decode() for value, text in pairs]
    return (one,)
