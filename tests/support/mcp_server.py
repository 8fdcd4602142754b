"""A local MCP server (streamable HTTP): it checks what it is sent, as its specification demands."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from answering_server import Asked, ok, parsed

Called = tuple[str, dict[str, Any]]
TOKEN = "Bearer tok-very-secret-2"


def offer(name: str, **more: Any) -> dict[str, Any]:
    """Return a tool as a server lists it."""
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    return {"name": name, "description": f"Does {name}.", "inputSchema": schema, **more}


def text(said: str, **more: Any) -> dict[str, Any]:
    """Return the result of a call."""
    return {"content": [{"type": "text", "text": said}], **more}


@dataclass
class McpServer:
    """The server. `pages` are its tools; `call` answers a call by its name and arguments.

    With `streams` it answers by server-sent events, with `sessions` it keeps sessions, and forgets
    them when `forget` is called. `version` is the revision that it speaks.
    """

    pages: list[list[dict[str, Any]]]
    call: Callable[[str, dict[str, Any]], Any] = lambda name, arguments: text(f"{name} done")
    streams: bool = False
    sessions: bool = True
    version: str = "2025-06-18"
    begun: int = 0
    ended: int = 0
    live: set[str] = field(default_factory=set[str])
    initialized: set[str] = field(default_factory=set[str])
    methods: list[str] = field(default_factory=list[str])
    called: list[Called] = field(default_factory=list[Called])

    def forget(self) -> None:
        self.live.clear()

    def answer(self, raw: bytes) -> bytes:
        """Answer a request, as `answering_server.Server` wants it."""
        asked = parsed(raw)
        assert asked.headers["authorization"] == TOKEN
        session = asked.headers.get("mcp-session-id", "")
        if asked.method == "DELETE":
            self.live.remove(session)
            self.ended += 1
            return ok(b"", status="204 No Content")
        assert asked.method == "POST"
        assert {"application/json", "text/event-stream"} <= set(asked.headers["accept"].split(", "))
        message = asked.json
        self.methods.append(message["method"])
        assert message["jsonrpc"] == "2.0"
        if message["method"] == "initialize":
            return self._initialize(message)
        assert asked.headers["mcp-protocol-version"] == self.version
        if self.sessions and session not in self.live:
            return ok(b"no such session", "text/plain", status="404 Not Found")
        if message["method"] == "notifications/initialized":
            assert "id" not in message
            self.initialized.add(session)
            return ok(b"", status="202 Accepted")
        assert session in self.initialized, "it was told that the session is ready"
        return self._said(asked, message)

    def _initialize(self, message: dict[str, Any]) -> bytes:
        assert set(message["params"]) == {"protocolVersion", "capabilities", "clientInfo"}
        self.begun += 1
        session = f"session-{self.begun}" if self.sessions else ""
        self.live.add(session)
        about: dict[str, Any] = {"protocolVersion": self.version, "capabilities": {"tools": {}},
                 "serverInfo": {"name": "local", "version": "1"}}  # fmt: skip
        more = f"mcp-session-id: {session}\r\n" if session else ""
        return self._written(message["id"], {"result": about}, more)

    def _said(self, asked: Asked, message: dict[str, Any]) -> bytes:
        params = message["params"]
        if message["method"] == "tools/list":
            at = int(params.get("cursor") or 0)
            more = {"nextCursor": str(at + 1)} if at + 1 < len(self.pages) else {}
            return self._written(message["id"], {"result": {"tools": self.pages[at], **more}})
        assert message["method"] == "tools/call"
        self.called.append((params["name"], params["arguments"]))
        made = self.call(params["name"], params["arguments"])
        if isinstance(made, bytes):
            return made
        return self._written(message["id"], made if "error" in made else {"result": made})

    def _written(self, number: int, said: dict[str, Any], more: str = "") -> bytes:
        message = json.dumps({"jsonrpc": "2.0", "id": number, **said})
        if not self.streams:
            return ok(message.encode(), more=more)
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        body = f": hello\n\nid: 1\nevent: message\ndata: {note}\n\ndata: {message}\n\n"
        return ok(body.encode(), "text/event-stream", more)
