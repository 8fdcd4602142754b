"""The files of an execution by HTTP: which there are, and what is in one of them.

A file is given only to those who may see the execution, and only where the execution refers to it.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import Request
from perdure_common.api.endpoints import only, reads, tags
from perdure_common.api.problem import Problem
from starlette.responses import Response, StreamingResponse

from .ground import PREFIX, SQL, Ground

FILES_MAX = 1_000
"""Files that are listed of one execution, the first ones."""

HASH_LENGTH = 64


def add(ground: Ground) -> None:
    """Add `GET …/files` and `GET …/files/{file_id}`."""

    async def files(request: Request, key: str) -> Response:
        only(request, ())
        tenant_id = ground.tenant(request)
        rows = await ground.reading.rows(SQL["files"], tenant_id, key, FILES_MAX)
        if not rows:
            await ground.execution(request, key)  # which says if it is not there
        return Response(orjson.dumps({"items": rows}), media_type="application/json")

    async def file(request: Request, key: str, file_id: str) -> Response:
        only(request, ())
        tenant_id = ground.tenant(request)
        rows = []
        if len(file_id) == HASH_LENGTH and "\0" not in key:
            rows = await ground.reading.rows(SQL["file"], tenant_id, key, file_id)
        if not rows:
            raise Problem(
                404,
                "file_not_found",
                f"execution {key[:100]!r} refers to no file {file_id[:80]!r}; its list of files "
                "has those there are",
            )
        [found] = rows
        # Never shown by a browser as if it were ours: it comes from anybody.
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{_quoted(found)}",
            "content-length": str(found["bytes"]),
            "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
            "x-file-type": found["mime_type"],
        }
        body = _body(ground, found["upload"], found["bytes"])
        return StreamingResponse(body, media_type="application/octet-stream", headers=headers)

    ground.app.add_api_route(
        PREFIX + "/files",
        files,
        name="files",
        summary="List the files that the items of an execution have carried",
        tags=tags("workflow_executions"),
        openapi_extra=reads(),
    )
    ground.app.add_api_route(
        PREFIX + "/files/{file_id}",
        file,
        name="file",
        summary="Return a file that an execution refers to",
        tags=tags("workflow_executions"),
        response_class=Response,
        openapi_extra=reads(),
    )


def _quoted(found: dict[str, Any]) -> str:
    return quote(str(found["file_name"]), safe="")


async def _body(ground: Ground, upload: str, size: int) -> AsyncIterator[bytes]:
    """Yield a file, chunk after chunk; what breaks off ends the answer before its length."""
    left, n = size, 0
    while left > 0:
        rows = await ground.reading.rows(SQL["file_chunk"], upload, n)
        if not rows:
            raise RuntimeError("the file was deleted while it was read")
        data = bytes(rows[0]["data"])
        yield data
        left -= len(data)
        n += 1
