"""MCP servers as tools of agents: their tools are listed once, and called like all others.

The Model Context Protocol by streamable HTTP (2025-03-26 to 2025-11-25): JSON-RPC messages
are posted, and answered as JSON or as server-sent events. A session is begun when a server is first
asked, and anew where the server has forgotten it (404), for then it has done nothing. Of what else
servers may say (notifications, requests of their own) nothing is taken up. Requests go through
the same exchange as all others: addresses are judged, answers are bounded.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from perdure_contracts.cloudevents import CloudEventError, parse_json
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.nodes.json_schemas import is_object_schema, schema_fault
from perdure_engine.nodes.tool_mcp import TIMEOUT_S, TOOLS_MAX
from perdure_engine.nodes.tools import NO_ARGUMENTS
from perdure_engine.runner.dependencies import Called, of_address
from perdure_engine.runner.exchange import Answer, Call, exchange
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.http_request import authenticate
from perdure_engine.runner.secrets import hidden, lacking, opened
from perdure_engine.runner.tools import Tools

from .failures import Stop
from .journal import Journal
from .tools import NEEDS, Tool

VERSION = "2025-06-18"
VERSIONS = ("2025-03-26", VERSION, "2025-11-25")
"""The revision that is asked for, and those that are understood."""

PAGES_MAX = 20
DESCRIPTION_MAX = 2_000
LIST_CHARACTERS_MAX = 200_000
"""What a model is told of a server's tools: more would fill what it can hold."""

CLOSE_S = 2.0
GONE = 404
UNFIT = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Refused:
    """The server, or its tool, says that a call failed; the model is told why."""

    content: Json


@dataclass
class Server:
    """A server of an agent, and the session with it; `fields` are those of its credential."""

    node_id: str
    parameters: Mapping[str, Any]
    fields: Mapping[str, str] | None = None
    version: str = ""
    session: str = ""
    asked: int = 0
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return str(self.parameters.get("url") or "")


def servers_of_agent(parameters: Mapping[str, Any]) -> dict[str, Server]:
    """Return an agent's MCP servers by their nodes."""
    listed: Any = parameters.get("tools")
    return {
        str(each["node_id"]): Server(str(each["node_id"]), each["parameters"])
        for each in (cast("list[dict[str, Any]]", listed) if isinstance(listed, list) else [])
        if each["subtype"] == "MCP"
    }


