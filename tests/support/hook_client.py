"""Whoever sends webhooks to a stage: signs as senders do, and can behave badly."""

import asyncio
import base64
import hmac
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
from definitions_for_tests import edge, node
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.settings import DEFAULT_TENANT, credentials_keys
from platform_stage import Stage

CREDENTIALS_KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
KEY = b"s" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATIENCE_S = 60.0


async def set_credential(stage: Stage, handle: str, **fields: str) -> None:
    """Make a credential, or change it."""
    seal = Seal(credentials_keys({"PERDURE_CREDENTIALS_KEY": CREDENTIALS_KEY}))
    store = PostgresCredentials(stage.ground.database_url, seal)
    await store.set(DEFAULT_TENANT, handle, fields)
    await store.close()


def signed(
    body: bytes, *, id: str = "", key: bytes = KEY, at: float | None = None
) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    message_id, stamp = id or uuid.uuid4().hex, str(int(time.time() if at is None else at))
    text = f"{message_id}.{stamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, text, "sha256")).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
    }


def by_github(body: bytes, event: str, secret: str, delivery: str = "") -> dict[str, str]:
    """Return GitHub's headers."""
    return {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery or str(uuid.uuid4()),
        "x-hub-signature-256": "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex(),
    }


def by_slack(body: bytes, secret: str, kind: str = "application/json") -> dict[str, str]:
    """Return Slack's headers."""
    stamp = str(int(time.time()))
    text = f"v0:{stamp}:".encode() + body
    return {
        "content-type": kind,
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": "v0=" + hmac.digest(secret.encode(), text, "sha256").hex(),
    }


@dataclass
class Hooks:
    """Sends to the listeners of a stage; an async context manager."""

    stage: Stage
    replica: str = "scheduler"
    _http: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False)
    )

    async def __aenter__(self) -> "Hooks":
        """Open."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self._http.aclose()

    def url(self, path: str, under: str = "hooks") -> str:
        """Return where requests to a path go."""
        port = self.stage.hooks_port(self.replica)
        return f"http://127.0.0.1:{port}/{under}/{DEFAULT_TENANT}{path}"

    async def post(
        self,
        path: str,
        body: bytes | Any,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "POST",
        under: str = "hooks",
    ) -> httpx.Response:
        """Send a request; what is no bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = headers or {"content-type": "application/json"}
        whole = list(given.items()) if isinstance(given, Mapping) else list(given)
        return await self._http.request(
            method, self.url(path, under), content=content, headers=whole
        )

    async def get(self, url: str) -> httpx.Response:
        """Ask for a URL."""
        return await self._http.get(url)

    async def raw(self, request: bytes, *, half_close: bool = False) -> bytes:
        """Send bytes as they are and return everything that comes back."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.stage.hooks_port(self.replica)
        )
        try:
            writer.write(request)
            await writer.drain()
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()
        finally:
            writer.close()

    async def first_word(self, request: bytes) -> bytes:
        """Send bytes and return as soon as something comes back."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.stage.hooks_port(self.replica)
        )
        try:
            writer.write(request)
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read(64)
        finally:
            writer.close()


def as_bytes(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"POST /hooks/{DEFAULT_TENANT}{path} HTTP/1.1", "host: here", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


# Workflows and what becomes of them ------------------------------------------------


def hooked(path: str, *nodes: Mapping[str, Any], kind: str = "WEBHOOK", **more: Any) -> Any:
    """Return a workflow that a request starts; of other kinds `path` may be a name alone."""
    if kind == "WEBHOOK":
        more = {"path": path, "auth": "standard", "credential": "hooks", **more}
    elif path.startswith("/"):
        more = {"path": path, **more}
    steps = [*nodes] or [node("step", "ACTION.SET", values={"seen": "{{ $json.order }}"})]
    whole = [node("hook", f"TRIGGER.{kind}", **more), *steps]
    ids = [str(each["node_id"]) for each in whole]
    edges = [edge(a, b) for a, b in pairwise(ids)]
    return {"name": f"hooked {path}", "nodes": whole, "connections": edges}


async def ended(stage: Stage, execution_id: str) -> Any:
    """Wait until an execution has ended, and return its row."""

    async def found() -> Any:
        rows = await stage.rows(
            "select * from engine.workflow_executions where execution_id = $1 and end_time is not "
            "null",
            execution_id,
        )
        return rows[0] if rows else None

    return await stage.until(found, f"the end of {execution_id}")


async def started(stage: Stage, workflow_id: str) -> list[str]:
    """Return the executions of a workflow."""
    rows = await stage.rows(
        "select execution_id from engine.workflow_executions where workflow_id = $1", workflow_id
    )
    return sorted(row["execution_id"] for row in rows)


async def settled(stage: Stage, workflow_id: str, count: int) -> list[str]:
    """Wait until a workflow has so many executions, and a moment more; return all of them."""

    async def found() -> bool:
        return len(await started(stage, workflow_id)) >= count

    await stage.until(found, f"{count} executions")
    await asyncio.sleep(0.5)
    return await started(stage, workflow_id)


def environment(stage: Stage) -> dict[str, str]:
    """Return the settings by which commands find a stage."""
    return {**stage.environment, "PERDURE_CREDENTIALS_KEY": CREDENTIALS_KEY}
