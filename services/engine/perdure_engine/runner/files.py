"""The files of one item, as performers read and make them: by name, in chunks, within a limit."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from tempfile import SpooledTemporaryFile
from typing import IO
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.shell.files import FileStore, FileTooLarge, MissingFile, read, write
from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.files import FileRef, Files, FilesByItem
from perdure_contracts.message import Json

from perdure_engine.runner.failures import Failed, facts_of

BYTES = "application/octet-stream"
NAME_MAX = 255
MIME_MAX = 127
FILE_BYTES_MAX = 64 * 1024 * 1024
"""The largest file where no setting says otherwise."""

SPOOLED_BYTES = 1024 * 1024
"""What of a file that is sent in parts stays in memory; the rest waits on the disk."""

MIME = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
UNFIT = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that let a name be another one than it seems, or end a line."""


class FileFault(Exception):
    """A file cannot be used: a typed code, and a sentence that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Uploaded(Struct, forbid_unknown_fields=True):
    """What is known of a file that was sent to the API; a start is given it as it was answered."""

    file_id: str
    file_name: str = ""
    mime_type: str = ""
    size: int = 0


@dataclass(frozen=True)
class Made:
    """What an item came to, with files."""

    json: Json
    files: Files


@dataclass(frozen=True)
class ItemFiles:
    """The files of an item, and the store; `json` is the item's data, `most` bytes are a file's."""

    store: FileStore = field(default_factory=MemoryFiles)
    tenant_id: str = ""
    refs: Files = field(default_factory=dict[str, FileRef])
    json: Json = None
    most: int = FILE_BYTES_MAX

    def ref(self, name: object) -> FileRef:
        """Return a file of the item.

        Raises:
            FileFault: The item has none of that name.
        """
        found = self.refs.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(map(repr, self.refs)) or "none"
            raise FileFault(
                "file_not_found",
                f"the item has no file {str(name)[:80]!r}; it has: {known}; nodes that answer with "
                "something of their own carry no files on",
            )
        return found

    async def read(self, ref: FileRef) -> AsyncIterator[bytes]:
        """Return the bytes of a file, chunk after chunk. Raises as `shell.files.read`."""
        return await read(self.store, self.tenant_id, ref["file_id"])

    async def whole(self, ref: FileRef, most: int) -> bytes:
        """Return a file that is read at once.

        Raises:
            FileFault: It has more than `most` bytes.
        """
        if ref["size"] > most:
            raise FileFault(
                "file_too_large",
                f"the file {ref['file_name']!r} has {ref['size']:,} bytes, at most {most:,} are "
                "taken at once; take a smaller one",
            )
        return b"".join([chunk async for chunk in await self.read(ref)])

    async def spooled(self, ref: FileRef) -> IO[bytes]:
        """Return a file to read from, of which no more than a little stands in memory."""
        spool = SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115 (who sends it closes it)
        try:
            async for chunk in await self.read(ref):
                spool.write(chunk)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return spool  # pyright: ignore[reportReturnType]

    async def keep(self, source: AsyncIterable[bytes], file_name: str, mime_type: str) -> FileRef:
        """Keep bytes as a file, and return the reference to it.

        Raises:
            FileTooLarge: There are too many.
        """
        stored = await write(self.store, self.tenant_id, source, self.most)
        return FileRef(
            file_id=stored.file_id,
            file_name=name_of(file_name),
            mime_type=mime_of(mime_type),
            size=stored.size,
        )


def name_of(text: str, default: str = "data") -> str:
    """Return a file's name that cannot be a path, and has one line."""
    last = UNFIT.sub("", text).replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
    return default if last in ("", ".", "..") else last[:NAME_MAX]


def mime_of(text: str) -> str:
    """Return the type of a file without its parameters; what is none is bytes."""
    found = text.partition(";")[0].strip().lower()
    return found if len(found) <= MIME_MAX and MIME.fullmatch(found) else BYTES


def answers_name(headers: Mapping[str, str], url: str) -> str:
    """Return the name that an answer gives its body, else the last part of the address."""
    disposition = headers.get("content-disposition", "")
    if disposition:
        message = Message()
        message["content-disposition"] = UNFIT.sub("", disposition)[:2_000]
        try:
            name = message.get_filename()
        except (ValueError, LookupError, UnicodeError):
            name = None
        if name and name_of(name, ""):
            return name_of(name)
    return name_of(unquote(urlsplit(url).path))


def failed(error: Exception) -> Failed:
    """Return the failure that a fault of a file is; nothing was sent."""
    if isinstance(error, FileFault):
        return Failed(ErrorFacts(type=error.code, message=str(error), stage="run"))
    code, retryable = "file_gone", False
    if isinstance(error, FileTooLarge):
        code = "file_too_large"
    elif isinstance(error, Unreachable):
        code, retryable = "files_unreachable", True
    return Failed(facts_of(error, code, str(error), retryable=retryable))


FAULTS = (FileFault, FileTooLarge, MissingFile, Unreachable)
"""What reading or keeping a file may raise; `failed` makes a failure of it."""


def refs_of(files: FilesByItem | None, place: int) -> Files:
    """Return the files of the item of a task at a place."""
    return {} if files is None else files.get(str(place), {})
