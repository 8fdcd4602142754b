"""TOOL HTTP: lets an agent send an HTTP request, with arguments that the model gives.

Connect it to an agent by AI_TOOL. `{name}` in the address is replaced by that argument, escaped;
the other arguments are sent as `send` says: in the query, as JSON, or as a form (by default the
query for GET, HEAD and OPTIONS, else JSON). `query` and `headers` are the author's own, and the
model cannot change them; expressions in them see the agent's item.

The model is told the answer's body, or why there is none, and may go on. GET, HEAD and OPTIONS may
be repeated; other methods only where `idempotency_header` names the header that carries a key, the
same whenever the same call is made again. Without it a call of which nobody knows whether it
happened stops the agent.
"""

import re
from collections.abc import Iterable
from typing import Any, cast

from perdure_contracts.engine import EffectClass

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults
from .external_action_http_request import METHODS
from .external_action_http_request import effect as effect_of_request
from .tools import SEEN, arguments_of, check_seen

TIMEOUT_S = 30.0
PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""Where an argument stands in the address."""

SENDS = ("query", "json", "form")


def effect(parameters: Parameters) -> EffectClass:
    """Return what a repetition of a call costs: the method and an idempotency header decide."""
    return effect_of_request(parameters)


def places_of(url: str) -> tuple[str, ...]:
    """Return the arguments that stand in an address."""
    return tuple(PLACE.findall(url))


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from check_seen(parameters)
    yield from handle_faults(parameters)
    url = parameters.get("url")
    if not isinstance(url, str):
        return
    if "{{" not in url and not url.startswith(("http://", "https://")):
        text = f"`url` is {url[:80]!r}; it must begin with http:// or https://"
        yield Fault("invalid_parameter", "url", text)
    host = url.partition("://")[2].partition("/")[0]
    if "{{" not in host and PLACE.search(host):
        text = "the model must not choose the server: put arguments behind the first `/`"
        yield Fault("invalid_parameter", "url", text)
    known = cast("dict[str, Any]", arguments_of(parameters).get("properties") or {})
    bare = re.sub(r"\{\{.*?\}\}", "", url, flags=re.DOTALL)
    for name in places_of(bare):
        if name not in known:
            text = f"`url` has {{{name}}}, but `arguments` has no property {name!r}"
            yield Fault("invalid_parameter", "url", text)
    kind = parameters.get("credential_as")
    if kind is not None and parameters.get("credential") is None:
        yield Fault("missing_parameter", "credential", "`credential_as` needs `credential`")


SPECIFICATION = NodeSpecification(
    node_type="TOOL",
    subtype="HTTP",
    summary="Lets an agent send an HTTP request, with arguments that the model gives.",
    place="attached",
    parameters=(
        *SEEN,
        Parameter("method", "text", "The method.", default="GET", choices=METHODS),
        Parameter(
            "url", "text", "The address, with {argument}s.", optional=False, expressions=True
        ),
        Parameter("headers", "object", "Headers: `{name: text}`.", expressions=True),
        Parameter("query", "object", "Added to the address.", expressions=True),
        Parameter("send", "text", "Where the model's arguments go.", choices=SENDS),
        credential("the fields that `credential_as` needs"),
        Parameter(
            "credential_as",
            "text",
            "How the credential is shown: `bearer` (`token`), `basic` (`username`, `password`), "
            "`header` or `query` (`name`, `value`).",
            choices=("bearer", "basic", "header", "query"),
        ),
        Parameter(
            "idempotency_header",
            "text",
            "The header that carries the idempotency key; with it a repetition is harmless.",
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
    effect=effect,
    check=_check,
    example={
        "name": "find_order",
        "description": "Finds an order by its number; answers its state and date.",
        "arguments": {
            "type": "object",
            "properties": {"number": {"type": "string"}},
            "required": ["number"],
        },
        "url": "https://api.example.com/orders/{number}",
        "credential": "shop",
        "credential_as": "bearer",
    },
    errors=("http_status", "read_timeout", "connect_failed", "connection_reset", "output_invalid"),
)
