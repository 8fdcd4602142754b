"""What a model may call: tools by their names, each call once, its outcome told to the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from perdure_contracts.cloudevents import CloudEventError, parse_json
from perdure_contracts.engine import EffectClass, ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.nodes.json_schemas import problems_of
from perdure_engine.nodes.tool_http import PLACE, TIMEOUT_S, places_of
from perdure_engine.nodes.tools import CALLS_MAX, arguments_of
from perdure_engine.runner.exchange import Call, exchange
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.http_request import authenticate
from perdure_engine.runner.secrets import hidden, lacking, opened
from perdure_engine.runner.tools import Tools

ANSWER_CHARACTERS_MAX = 50_000
"""What a model is told of one answer: more would fill what it can hold."""

KINDS = (("TOOL", "HTTP"), ("TOOL", "WORKFLOW"), ("TOOL", "MCP"))
"""The tools that this runner can call."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "bearer": ("token",),
    "basic": ("username", "password"),
    "header": ("name", "value"),
    "query": ("name", "value"),
}
"""What a credential must have to be shown in each way."""


@dataclass(frozen=True)
class Tool:
    """A tool of an agent, with its parameters resolved for the agent's item."""

    name: str
    node_id: str
    subtype: str
    effect: EffectClass
    parameters: Mapping[str, Any]

    @property
    def description(self) -> str:
        """What the model is told that it does."""
        return str(self.parameters.get("description") or "")

    @property
    def schema(self) -> dict[str, Any]:
        """What the model must give."""
        return arguments_of(self.parameters)

    @property
    def calls_max(self) -> int:
        """How often it may be called for one item."""
        return int(self.parameters.get("calls_max") or CALLS_MAX)

    @property
    def asks(self) -> bool:
        """Whether the engine makes its calls, because a runner cannot wait for them."""
        return self.subtype == "WORKFLOW"

    @property
    def approval(self) -> Mapping[str, Any] | None:
        """How a person is asked before each call, None where nobody is."""
        given: Any = self.parameters.get("approval")
        if not given:
            return None
        return cast("dict[str, Any]", given) if isinstance(given, dict) else {}

    @property
    def repeatable(self) -> bool:
        """Whether a call that may have happened can be made again."""
        return self.effect in ("pure", "keyed")


def tools_of_agent(parameters: Mapping[str, Any]) -> dict[str, Tool]:
    """Return an agent's tools by the names that its model knows, but for those of MCP servers."""
    found: dict[str, Tool] = {}
    listed: Any = parameters.get("tools")
    for each in cast("list[dict[str, Any]]", listed) if isinstance(listed, list) else []:
        if each["subtype"] == "MCP":
            continue  # the server says which tools these are
        given = cast("dict[str, Any]", each["parameters"])
        name = str(given["name"])
        found[name] = Tool(name, each["node_id"], each["subtype"], each["effect"], given)
    return found


def read_arguments(tool: Tool, raw: Any) -> dict[str, Any] | str:
    """Return a call's arguments, or what the model is told is wrong with them."""
    if isinstance(raw, str):
        try:
            raw = parse_json(raw, "what was given") if raw.strip() else {}
        except CloudEventError as error:
            return f"the arguments are no JSON: {error}"
    if raw is None:
        raw = {}
    problems = problems_of(tool.schema, raw)
    if not isinstance(raw, dict) or problems:
        told = problems or [{"path": "", "message": "the arguments must be an object"}]
        return "the arguments do not hold to the schema: " + json.dumps(told)
    return cast("dict[str, Any]", raw)


async def call(
    tools: Tools, tenant_id: str, tool: Tool, arguments: Mapping[str, Any], key: str
) -> Json | Failed:
    """Make one call; return what it gave, or why it gave nothing."""
    if ("TOOL", tool.subtype) not in KINDS:
        text = f"this runner cannot call tools of kind {tool.subtype!r}; start the newer version"
        return Failed(ErrorFacts(type="node_type_not_supported", message=text, stage="tool"))
    fields = await opened(tools.credentials, tenant_id, tool.parameters)
    if isinstance(fields, Failed):
        return fields
    way = tool.parameters.get("credential_as") or "bearer"
    if fields and (failed := lacking(tool.parameters["credential"], fields, *NEEDS[way])):
        return failed
    return hidden(await _request(tools, tool, arguments, key, fields, way), fields)


async def _request(
    tools: Tools,
    tool: Tool,
    arguments: Mapping[str, Any],
    key: str,
    fields: Mapping[str, str],
    way: str,
) -> Json | Failed:
    given = tool.parameters
    method = str(given.get("method") or "GET").upper()
    url = str(given.get("url") or "")
    placed = set(places_of(url))
    path = PLACE.sub(lambda found: quote(_text(arguments.get(found.group(1))), safe=""), url)
    rest = {name: value for name, value in arguments.items() if name not in placed}
    headers = {str(k): _text(v) for k, v in dict(given.get("headers") or {}).items()}
    if given.get("idempotency_header"):
        headers.setdefault(str(given["idempotency_header"]), key)
    query = [(str(k), _text(v)) for k, v in dict(given.get("query") or {}).items()]
    send = given.get("send") or ("query" if method in ("GET", "HEAD", "OPTIONS") else "json")
    body: dict[str, Any] = {}
    if send == "query":
        query += [(name, _text(value)) for name, value in rest.items()]
    elif send == "json":
        body["json"] = rest
    else:
        body["data"] = {name: _text(value) for name, value in rest.items()}
    if fields:
        authenticate({"kind": way, **fields}, headers, query)
    answer = await exchange(
        tools.http.next(),
        tools.allowed,
        Call(method, path, headers, tuple(query), body, float(given.get("timeout_s") or TIMEOUT_S)),
    )
    if isinstance(answer, Failed):
        return answer
    read = answer.json() if answer.raw else None
    return answer.text if isinstance(read, Failed) else read


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def told(content: Json) -> Json:
    """Return what a model is told of an answer: all of it, or its beginning."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    if len(text) <= ANSWER_CHARACTERS_MAX:
        return content
    return f"{text[:ANSWER_CHARACTERS_MAX]}… (cut: {len(text):,} characters in all)"
