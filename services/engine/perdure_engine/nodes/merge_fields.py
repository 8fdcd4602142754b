"""Joining two lists of items by the values of fields, as MERGE's mode `fields` does."""

from collections.abc import Sequence
from typing import TypeAlias

from perdure_contracts.message import Json

from .base import Item
from .fields import CELLS_MAX, ITEMS_MAX, fields_key, fields_of

Side: TypeAlias = list[tuple[Json, int]]
"""The items of one input: their data, and their index among all input items."""

Key: TypeAlias = tuple[str, str]
"""A field of the left and one of the right that must be equal."""


class TooManyItems(Exception):
    """The result would have more than `ITEMS_MAX` items, or more than `CELLS_MAX` fields."""


def joined(left: Side, right: Side, keys: Sequence[Key], join: str) -> list[Item]:
    """Return the items that `join` keeps, in the order of the left, then of the right.

    Items match when all keys are equal as JSON values; a missing or null key matches
    nothing. `inner` keeps pairs, `left` also what is left alone on the left, `right` on the
    right, `outer` both; `anti` keeps only what is left alone on the left. The right side
    wins where both have a field.

    Raises:
        TooManyItems: More pairs, or fields of theirs, than an inline node may make.
    """
    by_key: dict[bytes, list[int]] = {}
    for at, (json, _) in enumerate(right):
        found = fields_key(json, [key for _, key in keys])
        if found is not None:
            by_key.setdefault(found, []).append(at)
    items: list[Item] = []
    matched: set[int] = set()
    cells = 0
    for json, source in left:
        found = fields_key(json, [key for key, _ in keys])
        partners = by_key.get(found, []) if found is not None else []
        matched.update(partners)
        if join != "anti":
            if len(items) + len(partners) > ITEMS_MAX:
                raise TooManyItems
            for at in partners:
                cells += len(fields_of(json)) + len(fields_of(right[at][0]))
            if cells > CELLS_MAX:
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
    return {"json": {**fields_of(left), **fields_of(right)}, "source": [source, other]}
