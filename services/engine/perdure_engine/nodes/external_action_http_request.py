"""EXTERNAL_ACTION HTTP_REQUEST: sends one HTTP request for each item.

The answer is `{status, headers, body}`. A status of 400 or more fails the item, and so do a
time-out and an answer above 5 MB. JSON must be what RFC 8259 says, with at most 200 levels.
`Retry-After` is waited for before it is tried again, by the server's clock, 31 days at most. With
`response: file`, or without `response` if the answer's content type is no text, the answer's body
becomes a file of the item, `data` or as `response_file` says, and `body` is `{file, bytes,
content_type}`. A file of the item is sent with `file: {file: data}`, or among the fields of a
`form`, which is sent in parts then; so are bytes in text, as `{base64, content_type, filename}`.
Redirections are not followed.

GET, HEAD and OPTIONS may be repeated; other methods only where `idempotency_header` names the
header that carries a key, the same in every attempt. Addresses that are not public must be
allowed by the operator (`PERDURE_HTTP_ALLOW`).

A `credential` gives what `auth` leaves out, and stands in no journal: `token` for `bearer` (which
is meant without `auth`), `username` and `password` for `basic`, `name` and `value` for the others.

A request that may have had its effect is not sent again by itself. With `verify` it may be: a GET
looks first. 404 or 410 says that nothing happened, and so does nothing at `found` (none, false or
empty); otherwise its answer is the item's, with `verified: true`. With `compensate` recovery has
the effect undone before it gives the node up, which then fails as it would have: `DELETE` or `PUT`,
or a key of its own in `idempotency_header`. Both see the item, not the answer.

With `pagination` all pages are asked for, and `body` is the list of their entries, beside
`pages` and `complete` (false where more than `pages_max` would come). `link` follows the
header Link, or the address that `next` leads to, on the same server; `page` counts up until a
page is empty; `cursor` sends what `cursor` leads to in the page before.
"""

from collections.abc import Iterable
from typing import Any, Literal, cast

from perdure_contracts.engine import EffectClass

from . import requests_beside
from .base import SHORT_S_MAX, Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults

TIMEOUT_S = 30.0
"""The limit of one request where the author sets none."""

TIMEOUT_S_MAX = 3_600.0
"""The longest limit that a request may be given."""

