"""The requests that an HTTP_REQUEST can make beside its own: to look what it did, and to undo it.

A request without a key may have had its effect though no answer came. With `verify` it is asked
first whether it has, before it is sent again; with `compensate` what it did is undone when it is
given up. Both are declared by the author, resolved with the node's own parameters, and use its
authentication.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from .base import Fault, Parameter, Parameters
from .mending import UNDOES, Mending, Resolved

REPEATABLE: Final = ("PUT", "DELETE")
"""Methods that may be sent twice (RFC 9110, 9.2.2) and change something."""

BODIES: Final = ("json", "form", "body", "file")
"""The ways to send something; a request has one body."""

SHARED: Final = ("auth", "credential", "timeout_s")
"""What a request beside takes from the node."""

URL = Parameter("url", "text", "The address.", optional=False, expressions=True)
HEADERS = Parameter("headers", "object", "Headers: `{name: text}`.", expressions=True)
QUERY = Parameter("query", "object", "Added to the address.", expressions=True)

VERIFY = Parameter(
    "verify",
    "object",
    "A GET that tells whether the request has had its effect; asked before it is sent again.",
    expressions=True,
    entries=(
        URL,
        HEADERS,
        QUERY,
        Parameter("found", "text", "Where the answer says so; without it any answer but 404 does."),
    ),
)

COMPENSATE = Parameter(
    "compensate",
    "object",
    "The request that undoes this one, sent when recovery gives the node up.",
    expressions=True,
    entries=(
        Parameter("method", "text", "By default POST.", choices=("POST", "PATCH", *REPEATABLE)),
        URL,
        HEADERS,
        QUERY,
        Parameter("json", "any", "A body sent as JSON.", expressions=True),
        Parameter("form", "object", "A body sent as a form.", expressions=True),
        Parameter("body", "text", "A body sent as it is.", expressions=True),
        Parameter("idempotency_header", "text", "The header that carries a key of its own."),
    ),
)


def undo(parameters: Resolved) -> Resolved | None:
    """Return the request that undoes what one did; one that does so already is what it is."""
    if UNDOES in parameters:
        return parameters
    declared = parameters.get("compensate")
    if not isinstance(declared, dict):
        return None
    shared = {name: parameters[name] for name in SHARED if parameters.get(name) is not None}
    return {"method": "POST", **shared, **cast("dict[str, Any]", declared), UNDOES: True}


def look(parameters: Resolved) -> dict[str, Any] | None:
    """Return the request that looks whether one has had its effect, None if none is declared."""
    declared = parameters.get("verify")
    if not isinstance(declared, dict):
        return None
    shared = {name: parameters[name] for name in SHARED if parameters.get(name) is not None}
    return {**shared, **cast("dict[str, Any]", declared), "method": "GET"}


MENDING: Final = Mending(undo=undo)


def faults(parameters: Parameters) -> Iterable[Fault]:
    """Find what is wrong with the requests beside."""
    for name in ("verify", "compensate"):
        declared: Any = parameters.get(name)
        if isinstance(declared, dict):
            yield from request_faults(cast("dict[str, Any]", declared), f"{name}.")
    declared = parameters.get("compensate")
    if isinstance(declared, dict):
        yield from _undo_faults(cast("dict[str, Any]", declared))


def request_faults(declared: Mapping[str, Any], at: str = "") -> Iterable[Fault]:
    """Find what is wrong with any request; `at` is where its parameters stand."""
    url = declared.get("url")
    if isinstance(url, str) and "{{" not in url and not url.startswith(("http://", "https://")):
        text = f"`url` is {url[:80]!r}; it must begin with http:// or https://"
        yield Fault("invalid_parameter", f"{at}url", text)
    given = [each for each in BODIES if each in declared]
    if len(given) > 1:
        text = f"a request has one body, but {' and '.join(given)} are set; keep one of them"
        yield Fault("invalid_parameter", f"{at}{given[1]}", text)
    header = declared.get("idempotency_header")
    if isinstance(header, str) and not header.strip():
        text = "`idempotency_header` must be the name of a header, such as Idempotency-Key"
        yield Fault("invalid_parameter", f"{at}idempotency_header", text)


def _undo_faults(declared: Mapping[str, Any]) -> Iterable[Fault]:
    method = declared.get("method", "POST")
    keyed = bool(declared.get("idempotency_header"))
    if isinstance(method, str) and method not in REPEATABLE and not keyed:
        text = (
            f"a compensation may be sent more than once, and a {method} has no key against that: "
            "set `idempotency_header`, or use PUT or DELETE"
        )
        yield Fault("invalid_parameter", "compensate.method", text)
