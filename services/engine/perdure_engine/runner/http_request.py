"""EXTERNAL_ACTION HTTP_REQUEST: one request for each item.

The answer of an item is `{status, headers, body}`. A status of 400 or more is a failure of
that item, as are a refused address, a time-out and an answer above `BODY_BYTES_MAX`.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from perdure_common.outbound import AddressError, AllowList, resolve
from perdure_common.scrub import scrub_text
from perdure_contracts.engine import ErrorFacts

from perdure_engine.runner.failures import facts_of

BODY_BYTES_MAX = 256 * 1024
"""The largest answer that an event may carry; larger ones need the payload store."""

TIMEOUT_S = 30.0
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later (RFC 9110, 6585, 8470)."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
EXCERPT = 300


class AnswerTooLarge(Exception):
    """The answer has more bytes than may be kept."""


@dataclass(frozen=True)
class Failed:
    """One item failed."""

    error: ErrorFacts


async def request(
    client: httpx.AsyncClient,
    allowed: AllowList,
    parameters: Mapping[str, Any],
    idempotency_key: str,
) -> dict[str, Any] | Failed:
    """Send the request of one item and return its answer, or why there is none.

    `parameters` are resolved: method, url, headers, query, json | form | body, timeout_s,
    response (json, text), idempotency_header.
    """
    timeout_s = float(parameters.get("timeout_s") or TIMEOUT_S)
    method = str(parameters.get("method") or "GET").upper()
    dependency = ""
    try:
        url = httpx.URL(str(parameters.get("url", "")))
        if url.scheme not in ("http", "https") or not url.host:
            raise AddressError("invalid_url", f"{str(url)!r} is no http or https address")
        dependency = f"http:{url.host}"
        async with asyncio.timeout(timeout_s):
            pinned = await _pin(url, allowed)
            built = _build(client, method, url, pinned, parameters, idempotency_key)
            return await _exchange(client, built, parameters, dependency)
    except AddressError as error:
        retryable = error.code == "dns_failed"
        return Failed(
            facts_of(error, error.code, str(error), retryable=retryable, dependency=dependency)
        )
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        return Failed(facts_of(error, "invalid_parameters", str(error), retryable=False))
    except TimeoutError as error:
        text = f"no complete answer within {timeout_s:g} s"
        return Failed(
            facts_of(
                error, "read_timeout", text, retryable=True,
                dependency=dependency, effect_state="unknown",
            )
        )  # fmt: skip
    except (httpx.HTTPError, AnswerTooLarge) as error:
        return Failed(_transport_failure(error, dependency))


async def _pin(url: httpx.URL, allowed: AllowList) -> httpx.URL:
    """Return the URL with its host replaced by the address that was judged."""
    port = url.port or (443 if url.scheme == "https" else 80)
    address = await resolve(url.host, port, allowed)
    return url.copy_with(host=address)


def _build(
    client: httpx.AsyncClient,
    method: str,
    url: httpx.URL,
    pinned: httpx.URL,
    parameters: Mapping[str, Any],
    idempotency_key: str,
) -> httpx.Request:
    headers = {str(k): str(v) for k, v in dict(parameters.get("headers") or {}).items()}
    lower = {name.lower() for name in headers}
    headers["Host"] = url.netloc.decode("ascii").rpartition("@")[2]
    headers.setdefault("Accept-Encoding", "gzip, identity")
    key_header = parameters.get("idempotency_header")
    if key_header and str(key_header).lower() not in lower:
        headers[str(key_header)] = idempotency_key
    body: dict[str, Any] = {}
    if parameters.get("json") is not None:
        body["json"] = parameters["json"]
    elif parameters.get("form") is not None:
        body["data"] = {str(k): str(v) for k, v in dict(parameters["form"]).items()}
    elif parameters.get("body") is not None:
        body["content"] = str(parameters["body"]).encode()
    query = parameters.get("query")
    return client.build_request(
        method,
        pinned,
        headers=headers,
        params=dict(query) if query else None,
        timeout=None,
        extensions={"sni_hostname": url.host},
        **body,
    )


async def _exchange(
    client: httpx.AsyncClient,
    built: httpx.Request,
    parameters: Mapping[str, Any],
    dependency: str,
) -> dict[str, Any] | Failed:
    response = await client.send(built, stream=True)
    try:
        raw = await _read(response)
    finally:
        await response.aclose()
    text = raw.decode(response.encoding or "utf-8", errors="replace")
    if response.status_code >= 400:
        return Failed(_status_failure(response, text, dependency))
    headers = {name.lower(): value for name, value in response.headers.items()}
    answer: dict[str, Any] = {"status": response.status_code, "headers": headers}
    wanted = parameters.get("response") or ""
    is_json = "json" in response.headers.get("content-type", "")
    if raw and (wanted == "json" or (not wanted and is_json)):
        try:
            answer["body"] = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"the answer is no JSON: {error}; it begins {text[:80]!r}"
            return Failed(
                facts_of(
                    error, "output_invalid", message, retryable=False,
                    dependency=dependency, effect_state="done",
                )
            )  # fmt: skip
    else:
        answer["body"] = text
    return answer


async def _read(response: httpx.Response) -> bytes:
    """Return the body, unpacked, reading no more than is kept.

    Unpacking is done here and bounded: a small packed answer may hold gigabytes.
    """
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > BODY_BYTES_MAX:
        raise AnswerTooLarge(f"the answer has {int(declared):,} bytes")
    packed = response.headers.get("content-encoding", "identity").lower()
    if packed not in ("identity", "gzip", "deflate", ""):
        raise httpx.DecodingError(f"the answer is packed with {packed}, which was not asked for")
    unpack = zlib.decompressobj(wbits=47) if packed in ("gzip", "deflate") else None
    parts: list[bytes] = []
    size = 0
    async for chunk in _raw(response):
        plain = chunk
        if unpack is not None:
            try:
                plain = unpack.decompress(chunk, BODY_BYTES_MAX + 1 - size)
            except zlib.error as error:
                raise httpx.DecodingError(f"the answer cannot be unpacked: {error}") from error
        parts.append(plain)
        size += len(plain)
        if size > BODY_BYTES_MAX:
            raise AnswerTooLarge("the answer has more")
    return b"".join(parts)


async def _raw(response: httpx.Response) -> AsyncIterator[bytes]:
    async for chunk in response.aiter_raw():
        yield chunk


def _status_failure(response: httpx.Response, text: str, dependency: str) -> ErrorFacts:
    status = response.status_code
    excerpt = " ".join(text.split())[:EXCERPT]
    message = f"{dependency.partition(':')[2]} answered {status} {response.reason_phrase}".strip()
    return ErrorFacts(
        type="http_status",
        message=scrub_text(f"{message}: {excerpt}" if excerpt else message),
        retryable=status in RETRYABLE,
        codes=_codes(text),
        status_code=status,
        retry_after_s=_retry_after(response.headers.get("retry-after")),
        stage="run",
        dependency=dependency,
        effect_state="unknown" if status >= 500 or status == 408 else "refused",
    )


def _codes(text: str) -> tuple[str, ...]:
    """Return what the other side's body calls its error, most specific first."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    found: list[str] = []
    error = body.get("error") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    places: list[Any] = [error, body]
    for place in places:
        if isinstance(place, str):
            found.append(place)
        elif isinstance(place, dict):
            for key in ("code", "error_code", "reason", "type", "status"):
                value: Any = place.get(key)  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
                if isinstance(value, str):
                    found.append(value)
    return tuple(dict.fromkeys(code[:80] for code in found))[:6]


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that Retry-After asks to wait (RFC 9110, 10.2.3), None if unreadable."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _transport_failure(error: Exception, dependency: str) -> ErrorFacts:
    """Return the facts of a request that got no usable answer."""
    host = dependency.partition(":")[2]
    if isinstance(error, AnswerTooLarge):
        text = f"{error}; at most {BODY_BYTES_MAX:,} bytes are kept: ask {host} for less"
        return facts_of(
            error, "response_too_large", text, retryable=False,
            dependency=dependency, effect_state="done",
        )  # fmt: skip
    if isinstance(error, httpx.ConnectError):
        tls = "ssl" in str(error).lower() or "certificate" in str(error).lower()
        code = "tls_failed" if tls else "connect_failed"
        text = f"{host} cannot be reached: {error}"
        return facts_of(error, code, text, retryable=not tls, dependency=dependency)
    if isinstance(error, httpx.PoolTimeout):
        return facts_of(error, "resource_exhausted", "all connections are in use", retryable=True)
    code = "connection_reset" if isinstance(error, httpx.NetworkError | httpx.ProtocolError) else (
        "output_invalid" if isinstance(error, httpx.DecodingError) else "network"
    )  # fmt: skip
    text = f"the exchange with {host} broke off: {error or type(error).__name__}"
    return facts_of(
        error, code, text, retryable=code != "output_invalid",
        dependency=dependency, effect_state="unknown",
    )  # fmt: skip
