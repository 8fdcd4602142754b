"""Files from the disk for an execution: `--file NAME=PATH` of `perdure run` and others."""

import mimetypes
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from perdure_cli.client import Client, Row
from perdure_cli.errors import CommandError

BYTES = "application/octet-stream"

FilesOption = Annotated[
    list[str] | None,
    typer.Option("--file", metavar="NAME=PATH", help="A file for the first item; repeatable."),
]


def paths_of(pairs: Sequence[str]) -> dict[str, Path]:
    """Return the files that `NAME=PATH`s name, all of which can be read now.

    Raises:
        CommandError: One is no such pair, a name is there twice, or a file cannot be read.
    """
    found: dict[str, Path] = {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not sign or not name or not path:
            raise CommandError(
                f"{pair!r} names no file; write NAME=PATH, such as data=invoice.pdf",
                exit_code=2,
                code="invalid_file",
            )
        if name in found:
            raise CommandError(
                f"two files are called {name!r}; an item has one of each name",
                exit_code=2,
                code="invalid_file",
            )
        found[name] = Path(path)
    with ExitStack() as opened:
        for path in found.values():
            _open(path, opened)
    return found


def paths_beside(pairs: Sequence[str] | None, data: str | None, option: str) -> dict[str, Path]:
    """Return the files for the first item of data that is given by hand with `option`.

    Raises:
        CommandError: There is no such data, or as `paths_of`.
    """
    if pairs and data is None:
        raise CommandError(
            f"--file gives files to the first item of {option}; give {option} too, such as "
            f"{option} '{{}}'",
            exit_code=2,
            code="invalid_file",
        )
    return paths_of(pairs or ())


async def beside(client: Client, paths: Mapping[str, Path]) -> dict[str, dict[str, Row]] | None:
    """Send files to the platform; return them as the first item's, None where there are none.

    Raises:
        CommandError: As `sent`.
    """
    return {"0": await sent(client, paths)} if paths else None


async def sent(client: Client, paths: Mapping[str, Path]) -> dict[str, Row]:
    """Send files to the platform; return what a start names them by, under their names.

    Raises:
        CommandError: One cannot be read any more, is too large, or is not taken.
    """
    told: dict[str, Row] = {}
    for name, path in paths.items():
        with ExitStack() as opened:
            source = _open(path, opened)
            mime_type = mimetypes.guess_type(path.name)[0] or BYTES
            told[name] = await client.upload("engine", "/v1/files", source, path.name, mime_type)
    return told


def _open(path: Path, opened: ExitStack) -> BinaryIO:
    try:
        return opened.enter_context(path.open("rb"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(
            f"the file {str(path)!r} cannot be read: {reason}; nothing was started",
            exit_code=2,
            code="unreadable_file",
        ) from error
