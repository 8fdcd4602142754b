"""TOOL MCP: lets an agent call the tools of an MCP server, by streamable HTTP.

Connect it to an agent by AI_TOOL. The agent asks the server for its tools before the model is asked
first, and the model may call those that `tools` names, or all of them (100 at most). It sees them
by their own names behind `prefix`; characters that models do not take become `_`. What they are and
do is the server's word: name only servers that you trust. What the server offered stands in the
agent's journal, so an attempt that goes on sees the same.

Nothing is known of what a repetition of a call costs, whatever the server hints: of a call of which
nobody knows whether it happened the agent stops (`effect_unknown`), unless `repeatable` names the
tool. Servers that are programs on the runner's machine (stdio) are not started.
"""

from collections.abc import Iterable
from typing import Any, cast

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults
from .tools import CALLS_MAX, check_seen

TIMEOUT_S = 30.0
TOOLS_MAX = 100
"""Tools of one server that a model is told of."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from check_seen({"approval": parameters.get("approval")})
    yield from handle_faults(parameters)
    url = parameters.get("url")
    if isinstance(url, str) and "{{" not in url and not url.startswith(("http://", "https://")):
        text = f"`url` is {url[:80]!r}; it must begin with http:// or https://"
        yield Fault("invalid_parameter", "url", text)
    if parameters.get("credential_as") is not None and parameters.get("credential") is None:
        yield Fault("missing_parameter", "credential", "`credential_as` needs `credential`")
    offered, repeatable = parameters.get("tools"), parameters.get("repeatable")
    if isinstance(offered, list) and isinstance(repeatable, list):
        names = cast("list[Any]", offered)
        for at, each in enumerate(cast("list[Any]", repeatable)):
            if each not in names:
                text = f"{str(each)[:80]!r} is not among `tools`"
                yield Fault("invalid_parameter", f"repeatable[{at}]", text)


SPECIFICATION = NodeSpecification(
    node_type="TOOL",
    subtype="MCP",
    summary="Lets an agent call the tools of an MCP server.",
    place="attached",
    parameters=(
        Parameter("url", "text", "The server's endpoint.", optional=False, expressions=True),
        Parameter(
            "tools",
            "list",
            "The tools that the model may call, by the server's names; by default all.",
            of="text",
            least=1,
            most=TOOLS_MAX,
        ),
        Parameter("prefix", "text", "What stands before each name that the model sees."),
        Parameter("repeatable", "list", "The tools whose calls may be made again.", of="text"),
        Parameter(
            "calls_max",
            "integer",
            "How often an agent may call each of them for one item.",
            default=CALLS_MAX,
            least=1,
            most=1_000,
        ),
        Parameter(
            "approval",
            "any",
            "Whether a person must allow each call: `true`, or whom to ask and how.",
        ),
        Parameter("headers", "object", "Headers: `{name: text}`.", expressions=True),
        credential("the fields that `credential_as` needs"),
        Parameter(
            "credential_as",
            "text",
            "How the credential is shown: `bearer` (`token`), `basic` (`username`, `password`), "
            "`header` or `query` (`name`, `value`).",
            choices=("bearer", "basic", "header", "query"),
        ),
        Parameter(
            "timeout_s",
            "number",
            "The limit of one request, in seconds.",
            default=TIMEOUT_S,
            least=0.1,
            most=300,
        ),
    ),
    inputs=(),
    outputs=lambda parameters: (),
    effect=lambda parameters: "unsafe",
    check=_check,
    example={
        "url": "https://mcp.example.com/mcp",
        "tools": ["search_issues", "create_issue"],
        "repeatable": ["search_issues"],
        "credential": "tracker",
        "approval": {"assignees": ["support"]},
    },
    errors=("http_status", "read_timeout", "connect_failed", "connection_reset", "output_invalid"),
)
