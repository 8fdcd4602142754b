"""The files of items, beside lists that have nothing of the items but their data. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from perdure_contracts.files import FileRef, FilesByItem

from perdure_engine.nodes.base import Item


def files_by_item(items: Iterable[Any]) -> FilesByItem | None:
    """Return the files of items by their places, None where no item has any."""
    found = {
        str(place): dict(item["binary_ref"])
        for place, item in enumerate(items)
        if item.get("binary_ref")
    }
    return found or None


def with_files(items: list[Item], files: FilesByItem | None) -> list[Item]:
    """Return items with the files that stood beside their data."""
    if not files:
        return items
    return [
        {**item, "binary_ref": files[str(place)]} if str(place) in files else item
        for place, item in enumerate(items)
    ]


def distinct(files: Iterable[FileRef]) -> tuple[FileRef, ...]:
    """Return files, each one once, in the order in which they come."""
    found: dict[str, FileRef] = {}
    for each in files:
        found.setdefault(each["file_id"], each)
    return tuple(found.values())


def carried_by(items: Sequence[Any]) -> Iterable[FileRef]:
    """Yield the files of items."""
    for item in items:
        if "binary_ref" in item:
            yield from item["binary_ref"].values()
