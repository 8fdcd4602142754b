"""Bodies and paths that are made to hurt, against every route of the engine's API.

The routes come from its OpenAPI document, and so do the fields of their bodies: one that is new is
tried by itself. Whatever is sent is taken, or refused with a problem that has a code and says what
to do; nothing is parked, and the loop that writes the shards goes on.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from api_client import Api
from definitions_for_tests import chain, node
from platform_stage import Stage
from promises import what_verify_finds

pytestmark = pytest.mark.asyncio(loop_scope="module")

Row = dict[str, Any]

WRITES = ("post", "put", "patch", "delete")
PATIENCE_S = 5.0
"""How long others may wait for an answer meanwhile; it is far below what a stall takes."""

DIGITS = b"9" * 5_000


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


NO_JSON: dict[str, bytes] = {
    "no JSON": b"{",
    "no UTF-8": b'{"a": "\xff"}',
    "half a pair": b'{"a": "\\ud800"}',
    "half a pair as a key": b'{"\\udfff": 1}',
    "300 levels": nested(300),
    "a bomb of brackets": b"[" * 500_000,
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [-Infinity]}',
    "5,000 digits": b'{"a": %b}' % DIGITS,
    "5,000 digits behind the point": b'{"a": 1e%b}' % DIGITS,
    "NUL": b'{"a": 1}\x00',
    "a form": b"a=1&b=2",
    "XML": b"<a/>",
}
"""Refused as what they are, by every route that takes JSON."""

NO_OBJECT: dict[str, bytes] = {
    "a list": b"[]",
    "a text": b'"x"',
    "nothing": b"null",
    "a field that there is not": b'{"' + b"x" * 10_000 + b'": 1}',
    "many numbers": b"[" + b"1," * 400_000 + b"1]",
}

VALUES: dict[str, bytes] = {
    "null": b"null",
    "false": b"false",
    "zero": b"0",
    "less than nothing": b"-1",
    "more than a column holds": b"99999999999",
    "300 digits": b"9" * 300,
    "nearly infinite": b"1e308",
    "empty": b'""',
    "NUL": b'"a\\u0000b"',
    "a long text": b'"' + b"x" * 300_000 + b'"',
    "a day without an end": b'"9999-12-31T23:59:59.999999+23:59"',
    "a day before all": b'"0001-01-01T00:00:00-23:59"',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "190 levels": nested(190),
    "many objects": b"[" + b"{}," * 200_000 + b"{}]",
    "many numbers": b"[" + b"1," * 300_000 + b"1]",
    "twice the same key": b'{"a": 1, "a": {"\\u0000": 2}}',
    "files": b'{"0": {"data": {"file_id": "\\u0000", "file_name": "", "mime_type": ""}}}',
    "pins": b'{"sum": {"ports": {"main": [{"a\\u0000": 1e308}]}, "fail": {"items": [99999999]}}}',
    "ports": b'{"ports": {"main": [1, null, {"": "\\u0000"}], "other": []}}',
    "a place": b'[["sum", 99999999999999999999]]',
}
"""What each field of a body is given in its turn."""

KEYS = (
    "%00", "a%00b", "%ff", "%ed%a0%80", "%0a", "..%2f..", "x" * 600, "99999999999", "9" * 5_000,
    "-1", "\u2028", "'; drop table workflows; --",
)  # fmt: skip
"""What stands in a path in place of each of its names."""

LIKELY: Row = {
    "action": "cancel", "dry_run": True, "older_than_days": 400, "from": "start", "name": "a",
    "outcome": "done", "document_type": "order", "node_id": "sum", "data": {}, "value": 1,
}  # fmt: skip
"""What the other fields have meanwhile, where they must be there."""


def routes(document: Row) -> Iterator[tuple[str, str, Row]]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            yield method, path, route


def schema_of(route: Row) -> Row | None:
    content = route.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema")


class Hurt:
    """Sends what is made to hurt, and notes every answer that should not be."""

    def __init__(self, http: httpx.AsyncClient, names: dict[str, str]) -> None:
        self.http = http
        self.names = names
        self.sent = 0
        self.wrong: list[str] = []

    def path(self, path: str, **others: str) -> str:
        """Return a path with things that are there for its names, or with `others`."""
        for name, value in {**self.names, **others}.items():
            path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
        prefix = "workflows" in path or "workflow_static_data" in path
        key = self.names["workflow"] if prefix else self.names["execution"]
        if "workflow_templates" in path:
            key = self.names["template"]
        return path.replace("{key}", key)

    async def send(
        self, about: str, method: str, path: str, body: bytes | None, **more: Any
    ) -> int:
        """Send it, and note what is neither an answer nor a problem that says what to do."""
        self.sent += 1
        what = f"{method} {path[:120]} ({about})"
        try:
            answer = await self.http.request(method, path, content=body, **more)
        except httpx.HTTPError as error:
            self.wrong.append(f"{what}: {error!r}")
            return 0
        if answer.status_code < 400:
            if b'"settled":false' in answer.content:
                self.wrong.append(f"{what}: nobody answered it")
            return answer.status_code
        said = answer.text[:300]
        told: Row = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        sound = answer.headers.get("content-type") == "application/problem+json"
        sound = sound and told.get("status") == answer.status_code and bool(told.get("code"))
        if not sound or not told.get("detail") or answer.status_code >= 500:
            self.wrong.append(f"{what}: {answer.status_code} {said}")
        elif told["code"] == "parked":
            self.wrong.append(f"{what}: it was parked")
        return answer.status_code

    async def refused(self, about: str, method: str, path: str, body: bytes, **more: Any) -> None:
        status = await self.send(about, method, path, body, **more)
        if not 400 <= status < 500:
            self.wrong.append(f"{method} {path} ({about}): {status}, which is no refusal")


@asynccontextmanager
async def watched(http: httpx.AsyncClient) -> AsyncGenerator[list[float]]:
    """Give how long others waited for an answer, the longest time last."""
    waits = [0.0]

    async def look() -> None:
        while True:
            begun = time.monotonic()
            await http.get("/healthz")
            waits.append(max(waits[-1], time.monotonic() - begun))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield waits
    finally:
        looking.cancel()


def bodies(schema: Row) -> Iterator[tuple[str, bytes]]:
    """Yield bodies in which one field is hostile and the others are likely."""
    fields: Row = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if name in fields]
    for field in fields:
        for about, value in VALUES.items():
            parts = [
                b"%b:%b" % (json.dumps(name).encode(), json.dumps(LIKELY.get(name, "x")).encode())
                for name in dict.fromkeys((*required, "dry_run"))
                if name != field and name in fields
            ]
            parts.append(b"%b:%b" % (json.dumps(field).encode(), value))
            yield f"{field}: {about}", b"{" + b",".join(parts) + b"}"


async def begun(client: Api, workflow: str) -> str:
    """Start an execution that waits."""
    return (await client.post("/v1/workflow_executions", {"workflow_id": workflow}))["execution_id"]


async def prepared(client: Api) -> dict[str, str]:
    """Make a workflow, a template and an execution; return what paths call them."""
    slow = chain("hurt", node("wait", "FLOW.WAIT", webhook=True), node("sum", "ACTION.SET"))
    slow["nodes"][2]["parameters"] = {"values": {"n": 1}}
    workflow = (await client.post("/v1/workflows", {"definition": slow}))["workflow_id"]
    await client.post(f"/v1/workflows/{workflow}/deploy")
    template = {"name": "t", "document_type": "order", "definition": slow}
    made = await client.post("/v1/workflow_templates", template)
    LIKELY["definition"], LIKELY["document"] = slow, {"nodes": [], "connections": {}}
    LIKELY["workflow_id"] = workflow
    return {
        "workflow": workflow, "execution": await begun(client, workflow),
        "template": made["template_id"], "name": "a", "version": "1", "node_id": "sum",
        "token": "none", "file_id": "0" * 64, "node_type": "FLOW", "subtype": "IF",
        "source": "/tests", "id": "none",
    }  # fmt: skip


async def test_whatever_is_sent_is_taken_or_refused_and_nothing_stops(stage: Stage) -> None:
    url = f"http://127.0.0.1:{stage.ports['engine']}"
    async with Api(url) as client, httpx.AsyncClient(
        base_url=url, timeout=30.0, trust_env=False
    ) as http:  # fmt: skip
        document = (await http.get("/openapi.json")).json()
        hurt = Hurt(http, await prepared(client))
        async with watched(http) as waits:
            written = 0
            for method, path, route in routes(document):
                schema = schema_of(route)
                if method in WRITES and schema is not None:
                    written += 1
                    hurt.names["execution"] = await begun(client, hurt.names["workflow"])
                    await bad_bodies(hurt, method, hurt.path(path), schema)
                if "{" in path:
                    await bad_paths(hurt, method, path)
        parked = await stage.rows("select stream from engine.parked_stream")
    assert not hurt.wrong, "\n".join((*hurt.wrong[:40], stage.complaints()))
    assert (parked, await what_verify_finds(stage)) == ([], [])
    assert written >= 20 and hurt.sent > 1_000, (written, hurt.sent)
    assert waits[-1] < PATIENCE_S, f"others waited {waits[-1]:.1f} s"


async def bad_bodies(hurt: Hurt, method: str, path: str, schema: Row) -> None:
    for about, body in NO_JSON.items():
        await hurt.refused(about, method, path, body)
    await hurt.refused("too much", method, path, b'"' + b"x" * 1_100_000 + b'"')
    await hurt.send("empty", method, path, b"")
    if not schema:
        return
    for about, body in NO_OBJECT.items():
        await hurt.refused(about, method, path, body)
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        await hurt.refused(media, method, path, b"{}", headers={"content-type": media})
    tried = list(bodies(schema))
    for first in range(0, len(tried), 16):
        part = tried[first : first + 16]
        await asyncio.gather(*(hurt.send(about, method, path, body) for about, body in part))


async def bad_paths(hurt: Hurt, method: str, path: str) -> None:
    names = [part.split(":")[0].strip("{}") for part in path.split("/") if "{" in part]
    body = b"{}" if method in WRITES else None
    for name in names:
        for key in KEYS:
            text = key if "%" in key else quote(key, safe="")
            await hurt.send(f"{name}: {key[:20]!r}", method, hurt.path(path, **{name: text}), body)


async def test_a_key_of_a_callers_own_is_no_other_stream(stage: Stage) -> None:
    async with Api(f"http://127.0.0.1:{stage.ports['engine']}") as client:
        names = await prepared(client)
        hurt = Hurt(client._http, names)  # pyright: ignore[reportPrivateUsage]
        start = {"workflow_id": names["workflow"], "execution_id": names["workflow"]}
        await hurt.refused(
            "a workflow's", "POST", "/v1/workflow_executions", json.dumps(start).encode()
        )
        save = {"definition": LIKELY["definition"], "workflow_id": str(uuid.uuid4()) + "/x"}
        await hurt.refused("no id", "POST", "/v1/workflows", json.dumps(save).encode())
        assert not hurt.wrong, hurt.wrong
        assert await stage.rows("select stream from engine.parked_stream") == []