PURE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1); TRACE is not sent."""

METHODS = (*PURE_METHODS, "POST", "PUT", "PATCH", "DELETE")

RESPONSES = ("json", "text", "file")
"""How an answer may be read; without a choice its content type decides."""


AUTH_KINDS = {
    "basic": ("username", "password"),
    "bearer": ("token",),
    "header": ("name", "value"),
    "query": ("name", "value"),
}
"""What each kind of authentication needs."""

PAGINATION_KINDS = ("link", "page", "cursor")

PAGES_MAX = 10
"""The most pages that are asked for where the author sets none."""

PAGES_MOST = 100
"""The most pages that the author may ask for."""


def effect(parameters: Parameters) -> EffectClass:
    """Return what a repetition costs (rule 29): the method and an idempotency header decide."""
    if str(parameters.get("method", "GET")).upper() in PURE_METHODS:
        return "pure"
    if parameters.get("idempotency_header"):
        return "keyed"
    return "verify_first" if parameters.get("verify") else "unsafe"


def attempt_timeout_s(parameters: Parameters) -> float:
    """Return the limit of all requests of an item in seconds."""
    value: Any = parameters.get("timeout_s", TIMEOUT_S)
    each = float(value) if isinstance(value, int | float) else TIMEOUT_S_MAX
    return min(each * _pages(parameters), TIMEOUT_S_MAX)


def _pages(parameters: Parameters) -> int:
    pagination: Any = parameters.get("pagination")
    if not isinstance(pagination, dict):
        return 1
    most: Any = cast("dict[str, Any]", pagination).get("pages_max", PAGES_MAX)
    return most if isinstance(most, int) else PAGES_MAX


def length(parameters: Parameters, timeout_s: float | None) -> Literal["short", "long"]:
    """Return `short` where the node's own limit, else the request's, is at most 30 s."""
    limit = attempt_timeout_s(parameters) if timeout_s is None else timeout_s
    return "short" if limit <= SHORT_S_MAX else "long"


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from requests_beside.request_faults(parameters)
    yield from handle_faults(parameters)
    yield from requests_beside.faults(parameters)
    if parameters.get("credential") is None:
        yield from _check_auth(parameters.get("auth"))
    pagination: Any = parameters.get("pagination")
    if isinstance(pagination, dict):
        pages = cast("dict[str, Any]", pagination)
        if pages.get("kind") == "cursor" and not pages.get("cursor"):
            text = "`kind: cursor` needs `cursor`: where the next cursor stands in a page"
            yield Fault("missing_parameter", "pagination.cursor", text)
        if str(parameters.get("method", "GET")).upper() not in PURE_METHODS:
            text = "only GET, HEAD and OPTIONS can be asked for page after page"
            yield Fault("invalid_parameter", "pagination", text)


def _check_auth(auth: Any) -> Iterable[Fault]:
    if not isinstance(auth, dict):
        return
    given = cast("dict[str, Any]", auth)
    kind = given.get("kind")
    for name in AUTH_KINDS.get(kind, ()) if isinstance(kind, str) else ():
        if given.get(name) is None:
            yield Fault("missing_parameter", f"auth.{name}", f"`kind: {kind}` needs `{name}`")


AUTH = Parameter(
    "auth",
    "object",
    "How the request is authenticated.",
    expressions=True,
    entries=(
        Parameter("kind", "text", "How.", optional=False, choices=tuple(AUTH_KINDS)),
        Parameter("username", "text", "For `basic`.", expressions=True),
        Parameter("password", "text", "For `basic`.", expressions=True),
        Parameter("token", "text", "For `bearer`.", expressions=True),
        Parameter("name", "text", "Of the header or the query parameter.", expressions=True),
        Parameter("value", "text", "Of the header or the query parameter.", expressions=True),
    ),
)

PAGINATION = Parameter(
    "pagination",
    "object",
    "How all pages of an answer are asked for.",
    entries=(
        Parameter("kind", "text", "How.", optional=False, choices=PAGINATION_KINDS),
        Parameter("items", "text", "Where a page's list stands; none: the page is the list."),
        Parameter("next", "text", "Where the next page's address stands, for `link`."),
        Parameter("cursor", "text", "Where the next cursor stands, for `cursor`."),
        Parameter("parameter", "text", "The query parameter; by default `page` or `cursor`."),
        Parameter("first", "integer", "The first page's number; by default 1.", least=0),
        Parameter("pages_max", "integer", f"By default {PAGES_MAX}.", least=1, most=PAGES_MOST),
    ),
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
        Parameter(
            "query", "object", "Added to the address: `{name: value or list}`.", expressions=True
        ),
        Parameter("json", "any", "A body sent as JSON.", expressions=True),
        Parameter("form", "object", "A body sent as a form.", expressions=True),
        Parameter("body", "text", "A body sent as it is.", expressions=True),
        Parameter(
            "file",
            "any",
            "A file as the body: `{file}`, its name in the item; or `{base64, content_type}`.",
            expressions=True,
        ),
        AUTH,
        credential("what `auth` leaves out"),
        PAGINATION,
        Parameter(
            "idempotency_header",
            "text",
            "The header that carries the idempotency key; with it a repetition is harmless.",
        ),
        requests_beside.VERIFY,
        requests_beside.COMPENSATE,
        Parameter(
            "timeout_s",
            "number",
            "The limit of one request, in seconds.",
            default=TIMEOUT_S,
            least=0.1,
            most=TIMEOUT_S_MAX,
        ),
        Parameter("response", "text", "How the answer is read.", choices=RESPONSES),
        Parameter("response_file", "text", "What its file is called; by default `data`."),
    ),
    effect=effect,
    length=length,
    attempt_timeout_s=attempt_timeout_s,
    check=_check,
    mending=requests_beside.MENDING,
    example={
        "method": "POST",
        "url": "https://api.example.com/orders/{{ $json.id }}/notes",
        "json": {"text": "{{ $json.note }}"},
        "credential": "shop",
        "idempotency_header": "Idempotency-Key",
        "compensate": {
            "method": "DELETE",
            "url": "https://api.example.com/orders/{{ $json.id }}/notes/{{ $json.note_id }}",
        },
    },
    errors=(
        *("http_status", "read_timeout", "connect_failed", "connection_reset", "tls_failed"),
        *("name_not_found", "dns_failed", "address_refused", "response_too_large"),
        *("output_invalid", "invalid_url", "invalid_parameters", "network"),
        *("credential_not_found", "credential_unreadable", "credential_incomplete"),
        *("credentials_off", "effect_unknown", "file_not_found", "file_gone"),
        *("file_too_large", "files_unreachable"),
    ),
)
