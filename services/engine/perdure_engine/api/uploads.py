"""Files from outside by HTTP: kept first, and then given to an execution that is started.

Bytes that no start has named for an hour are swept like any file that nothing refers to.
"""

from typing import Any, cast

import msgspec
from fastapi import Request
from perdure_common.api.bodies import responses
from perdure_common.api.endpoints import only, query, tags, tenant_parameter
from perdure_common.api.problem import Problem
from perdure_common.shell.files import FileTooLarge, write
from perdure_common.shell.ports import Unreachable
from perdure_contracts.files import FilesByItem

from perdure_engine.runner.files import Uploaded, mime_of, name_of

from .ground import SQL, Ground

FILES_MAX = 1_000
"""Files that a start may name."""

HASH_LENGTH = 64
NAME_MAX = 255


def add(ground: Ground) -> None:
    """Add `POST /v1/files`."""

    async def upload(request: Request) -> dict[str, Any]:
        ground.asking.check_tenant(request)
        only(request, ("file_name",))
        most = ground.settings.file_bytes_max
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > most:
            raise _too_large(most)
        tenant_id = ground.tenant(request)
        try:
            stored = await write(ground.files, tenant_id, request.stream(), most)
        except FileTooLarge:
            raise _too_large(most) from None
        except Unreachable as error:
            raise Problem(503, "files_unreachable", f"the file cannot be kept: {error}") from None
        return {
            "file_id": stored.file_id,
            "file_name": name_of(request.query_params.get("file_name", "")),
            "mime_type": mime_of(request.headers.get("content-type", "")),
            "size": stored.size,
        }

    body: dict[str, Any] = {
        "required": True,
        "content": {"application/octet-stream": {"schema": {}}},
    }
    ground.app.add_api_route(
        "/v1/files",
        upload,
        methods=["POST"],
        name="upload",
        summary="Keep the bytes of the body as a file, for the items of an execution to be started",
        tags=tags("files"),
        openapi_extra={
            "parameters": tenant_parameter(query("file_name", about="what it is called")),
            "requestBody": body,
        },
        responses=responses(200, Uploaded, "What is known of it: to be given to a start."),
    )


def _too_large(most: int) -> Problem:
    text = f"the file has more than {most:,} bytes; send less, or raise PERDURE_FILE_BYTES_MAX"
    return Problem(413, "file_too_large", text)


async def in_overrides(ground: Ground, tenant_id: str, overrides: Any) -> Any:
    """Return overrides with the `files` beside their `input` as they are kept.

    Raises as `given`.
    """
    if not isinstance(overrides, dict) or "files" not in overrides:
        return cast("Any", overrides)
    fields = cast("dict[str, Any]", overrides)
    return {**fields, "files": await given(ground, tenant_id, _named(fields["files"])) or {}}


async def in_pins(ground: Ground, tenant_id: str, pins: dict[str, Any] | None) -> Any:
    """Return what nodes emit in a test run with its files as they are kept. Raises as `given`."""
    found: dict[str, Any] = {}
    for node_id, pin in (pins or {}).items():
        files: Any = cast("dict[str, Any]", pin).get("files") if isinstance(pin, dict) else None
        found[node_id] = pin
        if isinstance(files, dict):
            ports = cast("dict[str, Any]", files).items()
            kept = {
                port: await given(ground, tenant_id, _named(each)) or {} for port, each in ports
            }
            found[node_id] = {**pin, "files": kept}
    return None if pins is None else found


def _named(files: Any) -> dict[str, dict[str, Uploaded]]:
    try:
        return msgspec.convert(files, dict[str, dict[str, Uploaded]])
    except msgspec.ValidationError as error:
        text = f"`files` must be files by the places and names of items: {error}"
        raise Problem(422, "invalid_files", text) from None


async def given(
    ground: Ground, tenant_id: str, named: dict[str, dict[str, Uploaded]] | None
) -> FilesByItem | None:
    """Return the files that a start names, as they are kept.

    Raises:
        Problem: `invalid_files`, `file_not_found`.
    """
    listed = [each for files in (named or {}).values() for each in files.values()]
    if named is None or not listed:
        return None
    if len(listed) > FILES_MAX:
        raise Problem(422, "invalid_files", f"at most {FILES_MAX:,} files can be given to a start")
    ids = sorted({each.file_id for each in listed})
    rows = await ground.reading.rows(SQL["sizes"], tenant_id, ids)
    sizes = {str(row["sha256"]): int(row["bytes"]) for row in rows}
    missing = [each for each in ids if each not in sizes]
    if missing:
        raise Problem(
            422,
            "file_not_found",
            f"there is no file {missing[0][:80]!r} (any more); send it to /v1/files first",
        )
    found: FilesByItem = {}
    for place, files in named.items():
        if not place.isascii() or not place.isdecimal() or str(int(place[:9])) != place:
            text = f'`files` has {place[:80]!r}; name items by their places: "0", "1" …'
            raise Problem(422, "invalid_files", text)
        for name in files:
            if not 0 < len(name) <= NAME_MAX or "\0" in name:
                text = f"a file of item {place} needs a name of 1 to {NAME_MAX} characters"
                raise Problem(422, "invalid_files", text)
        found[place] = {
            name: {
                "file_id": each.file_id,
                "file_name": name_of(each.file_name),
                "mime_type": mime_of(each.mime_type),
                "size": sizes[each.file_id],
            }
            for name, each in files.items()
        }
    return found
