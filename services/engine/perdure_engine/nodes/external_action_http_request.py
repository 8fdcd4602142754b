"""EXTERNAL_ACTION HTTP_REQUEST: what it takes and what a repetition costs; the runner runs it."""

from collections.abc import Iterable
from typing import Any, Literal

from perdure_contracts.engine import EffectClass

from .base import SHORT_S_MAX, Fault, NodeSpecification, Parameter, Parameters

TIMEOUT_S = 30.0
"""The limit of one request where the author sets none."""

TIMEOUT_S_MAX = 3_600.0
"""The longest limit that a request may be given."""

PURE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1); TRACE is not sent."""

METHODS = (*PURE_METHODS, "POST", "PUT", "PATCH", "DELETE")

BODIES = ("json", "form", "body")
"""The parameters that make a request's body; one of them at most."""

RESPONSES = ("json", "text")
"""How an answer may be read; without a choice its content type decides."""


def effect(parameters: Parameters) -> EffectClass:
    """Return what a repetition costs (rule 29): the method and an idempotency header decide."""
    if str(parameters.get("method", "GET")).upper() in PURE_METHODS:
        return "pure"
    return "keyed" if parameters.get("idempotency_header") else "unsafe"


def attempt_timeout_s(parameters: Parameters) -> float:
    """Return the limit of one request in seconds; an expression has the longest one."""
    value: Any = parameters.get("timeout_s", TIMEOUT_S)
    return float(value) if isinstance(value, int | float) else TIMEOUT_S_MAX


def length(parameters: Parameters, timeout_s: float | None) -> Literal["short", "long"]:
    """Return `short` where the node's own limit, else the request's, is at most 30 s."""
    limit = attempt_timeout_s(parameters) if timeout_s is None else timeout_s
    return "short" if limit <= SHORT_S_MAX else "long"


def _check(parameters: Parameters) -> Iterable[Fault]:
    url = parameters.get("url")
    if isinstance(url, str) and "{{" not in url and not url.startswith(("http://", "https://")):
        yield Fault(
            "invalid_parameter",
            "url",
            f"`url` is {url[:80]!r}; it must begin with http:// or https://",
        )
    given = [name for name in BODIES if name in parameters]
    if len(given) > 1:
        yield Fault(
            "invalid_parameter",
            given[1],
            f"a request has one body, but {' and '.join(given)} are set; keep one of them",
        )
    header = parameters.get("idempotency_header")
    if isinstance(header, str) and not header.strip():
        yield Fault(
            "invalid_parameter",
            "idempotency_header",
            "`idempotency_header` must be the name of a header, such as Idempotency-Key",
        )


SPECIFICATION = NodeSpecification(
    node_type="EXTERNAL_ACTION",
    subtype="HTTP_REQUEST",
    summary="Sends one HTTP request for each item; the answer is `{status, headers, body}`.",
    place="runner",
    parameters=(
        Parameter("method", "text", "The method.", default="GET", choices=METHODS),
        Parameter("url", "text", "The address, http or https.", optional=False, expressions=True),
        Parameter("headers", "object", "Headers: `{name: text}`.", expressions=True),
        Parameter("query", "object", "The query: `{name: value}`.", expressions=True),
        Parameter("json", "any", "A body sent as JSON.", expressions=True),
        Parameter("form", "object", "A body sent as a form.", expressions=True),
        Parameter("body", "text", "A body sent as it is.", expressions=True),
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
            most=TIMEOUT_S_MAX,
        ),
        Parameter("response", "text", "How the answer is read.", choices=RESPONSES),
    ),
    effect=effect,
    length=length,
    attempt_timeout_s=attempt_timeout_s,
    check=_check,
    later=("auth", "pagination"),
    example={"method": "GET", "url": "https://api.example.com/orders/{{ $json.id }}"},
    errors=("http_status",),
)
