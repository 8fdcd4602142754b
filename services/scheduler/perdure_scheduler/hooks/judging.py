"""The checks of a request up to its signature, in the one order that the rules give them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import structlog

from .asked import Asked
from .reply import Refusal
from .routes import Route
from .tools import Tools
from .verify import Headers, SecretMissing, one, security_headers, verified

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

BODY_S = 30.0
"""How long a body may take to arrive."""

LEFT_OUT_SHOWN = 20
"""How many triggers that have had their number a line of the log names."""

TRUNCATED = "perdure.truncated"
"""The key of a scope whose body ended before it was whole."""

log = structlog.get_logger(__name__)


class Gone(Exception):
    """Whoever sent the request has hung up."""


async def candidates(tools: Tools, asked: Asked) -> Sequence[Route]:
    """Return who may take the request: one WEBHOOK trigger, or all of one service."""
    if asked.test:
        routes = await tools.trials.of(asked.path)
    else:
        routes = await tools.routes.of(asked.path)
    if not routes:
        raise nobody()
    fitting = [route for route in routes if asked.method in route.methods]
    if not fitting:
        allowed = ", ".join(sorted({each for route in routes for each in route.methods}))
        raise Refusal(405, "method_not_allowed", f"send {allowed} to this path", {"allow": allowed})
    first = fitting[0]
    if first.subtype == "WEBHOOK":
        wait_s = _wait_s(tools, asked, first, time.monotonic())
        fitting = [first]
    else:
        fitting = [route for route in fitting if route.subtype == first.subtype]
        wait_s = tools.rates.wait_s(asked.source, time.monotonic(), _most_of(tools, fitting))
    if wait_s:
        raise _too_many(wait_s)
    return fitting


def _wait_s(tools: Tools, asked: Asked, route: Route, now: float) -> float:
    """Count a request for a trigger: by itself if it has a rate, else with others of its path."""
    rate = tools.caps.rate_of(route.config)
    counted = asked.source if rate is None else f"{asked.source} {'/'.join(route.node)}"
    return tools.rates.wait_s(counted, now, rate)


def _most_of(tools: Tools, routes: Sequence[Route]) -> int:
    """Return how many requests a minute are judged on a path that triggers share, 0 for any.

    Whom a request is for is not known before it has proved itself: the path takes as many as the
    one that takes most, so that nobody is slowed by another's number.
    """
    own = [rate for route in routes if (rate := tools.caps.rate_of(route.config)) is not None]
    return max((tools.rates.per_minute, *own)) if tools.rates.per_minute else 0


def in_turn(tools: Tools, asked: Asked, routes: Sequence[Route]) -> list[Route]:
    """Return the triggers of a shared path that may have one more request this minute.

    Each with a rate of its own is counted by itself; the others of the path are counted together.

    Raises:
        Refusal: None may; it says when the first of them may again.
    """
    now = time.monotonic()
    right: list[Route] = []
    left_out: list[Route] = []
    waits_s: list[float] = []
    together_s: float | None = None
    for route in routes:
        if tools.caps.rate_of(route.config) is not None:
            wait_s = _wait_s(tools, asked, route, now)
        else:
            if together_s is None:
                together_s = tools.rates.wait_s(f"{asked.source} together", now)
            wait_s = together_s
        if wait_s:
            waits_s.append(wait_s)
        (left_out if wait_s else right).append(route)
    if not right:
        raise _too_many(min(waits_s))
    if left_out:
        tools.metrics.left_out(left_out[0].subtype, len(left_out))
        nodes = [list(route.node) for route in left_out[:LEFT_OUT_SHOWN]]
        log.info("hook_left_out", path=asked.path, nodes=nodes, count=len(left_out))
    return right


def most_bytes(tools: Tools, routes: Sequence[Route]) -> int:
    """Return how large the body may be for one of the triggers, in bytes."""
    return max(tools.caps.body_bytes_of(route.config) or tools.bytes_max for route in routes)


def small_enough(tools: Tools, asked: Asked, routes: Sequence[Route]) -> Sequence[Route]:
    """Return the triggers that take a body as large as this one.

    Raises:
        Refusal: None does.
    """
    right = [route for route in routes if len(asked.body) <= most_bytes(tools, (route,))]
    if not right:
        raise _too_large(most_bytes(tools, routes))
    return right


async def whole_body(scope: Message, receive: Receive, headers: Headers, most: int) -> bytes:
    """Return the body.

    Raises:
        Refusal: It has more than `most` bytes, is too slow, or ends before it is whole.
        Gone: Nobody is there any more.
    """
    declared = one(headers, b"content-length")
    if declared and int(declared) > most:
        raise _too_large(most)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] != "http.request":
        try:
            async with asyncio.timeout(BODY_S):
                body = await _rest(message, receive, most)
        except TimeoutError:
            raise Refusal(
                408, "too_slow", f"the body did not arrive within {BODY_S:.0f} s"
            ) from None
    if len(body) > most:
        raise _too_large(most)
    if scope.get(TRUNCATED) or (declared and len(body) != int(declared)):
        raise Refusal(
            400,
            "truncated",
            "the body ends before it is whole, or is not framed as HTTP says; send all of it again",
        )
    return body


async def _rest(message: Message, receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > most:
            raise _too_large(most)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def proved(tools: Tools, asked: Asked, routes: Sequence[Route]) -> Sequence[Route]:
    """Return the triggers that the request has proved itself to; each judges by itself."""
    fields: dict[str, Mapping[str, str]] = {}
    missing: list[str] = []
    for handle in dict.fromkeys(route.config.get("credential") or "" for route in routes):
        try:
            fields[handle] = await tools.secrets.of(handle or None)
        except SecretMissing as error:
            missing.append(str(error))
    for name in {n for route in routes for n in security_headers(route.config)}:
        if len(asked.headers.get(name, ())) > 1 and fields:
            raise Refusal(
                400, "repeated_header", f"the header {name.decode()} may be there once only"
            )
    now_s = int(time.time())
    right: list[Route] = []
    verdicts: dict[str, bool] = {}
    for route in routes:
        handle = route.config.get("credential") or ""
        known = fields.get(handle)
        if known is None:
            continue
        # Triggers of one service differ by their credential alone.
        if handle not in verdicts:
            try:
                verdicts[handle] = verified(route.config, known, asked.headers, asked.body, now_s)
            except SecretMissing as error:
                missing.append(str(error))
                del fields[handle]
                continue
        if verdicts[handle]:
            right.append(route)
    if right:
        return right
    if not verdicts:
        log.error("hook_secret_missing", path=asked.path, reasons=missing)
        raise Refusal(
            503,
            "secret_missing",
            "what the request must be verified by is missing here; come again later",
            {"retry-after": "60"},
        )
    raise Refusal(
        401,
        "not_verified",
        "the request does not prove that it comes from who may send it: a signature, token "
        "or time is missing, wrong or too old",
    )


def nobody() -> Refusal:
    """Return the refusal of a path that nobody has."""
    return Refusal(404, "no_such_path", "nobody listens under this path")


def _too_many(wait_s: float) -> Refusal:
    after = str(int(wait_s) + 1)
    return Refusal(429, "too_many_requests", f"come again in {after} s", {"retry-after": after})


def _too_large(most: int) -> Refusal:
    # The connection stays: closed with bytes unread, it would take the answer with it. What still
    # comes is thrown away by the server.
    return Refusal(413, "body_too_large", f"the body has more than {most:,} bytes; send less")
