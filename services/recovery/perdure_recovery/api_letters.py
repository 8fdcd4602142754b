"""Dead letters by HTTP: mend one, send it again or drop it, singly or all that match.

Each letter is settled by a command of its own, once: a second one is refused, whoever sends it
and however often. A dry run tells which letters match, and sends nothing.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import orjson
from fastapi import FastAPI, Request
from perdure_common.api.asking import KEY_HEADER, Asking
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.ids import derived
from perdure_contracts.dead_letters import EditDeadLetter, RedriveDeadLetter

from .api import TABLES
from .api_measures import SQL

MOST = 1_000
"""Letters that one request may be about; those that are left match the next one."""
AT_ONCE = 32
"""Commands whose answers are waited for at the same time."""

Text = Annotated[str, msgspec.Meta(max_length=1_000)]


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with the letters that wait and match; the oldest come first.

    `code` is what stands before the colon of the column `error`.
    """

    action: Literal["retry", "drop"]
    service: Text | None = None
    topic: Text | None = None
    event_type: Text | None = None
    code: Text | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100
    dry_run: bool = False
    asked_by: Text = ""


class Came(msgspec.Struct):
    """What came of one letter; `code` and `detail` say why it was refused."""

    id: str
    service: str
    event_type: str
    error: str
    sent: bool
    accepted: bool
    code: str = ""
    detail: str = ""


class Done(msgspec.Struct):
    """What came of all of them; `more` says that others match as well."""

    action: str
    dry_run: bool
    matched: int
    accepted: int
    more: bool
    letters: list[Came]


class Settle(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with one letter."""

    action: Literal["retry", "drop"] = "retry"
    asked_by: Text = ""


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    """The body that a letter is to be sent again with: as JSON, or any bytes in base64."""

    json: Any = msgspec.UNSET
    base64: str | None = None
    reason: Text = ""
    edited_by: Text = ""


class Accepted(msgspec.Struct):
    """How the command is known, and whether it is carried out already."""

    command: dict[str, str]
    settled: bool


class Letters:
    """The endpoints that write."""

    def __init__(self, reading: Reading, asking: Asking) -> None:
        self._reading = reading
        self._asking = asking

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints to an API."""
        routes: tuple[tuple[str, Any, str, Any, Any, str], ...] = (
            ("/v1/bulk/dead_letters", self.bulk, "POST", Bulk, Done, "Settle all that match"),
            ("/v1/dead_letters/{key}/settle", self.settle, "POST", Settle, Accepted, "Settle one"),
            ("/v1/dead_letters/{key}/body", self.edit, "PUT", Edit, Accepted, "Mend one's body"),
        )
        for path, endpoint, method, body, answer, summary in routes:
            app.add_api_route(
                path,
                endpoint,
                methods=[method],
                name=f"{endpoint.__name__}_dead_letters",
                summary=summary,
                tags=["dead_letters"],
                openapi_extra={"requestBody": body_schema(body)},
                responses=responses(200, answer, "What came of it."),
            )

    async def settle(self, request: Request, key: str) -> dict[str, Any]:
        """Send a letter to where it came from once more, or drop it; once."""
        body = await read_body(request, Settle)
        stream = await self._stream(key)
        message = RedriveDeadLetter(letter=stream, asked_by=body.asked_by, action=body.action)
        return (await self._asking.ask(request, stream, message)).accepted

    async def edit(self, request: Request, key: str) -> dict[str, Any]:
        """Let a letter that waits be sent with another body; its own stays written down."""
        body = await read_body(request, Edit)
        stream = await self._stream(key)
        message = EditDeadLetter(
            letter=stream, value=_value(body), edited_by=body.edited_by, reason=body.reason
        )
        return (await self._asking.ask(request, stream, message)).accepted

    async def bulk(self, request: Request) -> dict[str, Any]:
        """Send all letters that match to where they came from, or drop them; or say which."""
        self._asking.check_tenant(request)
        body = await read_body(request, Bulk)
        rows = await self._reading.rows(
            SQL["letters"], self._asking.tenant_id, body.service, body.topic, body.event_type,
            body.code, _instant("since", body.since), _instant("before", body.before),
            body.limit + 1,
        )  # fmt: skip
        more, rows = len(rows) > body.limit, rows[: body.limit]
        found: list[dict[str, Any]] = []
        for first in range(0, len(rows), AT_ONCE):
            part = rows[first : first + AT_ONCE]
            found += await asyncio.gather(*(self._one(request, body, row) for row in part))
        return {
            "action": body.action,
            "dry_run": body.dry_run,
            "matched": len(rows),
            "accepted": sum(each["accepted"] for each in found),
            "more": more,
            "letters": found,
        }

    async def _one(self, request: Request, body: Bulk, row: Mapping[str, Any]) -> dict[str, Any]:
        came: dict[str, Any] = {
            **{name: row[name] for name in ("id", "service", "event_type", "error")},
            "sent": not body.dry_run,
            "accepted": False,
            "code": "",
            "detail": "",
        }
        if body.dry_run:
            return came
        stream = str(row["stream"])
        message = RedriveDeadLetter(letter=stream, asked_by=body.asked_by, action=body.action)
        key = request.headers.get(KEY_HEADER)
        id = None if key is None else derived("bulk", key, came["id"])
        try:
            asked = await self._asking.ask(request, stream, message, id=id)
        except Problem as problem:
            return {**came, "code": problem.code, "detail": problem.detail}
        return {
            **came,
            "accepted": asked.answer is not None,
            "code": "" if asked.answer else "late",
        }

    async def _stream(self, key: str) -> str:
        view = TABLES["dead_letters"]
        row = await self._reading.row("dead_letters", view, self._asking.tenant_id, key)
        if row is None:
            raise Problem(
                404,
                "dead_letter_not_found",
                f"there is no dead letter {key[:100]!r}; /v1/dead_letters lists those there are",
            )
        return str(orjson.loads(row)["stream"])


def _value(body: Edit) -> bytes:
    if (body.json is msgspec.UNSET) == (body.base64 is None):
        raise Problem(400, "invalid_request", "give the new body as `json` or as `base64`")
    if body.base64 is None:
        return orjson.dumps(body.json)
    try:
        return base64.b64decode(body.base64, validate=True)
    except binascii.Error:
        raise Problem(400, "invalid_request", "`base64` is no base64") from None


def _instant(name: str, at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Problem(422, "invalid_instant", f"`{name}` needs a time zone, such as Z at its end")
    return at
