"""Dead letters by HTTP: mend one, send it again or drop it, singly or all that match.

Each letter is settled by a command of its own, once: a second one is refused, whoever sends it
and however often. A dry run tells which letters match, and sends nothing.
"""

import base64
import binascii
from datetime import datetime
from typing import Any, Literal

import msgspec
import orjson
from fastapi import FastAPI, Request
from perdure_common.api import many
from perdure_common.api.asking import TENANT_HEADER, Asking
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.many import Limit, Many, Row, Text
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_contracts.dead_letters import EditDeadLetter, RedriveDeadLetter

from .api import TABLES
from .api_measures import SQL


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with the letters that wait and match; the oldest come first.

    `code` is what stands before the colon of the column `error`, `pattern` the column
    `pattern_signature`.
    """

    action: Literal["retry", "drop"]
    service: Text | None = None
    topic: Text | None = None
    event_type: Text | None = None
    code: Text | None = None
    pattern: Text | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: Limit = 100
    dry_run: bool = False
    asked_by: Text = ""


class Came(many.Came, kw_only=True):
    """What came of one letter."""

    id: str
    service: str
    event_type: str
    error: str


SHOWN = ("id", "service", "event_type", "error")


class Done(many.Done, kw_only=True):
    """What came of all of them."""

    action: str
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


class Pattern(msgspec.Struct):
    """Dead letters that are alike, and how often the one that was tried most was tried."""

    pattern_signature: str
    service: str
    failure_type: str
    family_branch: str
    letters: int
    waiting: int
    attempts_max: int
    first_at: datetime
    last_at: datetime
    error: str


class Patterns(msgspec.Struct):
    """What dead letters are alike, those with the most that wait first."""

    items: list[Pattern]


PATTERNS_MAX = 200
STATUSES = ("waiting", "redriven", "dropped")
STATUS = {
    "name": "status",
    "in": "query",
    "required": False,
    "description": "Only letters of this status.",
    "schema": {"type": "string", "enum": list(STATUSES)},
}


class Letters:
    """The endpoints that write, and the one that counts."""

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

        app.add_api_route(
            "/v1/dead_letter_patterns",
            self.patterns,
            methods=["GET"],
            summary="Dead letters that are alike, counted",
            tags=["dead_letters"],
            openapi_extra={"parameters": [STATUS]},
            responses=responses(200, Patterns, "The patterns."),
        )

    async def patterns(self, request: Request) -> dict[str, Any]:
        """Dead letters by pattern: how many there are, and how many of them wait."""
        status = request.query_params.get("status") or None
        if status is not None and status not in STATUSES:
            raise Problem(400, "invalid_status", f"`status` is one of {', '.join(STATUSES)}")
        tenant_id = request.headers.get(TENANT_HEADER) or self._asking.tenant_id
        rows = await self._reading.rows(SQL["letter_patterns"], tenant_id, status, PATTERNS_MAX)
        return {"items": [dict(row) for row in rows]}

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
            body.pattern, body.limit + 1,
        )  # fmt: skip

        def command(row: Row) -> tuple[str, RedriveDeadLetter]:
            stream = str(row["stream"])
            return stream, RedriveDeadLetter(
                letter=stream, asked_by=body.asked_by, action=body.action
            )

        sending = Many(self._asking, request, "bulk", SHOWN, command, body.dry_run)
        return {"action": body.action, **await sending.send(rows, body.limit, "letters")}

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
