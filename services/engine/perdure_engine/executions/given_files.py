"""Files that people give beside data: for items that there are, and only as they are told. Pure."""

from typing import Any, cast

from perdure_contracts.files import FileRef
from perdure_contracts.message import Json

REF = frozenset(FileRef.__annotations__)
HASH_LENGTH = 64
PLACE_LENGTH_MAX = 9
SIZE_MAX = 2**63 - 1
"""The largest number of bytes that a row can say."""

HOW = '{"0": {"name": {file_id, file_name, mime_type, size}}}, the items by their places'


def files_fault(files: Json, count: int) -> str | None:
    """Return what is wrong with files by items, of which there are `count`; None if nothing is."""
    if not isinstance(files, dict):
        return f"`files` must be {HOW}"
    for place, named in cast("dict[str, Any]", files).items():
        if not _is_place(place, count):
            return (
                f"`files` names item {place[:20]!r}, the data makes {count:,} items; name them by "
                "their places, from 0 on"
            )
        each = cast("dict[str, Any]", named) if isinstance(named, dict) else {"": None}
        if not all(name and _is_ref(ref) for name, ref in each.items()):
            return f"`files` of item {place} are not as POST /v1/files answers; give {HOW}"
    return None


def _is_place(place: str, count: int) -> bool:
    plain = place.isascii() and place.isdecimal() and len(place) <= PLACE_LENGTH_MAX
    return plain and str(int(place)) == place and int(place) < count


def _is_ref(value: Any) -> bool:
    ref = cast("dict[str, Any]", value if isinstance(value, dict) else {})
    if ref.keys() != REF:
        return False
    hashed, size = ref["file_id"], ref["size"]
    return (
        isinstance(hashed, str)
        and len(hashed) == HASH_LENGTH
        and set(hashed) <= set("0123456789abcdef")
        and isinstance(ref["file_name"], str)
        and isinstance(ref["mime_type"], str)
        and isinstance(size, int)
        and not isinstance(size, bool)
        and 0 <= size <= SIZE_MAX
    )