@dataclass
class Servers:
    """The MCP servers of one agent in one attempt."""

    on: Tools
    tenant_id: str
    by_node: dict[str, Server] = field(default_factory=dict[str, Server])

    async def offered(self, journal: Journal, taken: Mapping[str, Tool]) -> dict[str, Tool]:
        """Return what the servers offer, by the names that the model is told; `taken` are others'.

        Raises:
            Stop: A server cannot be asked, or offers what cannot be used.
            LeaseLost: The attempt is not ours any more.
        """
        found: dict[str, Tool] = {}
        for server in self.by_node.values():
            for each in await self._listed(journal, server):
                name = _known_as(server, each["name"], {*taken, *found})
                found[name] = _tool(server, name, each)
        return found

    async def call(self, tool: Tool, arguments: Mapping[str, Any]) -> "Json | Refused | Failed":
        """Make one call; return what it gave, or why it gave nothing."""
        server = self.by_node[tool.node_id]
        wanted = {"name": tool.parameters["mcp_name"], "arguments": dict(arguments)}
        result = await self._ask(server, "tools/call", wanted)
        return _content(result) if isinstance(result, dict) else result

    async def close(self) -> None:
        """Tell the servers that their sessions are over; who does not hear forgets by itself."""
        for server in self.by_node.values():
            if server.session:
                await self._exchange(server, "DELETE", {}, CLOSE_S)

    # What a server offers ---------------------------------------------------------------

    async def _listed(self, journal: Journal, server: Server) -> list[Any]:
        wanted: Any = server.parameters.get("tools")
        request = journal.request_of("tool", ["mcp", server.node_id, server.url, wanted])
        known = journal.answer(request)
        if known is None:
            handle = str(server.parameters.get("credential") or "")
            called = Called(self.tenant_id, of_address("http", server.url, ""), handle)
            begun = self.on.dependencies.begin(called)
            if isinstance(begun, Failed):
                raise Stop(begun.error)
            await journal.begin(request, "tool", f"{server.node_id}: tools/list")
            found = await self._list(server)
            self.on.dependencies.heard(begun, found.error if isinstance(found, Failed) else None)
            if isinstance(found, Failed):
                raise Stop(found.error)
            chosen = _chosen(server, wanted, found)
            await journal.finish(request, "tool", {"ok": True, "content": chosen})
            return chosen
        return cast("list[Any]", known["content"])

    async def _list(self, server: Server) -> list[Any] | Failed:
        """Return the tools of all pages."""
        found: list[Any] = []
        cursor: Any = None
        for _ in range(PAGES_MAX):
            page = await self._ask(server, "tools/list", {"cursor": cursor} if cursor else {})
            if isinstance(page, Refused):
                return _unusable(server, f"it does not list its tools: {page.content}")
            if isinstance(page, Failed):
                return page
            listed = page.get("tools")
            found += cast("list[Any]", listed) if isinstance(listed, list) else []
            cursor = page.get("nextCursor")
            if not cursor or len(found) > TOOLS_MAX * PAGES_MAX:
                break
        return [each for each in found if _has_name(each)]

    # Asking -----------------------------------------------------------------------------

    async def _ask(
        self, server: Server, method: str, params: Mapping[str, Any]
    ) -> "dict[str, Any] | Refused | Failed":
        """Ask something in a session; begin one where there is none, or none any more."""
        if server.fields is None:
            fields = await opened(self.on.credentials, self.tenant_id, server.parameters)
            if isinstance(fields, Failed):
                return fields
            way = server.parameters.get("credential_as") or "bearer"
            if fields and (failed := lacking(server.parameters["credential"], fields, *NEEDS[way])):
                return failed
            server.fields = fields
        if (failed := await self._begin(server, "")) is not None:
            return failed
        session = server.session
        answer = await self._rpc(server, method, params)
        if session and _is_gone(answer):
            if (failed := await self._begin(server, session)) is not None:
                return failed
            answer = await self._rpc(server, method, params)
        return answer

    async def _begin(self, server: Server, gone: str) -> Failed | None:
        """Begin a session where there is none, or only the one that is gone."""
        async with server.beginning:
            if server.version and server.session != gone:
                return None
            if server.version and not gone:
                return None  # a server that keeps no sessions
            server.version = server.session = ""
            failed = await self._initialized(server)
        if failed is None:
            return None
        return Failed(replace(failed.error, effect_state="not_sent"))  # nothing was called

    async def _initialized(self, server: Server) -> Failed | None:
        about = {
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": "perdure", "version": "1"},
        }
        made = await self._rpc(server, "initialize", about)
        if isinstance(made, Failed):
            return made
        version = made.get("protocolVersion") if isinstance(made, dict) else None
        if isinstance(made, Refused) or version not in VERSIONS:
            why = f"refused: {made.content}" if isinstance(made, Refused) else f"it is {version!r}"
            known = ", ".join(VERSIONS)
            return _unusable(server, f"no revision is understood by both ({known}); {why}")
        server.version = str(version)
        told = await self._exchange(
            server, "POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}
        )
        return told if isinstance(told, Failed) else None

    async def _rpc(
        self, server: Server, method: str, params: Mapping[str, Any]
    ) -> "dict[str, Any] | Refused | Failed":
        server.asked += 1
        number = server.asked
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)}
        answer = await self._exchange(server, "POST", message)
        if isinstance(answer, Failed):
            return cast("Failed", hidden(answer, server.fields or {}))
        if method == "initialize":
            server.session = answer.headers.get("mcp-session-id", "")
        said = hidden(_said(answer, number), server.fields or {})
        if said is None:
            return _unusable(server, f"what it answered to {method} is no answer to that")
        if "error" in said:
            error: Any = said["error"]
            if isinstance(error, dict):
                error = cast("dict[str, Any]", error).get("message", "it did not say why")
            return Refused(error)
        result = said.get("result")
        return cast("dict[str, Any]", result) if isinstance(result, dict) else {}

    async def _exchange(
        self, server: Server, method: str, message: Mapping[str, Any], limit_s: float = 0.0
    ) -> Answer | Failed:
        given = server.parameters
        headers = {str(k): str(v) for k, v in dict(given.get("headers") or {}).items()}
        headers["Accept"] = "application/json, text/event-stream"
        if server.version:
            headers["MCP-Protocol-Version"] = server.version
        if server.session:
            headers["Mcp-Session-Id"] = server.session
        query: list[tuple[str, str]] = []
        if server.fields:
            kind = given.get("credential_as") or "bearer"
            authenticate({"kind": kind, **server.fields}, headers, query)
        timeout_s = limit_s or float(given.get("timeout_s") or TIMEOUT_S)
        body = {"json": message} if message else {}
        call = Call(method, server.url, headers, tuple(query), body, timeout_s)
        return await exchange(self.on.http.next(), self.on.allowed, call)


def _is_gone(answer: object) -> bool:
    return isinstance(answer, Failed) and answer.error.status_code == GONE


