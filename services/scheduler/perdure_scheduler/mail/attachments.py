"""What came with mails, over HTTP: executions carry the path, and fetch it when they need it."""

from pathlib import Path

from fastapi import FastAPI, Request
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.http import TENANT_HEADER
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from starlette.responses import Response

from .shown import ATTACHMENT_PATH

_SQL = queries(Path(__file__).with_name("mail.sql"))


def add_attachments(app: FastAPI, settings: Settings, owner: Owner, reading: Reading) -> None:
    """Add the endpoint that gives an attachment back."""
    del owner

    async def attachment(request: Request, sha256: str) -> Response:
        tenant_id = request.headers.get(TENANT_HEADER) or settings.tenant_id
        rows = await reading.rows(_SQL["attachment"], tenant_id, sha256)
        if not rows:
            raise Problem(404, "not_found", f"there is no attachment {sha256[:80]!r} (any more)")
        # Never shown by a browser as if it were ours: it comes from anybody.
        return Response(
            bytes(rows[0]["content"]),
            media_type="application/octet-stream",
            headers={
                "content-disposition": "attachment",
                "x-content-type-options": "nosniff",
            },
        )

    app.add_api_route(
        f"{ATTACHMENT_PATH}{{sha256}}",
        attachment,
        tags=["attachments"],
        summary="Return what came with a mail, by its hash",
        response_class=Response,
    )
