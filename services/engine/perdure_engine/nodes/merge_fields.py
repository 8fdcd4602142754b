"""Joining two lists of items by the values of fields, as MERGE's mode `fields` does."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from perdure_common.ids import canonical_json
from perdure_contracts.message import Json

from .base import Item

ITEMS_MAX = 10_000
"""The most items that an inline node may make; larger ones belong to the runner."""

Side: TypeAlias = list[tuple[Json, int]]
"""The items of one input: their data, and their index among all input items."""

Key: TypeAlias = tuple[str, str]
"""A field of the left and one of the right that must be equal."""


class TooManyItems(Exception):
    """The result would have more than `ITEMS_MAX` items."""


def joined(left: Side, right: Side, keys: Sequence[Key], join: str) -> list[Item]:
    """Return the items that `join` keeps, in the order of the left, then of the right.

    Items match when all keys are equal as JSON values; a missing or null key matches
    nothing. `inner` keeps pairs, `left` also what is left alone on the left, `right` on the
    right, `outer` both; `anti` keeps only what is left alone on the left. The right side
    wins where both have a field.

    Raises:
        TooManyItems: More pairs than an inline node may make.
    """
    by_key: dict[bytes, list[int]] = {}
    for at, (json, _) in enumerate(right):
        found = _key(json, [key for _, key in keys])
        if found is not None:
            by_key.setdefault(found, []).append(at)
    items: list[Item] = []
    matched: set[int] = set()
    for json, source in left:
        found = _key(json, [key for key, _ in keys])
        partners = by_key.get(found, []) if found is not None else []
        matched.update(partners)
        if join != "anti":
            if len(items) + len(partners) > ITEMS_MAX:
                raise TooManyItems
            items.extend(_pair(json, source, *right[at]) for at in partners)
        if not partners and join in ("left", "outer", "anti"):
            items.append({"json": json, "source": source})
    if join in ("right", "outer"):
        items.extend(
            {"json": json, "source": source}
            for at, (json, source) in enumerate(right)
            if at not in matched
        )
    return items


def _pair(left: Json, source: int, right: Json, other: int) -> Item:
    return {"json": {**_fields(left), **_fields(right)}, "source": [source, other]}


def _fields(json: Json) -> dict[str, Json]:
    return cast("dict[str, Json]", json) if isinstance(json, dict) else {"value": json}


def _key(json: Json, names: Sequence[str]) -> bytes | None:
    values = [_number(_field(json, name)) for name in names]
    return None if any(value is None for value in values) else canonical_json(values)


def _field(json: Json, name: str) -> Any:
    """Return a field by its name, or by a path with dots where there is no such name."""
    fields = _fields(json)
    if name in fields:
        return fields[name]
    value: Any = fields
    for step in name.split("."):
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, Any]", value).get(step)
    return value


def _number(value: Any) -> Any:
    """Return 1.0 as 1: JSON has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
