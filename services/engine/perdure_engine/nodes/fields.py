"""Fields of items: found by name or path, put in their place, compared as JSON values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from perdure_common.ids import canonical_json
from perdure_contracts.message import Json

ITEMS_MAX = 10_000
"""The most items that an inline node may make; larger ones belong to the runner."""

CELLS_MAX = 4_000_000
"""Fields of all items together that an inline node may make: each takes some 50 bytes, so
few wide items and many narrow ones are not multiplied into gigabytes."""

COMPARED_MAX = 2_000_000
"""Values that an inline node may compare, its fields times its items: some seconds."""


def fields_of(json: Json) -> dict[str, Json]:
    """Return the fields of an item's data; data that is no object is its field `value`."""
    return cast("dict[str, Json]", json) if isinstance(json, dict) else {"value": json}


def field(json: Json, name: str) -> Any:
    """Return a field by its name, or by a path with dots where there is no such name.

    What is not there is None, as in expressions.
    """
    value: Any = fields_of(json)
    if name in value:
        return value[name]
    for step in name.split("."):
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, Any]", value).get(step)
    return value


def with_field(json: Json, name: str, value: Json) -> dict[str, Json]:
    """Return a copy of the data in which `field(…, name)` is `value`; what is on the way is made.

    Whatever is no object on the way of a path is replaced by one.
    """
    fields = dict(fields_of(json))
    first, dot, rest = name.partition(".")
    if name in fields or not dot:
        fields[name] = value
    else:
        below = fields.get(first)
        fields[first] = with_field(below if isinstance(below, dict) else {}, rest, value)
    return fields


def without_field(json: Json, name: str) -> dict[str, Json]:
    """Return a copy of the data without a field, given by name or path."""
    fields = dict(fields_of(json))
    first, dot, rest = name.partition(".")
    if name in fields or not dot:
        fields.pop(name, None)
    elif isinstance(below := fields.get(first), dict):
        fields[first] = without_field(below, rest)
    return fields


def has_field(json: Json, name: str) -> bool:
    """Tell whether the data has a field, given by name or path, be it null."""
    value: Any = fields_of(json)
    if name in value:
        return True
    for step in name.split("."):
        if not isinstance(value, dict) or step not in value:
            return False
        value = cast("dict[str, Any]", value)[step]
    return True


def too_wide(fields: int) -> str:
    """Return why so many fields of all items together are not made, empty where they may be."""
    if fields <= CELLS_MAX:
        return ""
    return (
        f"the items would have {fields:,} fields together, at most {CELLS_MAX:,} are made; "
        "keep fewer fields, or split the work before"
    )


def too_many_compared(fields: int, items: int) -> str:
    """Return why so many fields of so many items are not compared, empty where they may be."""
    if fields * items <= COMPARED_MAX:
        return ""
    return (
        f"{fields:,} fields of {items:,} items would be compared, at most {COMPARED_MAX:,} values "
        "are; name fewer fields, or split the items before"
    )


def key_of(values: Iterable[Any]) -> bytes:
    """Return bytes that are the same for values that are equal as JSON: 1.0 is 1, true is not."""
    return canonical_json([_plain(value) for value in values])


def fields_key(json: Json, names: Sequence[str]) -> bytes | None:
    """Return the key of some fields, None where one of them is missing or null."""
    values = [field(json, name) for name in names]
    return None if any(value is None for value in values) else key_of(values)


def _plain(value: Any) -> Any:
    """Return a value in which every whole number is an int: JSON has one kind of number."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value


RANKS: Mapping[type, str] = {str: "text", bool: "boolean", int: "number", float: "number"}


def rank_of(value: Any) -> str | None:
    """Return what a value is compared as: number, text or boolean; None is in no order."""
    return RANKS.get(value.__class__)


def one_rank(values: Iterable[Any]) -> str:
    """Return what is wrong with values that are to be put in order, empty if nothing is.

    Nulls stand last and are not asked.
    """
    seen: str | None = None
    for value in values:
        if value is None:
            continue
        rank = rank_of(value)
        if rank is None:
            return "an array or an object is in no order"
        if seen not in (None, rank):
            return f"a {seen} and a {rank} are in no order"
        seen = rank
    return ""