def _said(answer: Answer, number: int) -> dict[str, Any] | None:
    """Return the message that answers a request, None if there is none."""
    texts = [answer.text]
    if answer.headers.get("content-type", "").lower().startswith("text/event-stream"):
        texts = [_data(event) for event in re.split(r"\r?\n\r?\n|\r\r", answer.text)]
    for text in texts:
        try:
            message = parse_json(text, "the answer") if text.strip() else None
        except CloudEventError:
            continue
        if isinstance(message, dict):
            fields = cast("dict[str, Any]", message)
            if fields.get("id") == number and ("result" in fields or "error" in fields):
                return fields
    return None


def _data(event: str) -> str:
    """Return the data of a server-sent event."""
    lines = [line.removeprefix("data:") for line in event.splitlines() if line.startswith("data:")]
    return "\n".join(line.removeprefix(" ") for line in lines)


def _unusable(server: Server, what: str) -> Failed:
    error = ErrorFacts(
        type="output_invalid",
        message=f"the MCP server of node {server.node_id!r} cannot be used: {what}"[:2_000],
        stage="tool",
        dependency=of_address("http", server.url, ""),
        effect_state="done",
    )
    return Failed(error)


# Tools --------------------------------------------------------------------------------------


def _has_name(offered: Any) -> bool:
    name = cast("dict[str, Any]", offered).get("name") if isinstance(offered, dict) else None
    return isinstance(name, str) and bool(name)


def _chosen(server: Server, wanted: Any, found: list[Any]) -> list[dict[str, Any]]:
    """Return the tools that the model may call, each with what it is told of it.

    Raises:
        Stop: One that is wanted is not there, or they are too many or too large.
    """
    by_name = {str(each["name"]): each for each in found}
    names = cast("list[str]", wanted) if isinstance(wanted, list) else list(by_name)
    for name in names:
        if name not in by_name:
            there = ", ".join(by_name)[:500] or "none"
            raise Stop(_unusable(server, f"it has no tool {name!r}; it has: {there}").error)
    if len(names) > TOOLS_MAX:
        text = f"it has {len(names)} tools; name at most {TOOLS_MAX} in `tools`"
        raise Stop(_unusable(server, text).error)
    told = [_told(by_name[name]) for name in dict.fromkeys(names)]
    size = len(json.dumps(told))
    if size > LIST_CHARACTERS_MAX:
        text = f"what it says of its tools has {size:,} characters; name those needed in `tools`"
        raise Stop(_unusable(server, text).error)
    return told


def _told(offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a tool; a schema that cannot be judged by is any object's."""
    schema: Any = offered.get("inputSchema")
    if schema_fault(schema) or not is_object_schema(schema):
        schema = {"type": "object"}
    text = str(offered.get("description") or offered.get("title") or offered["name"])
    return {"name": offered["name"], "description": text[:DESCRIPTION_MAX], "schema": schema}


def _known_as(server: Server, name: str, taken: set[str]) -> str:
    """Return what a model knows a tool by: letters, digits, `_` and `-`, once."""
    made = UNFIT.sub("_", f"{server.parameters.get('prefix') or ''}{name}")[:64]
    if not made[0].isalpha():
        made = f"t_{made}"[:64]
    first, n = made, 2
    while made in taken:
        made = f"{first[: 64 - len(str(n)) - 1]}_{n}"
        n += 1
    return made


def _tool(server: Server, name: str, offered: Mapping[str, Any]) -> Tool:
    given = server.parameters
    repeatable: Any = given.get("repeatable") or ()
    seen = {"description": offered["description"], "arguments": offered["schema"] or NO_ARGUMENTS}
    same = ("calls_max", "approval", "credential", "url")
    parameters = {**{key: given.get(key) for key in same}, **seen, "mcp_name": offered["name"]}
    effect = "keyed" if offered["name"] in repeatable else "unsafe"
    return Tool(name, server.node_id, "MCP", effect, parameters)


def _content(result: Mapping[str, Any]) -> "Json | Refused":
    """Return what a call gave: what it has as data, else its texts; other parts are named."""
    parts: Any = result.get("content")
    texts = [_part(each) for each in (cast("list[Any]", parts) if isinstance(parts, list) else [])]
    text = "\n".join(texts)
    if result.get("isError"):
        return Refused(text or "the tool failed, and did not say why")
    data = result.get("structuredContent")
    return text if data is None else data


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    given = cast("dict[str, Any]", part)
    if given.get("type") == "text":
        return str(given.get("text") or "")
    resource: Any = given.get("resource")
    if isinstance(resource, dict) and "text" in resource:
        return str(cast("dict[str, Any]", resource)["text"])
    kind, mime = given.get("type"), given.get("mimeType") or ""
    return f"[{kind} {mime} {given.get('uri') or given.get('name') or ''}]".replace("  ", " ")
