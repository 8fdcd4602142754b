"""JSON from outside as items (rule 2)."""

from typing import Any, cast

from perdure_contracts.message import Json


def as_items(data: Json) -> list[Json]:
    """Return the data of items: an object is one, an array of objects one each, none of none."""
    if isinstance(data, dict):
        return [data]
    if isinstance(data, list):
        entries = cast("list[Any]", data)
        if all(isinstance(entry, dict) for entry in entries):
            return entries
    return [{"value": data}]
