"""Files that items carry by reference. Owner: services/engine; stream: the execution id.

Bytes never travel in messages: they stand in the file store under their SHA-256 (ADR 0055). An item
has `binary_ref`, its files by names; a list of items that is told as data alone has them beside
it, by the place of the item.
"""

from typing import TypeAlias

from typing_extensions import TypedDict

from .message import message


class FileRef(TypedDict):
    """A file: `file_id` is the SHA-256 of its bytes, `size` how many these are."""

    file_id: str
    file_name: str
    mime_type: str
    size: int


Files: TypeAlias = dict[str, FileRef]
"""The files of one item, by the names that expressions and parameters call them by."""

FilesByItem: TypeAlias = dict[str, Files]
"""The files of a list of items, by the place of the item in the list (a decimal number)."""


@message("engine.files-referred.v1")
class FilesReferred:
    """Items of an execution carry these files from now on: none of them is swept before it is gone.

    `node_id` is the node whose items brought them.
    """

    execution_id: str
    node_id: str
    files: tuple[FileRef, ...] = ()
