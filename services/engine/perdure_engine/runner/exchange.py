"""One HTTP exchange: the address is judged, the answer bounded, every failure typed.

What HTTP_REQUEST and the nodes of single services have in common. A status of 400 or more is
a failure, as are a refused address, a time-out and an answer above `BODY_BYTES_MAX`.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, cast

import httpx
from perdure_common.outbound import AddressError, AllowList, resolve
from perdure_common.scrub import scrub_text
from perdure_contracts.cloudevents import CloudEventError, parse_json
from perdure_contracts.engine import RETRY_AFTER_S_MAX, EffectState, ErrorFacts
from perdure_contracts.files import FileRef

from perdure_engine.runner.charsets import charset
from perdure_engine.runner.dependencies import of_address
from perdure_engine.runner.failures import Failed, facts_of
from perdure_engine.runner.pinning import Trace, pinned
from perdure_engine.runner.sending import Sending

BODY_BYTES_MAX = 5 * 1024 * 1024
"""The largest answer that is kept; what is large goes by the payload store."""

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later (RFC 9110, 6585, 8470)."""

RATE_CODES = frozenset(
    {"rate_limited", "ratelimited", "rateLimitExceeded", "userRateLimitExceeded"}
)
"""What services call a request that came too soon, whatever its status."""

CONNECT_SHARE = 0.9
"""Of a request's time, what its connection may take: a transport that gives up by itself closes
what it opened, one that is cancelled may not."""

EXCERPT = 300
CODES_MAX = 6


UNPACKED_BYTES = 256 * 1024
"""What is unpacked at once."""

PACKING_BYTES = 64 * 1024
"""What the packing of an answer may have beyond what is packed: heads, and data that is random."""


class AnswerTooLarge(Exception):
    """The answer has more bytes than may be kept; `most` are."""

    def __init__(self, message: str, most: int) -> None:
        super().__init__(message)
        self.most = most


class Sink(Protocol):
    """What takes the body of an answer as it comes, if it wants it."""

    @property
    def most(self) -> int:
        """How many bytes it takes."""
        ...

    def wants(self, headers: Mapping[str, str]) -> bool:
        """Tell whether it takes the body of the answer with these headers."""
        ...

    async def take(self, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> FileRef:
        """Take the body, and return what it is known by."""
        ...


@dataclass(frozen=True)
class Call:
    """A request. `body` has one of httpx's `json`, `data` (with `files`) and `content`, or nothing.

    `query` are pairs added to the URL's own.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back. The names of headers are in small letters. A body in a `file` is not raw."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    encoding: str
    dependency: str
    file: FileRef | None = None

    @property
    def text(self) -> str:
        """The body as text; bytes that are none are marked."""
        return self.raw.decode(self.encoding, errors="replace")

    def json(self) -> Any | Failed:
        """Return the body read as JSON that can be passed on, or the failure that it is none."""
        text = self.text.removeprefix("\ufeff")
        try:
            return parse_json(text, "the answer")
        except CloudEventError as error:
            message = f"{error}; it begins {text[:80]!r}"
            return Failed(
                facts_of(
                    error, "output_invalid", message, retryable=False,
                    dependency=self.dependency, effect_state="done",
                )
            )  # fmt: skip


async def exchange(
    client: httpx.AsyncClient, allowed: AllowList, call: Call, sink: Sink | None = None
) -> Answer | Failed:
    """Send a request and return the answer, or why there is none that can be used.

    The body of a good answer that the `sink` wants goes there, and not into memory.
    """
    dependency = ""
    sending = Sending()
    try:
        url = httpx.URL(call.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise AddressError("invalid_url", f"{str(url)!r} is no http or https address")
        dependency = of_address("http", call.url, url.host)
        async with asyncio.timeout(call.timeout_s):
            port = url.port or (443 if url.scheme == "https" else 80)
            address = await resolve(url.host, port, allowed)
            built = _build(client, call, url, pinned(address, sending.trace))
            return await _exchange(client, built, dependency, sink)
    except AddressError as error:
        retryable = error.code == "dns_failed"
        return Failed(
            facts_of(error, error.code, str(error), retryable=retryable, dependency=dependency)
        )
    except httpx.ConnectTimeout as error:
        return Failed(_timed_out(error, call, dependency, sending))
    except (httpx.InvalidURL, httpx.LocalProtocolError) as error:
        return Failed(_cannot_be_sent(error, "not_sent"))
    except (ValueError, TypeError) as error:  # of a value in the request, or a defect of ours
        return Failed(_cannot_be_sent(error, sending.effect_state))
    except TimeoutError as error:
        return Failed(_timed_out(error, call, dependency, sending))
    except (httpx.HTTPError, AnswerTooLarge) as error:
        return Failed(_transport_failure(error, dependency, sending))


def _build(client: httpx.AsyncClient, call: Call, url: httpx.URL, trace: Trace) -> httpx.Request:
    headers = dict(call.headers)
    headers["Host"] = url.netloc.decode("ascii").rpartition("@")[2]
    headers.setdefault("Accept-Encoding", "gzip, identity")
    return client.build_request(
        call.method,
        url.copy_merge_params(list(call.query)) if call.query else url,
        headers=headers,
        timeout=httpx.Timeout(None, connect=CONNECT_SHARE * call.timeout_s),
        extensions={"trace": trace},
        **call.body,
    )


async def _exchange(
    client: httpx.AsyncClient, built: httpx.Request, dependency: str, sink: Sink | None
) -> Answer | Failed:
    response = await client.send(built, stream=True)
    headers = {name.lower(): value for name, value in response.headers.items()}
    raw, file = b"", None
    try:
        if sink is not None and response.status_code < 400 and sink.wants(headers):
            file = await sink.take(headers, _plain(response, sink.most))
        else:
            raw = b"".join([part async for part in _plain(response, BODY_BYTES_MAX)])
    finally:
        await response.aclose()
    encoding = charset(response.encoding or "") or "utf-8"
    if response.status_code >= 400:
        text = raw.decode(encoding, errors="replace")
        return Failed(_status_failure(response, text, dependency))
    return Answer(
        status=response.status_code,
        headers=headers,
        raw=raw,
        encoding=encoding,
        dependency=dependency,
        file=file,
    )


async def _plain(response: httpx.Response, most: int) -> AsyncIterator[bytes]:
    """Yield the body, unpacked, reading no more than `most` bytes of it.

    Unpacking is done here and bounded: a small packed answer may hold gigabytes.
    """
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise AnswerTooLarge(f"the answer has {int(declared):,} bytes", most)
    packed = response.headers.get("content-encoding", "identity").lower()
    if packed not in ("identity", "gzip", "deflate", ""):
        raise httpx.DecodingError(f"the answer is packed with {packed}, which was not asked for")
    unpack = zlib.decompressobj(wbits=47) if packed in ("gzip", "deflate") else None
    size = came = 0
    async for chunk in response.aiter_raw():
        came += len(chunk)
        if came > most + PACKING_BYTES:
            raise AnswerTooLarge("the answer has more", most)
        for plain in (chunk,) if unpack is None else _unpacked(unpack, chunk):
            size += len(plain)
            if size > most:
                raise AnswerTooLarge("the answer has more", most)
            yield plain
    if unpack is not None and came and not unpack.eof:
        raise httpx.DecodingError("the packed answer has no end")


def _unpacked(unpack: Any, chunk: bytes) -> Iterator[bytes]:
    """Yield what is packed in a chunk, a little at a time."""
    while chunk:
        try:
            plain = unpack.decompress(chunk, UNPACKED_BYTES)
        except zlib.error as error:
            raise httpx.DecodingError(f"the answer cannot be unpacked: {error}") from error
        chunk = unpack.unconsumed_tail
        if not plain and not chunk:
            return
        yield plain


def _status_failure(response: httpx.Response, text: str, dependency: str) -> ErrorFacts:
    status = response.status_code
    excerpt = " ".join(text.split())[:EXCERPT]
    message = f"{dependency.partition(':')[2]} answered {status} {response.reason_phrase}".strip()
    codes = codes_of(text)
    # Its instants go by its own clock, and ours may have been set back.
    now = _instant(response.headers.get("date")) or datetime.now(UTC)
    retry_after_s = _retry_after(response.headers.get("retry-after"), now)
    if status in (403, 429) and response.headers.get("x-ratelimit-remaining") == "0":
        codes = ("rate_limited", *codes)
        retry_after_s = retry_after_s or _until(response.headers.get("x-ratelimit-reset"), now)
    return ErrorFacts(
        type="http_status",
        message=scrub_text(f"{message}: {excerpt}" if excerpt else message),
        retryable=status in RETRYABLE or not RATE_CODES.isdisjoint(codes),
        codes=codes[:CODES_MAX],
        status_code=status,
        retry_after_s=retry_after_s,
        stage="run",
        dependency=dependency,
        effect_state="unknown" if status >= 500 or status == 408 else "refused",
    )


def codes_of(text: str) -> tuple[str, ...]:
    """Return what the other side's body calls its error, most specific first."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(body, dict):
        return ()
    fields = cast("dict[str, Any]", body)
    error = fields.get("error")
    found: list[str] = []
    for place in (*_listed(error), *_listed(fields), error, fields):
        if isinstance(place, str):
            found.append(place)
        elif isinstance(place, dict):
            entry = cast("dict[str, Any]", place)
            for key in ("code", "error_code", "reason", "type", "status"):
                value = entry.get(key)
                if isinstance(value, str):
                    found.append(value)
    return tuple(dict.fromkeys(code[:80] for code in found))[:CODES_MAX]


def _listed(value: Any) -> list[Any]:
    """Return the entries of `errors`, which some bodies have inside."""
    errors = cast("dict[str, Any]", value).get("errors") if isinstance(value, dict) else None
    return cast("list[Any]", errors)[:CODES_MAX] if isinstance(errors, list) else []


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that Retry-After asks to wait (RFC 9110, 10.2.3), None if unreadable."""
    seconds = (value or "").strip()
    if seconds.isascii() and seconds.isdecimal():
        return _wait(float(seconds))
    at = _instant(value)
    return None if at is None else _wait((at - now).total_seconds())


def _until(value: str | None, now: datetime) -> float | None:
    """Return the seconds until a limit is lifted, given as seconds since 1970 (GitHub's way)."""
    if not value or not value.isdecimal() or len(value) > 12:
        return None
    return _wait(int(value) - now.timestamp())


def _instant(value: str | None) -> datetime | None:
    """Return the instant of a header, None if it names none."""
    try:
        at = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _wait(seconds: float) -> float:
    return min(max(0.0, seconds), RETRY_AFTER_S_MAX)


def _cannot_be_sent(error: Exception, effect_state: EffectState) -> ErrorFacts:
    text = f"the request cannot be sent: {error}"
    return facts_of(error, "invalid_parameters", text, retryable=False, effect_state=effect_state)


def _timed_out(error: Exception, call: Call, dependency: str, sending: Sending) -> ErrorFacts:
    code, what = (
        ("read_timeout", "complete answer") if sending.began else ("connect_timeout", "connection")
    )
    return facts_of(
        error, code, f"no {what} within {call.timeout_s:g} s", retryable=True,
        dependency=dependency, effect_state=sending.effect_state,
    )  # fmt: skip


def _transport_failure(error: Exception, dependency: str, sending: Sending) -> ErrorFacts:
    """Return the facts of a request that got no usable answer."""
    host = dependency.partition(":")[2]
    if isinstance(error, AnswerTooLarge):
        text = f"{error}; at most {error.most:,} bytes are kept: ask {host} for less"
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
        text = "all connections of this process are in use"
        return facts_of(error, "pool_timeout", text, retryable=True)  # the other side is innocent
    code = "connection_reset" if isinstance(error, httpx.NetworkError | httpx.ProtocolError) else (
        "output_invalid" if isinstance(error, httpx.DecodingError) else "network"
    )  # fmt: skip
    text = f"the exchange with {host} broke off: {error or type(error).__name__}"
    unreadable = code == "output_invalid"  # the answer came, whatever stands in it
    return facts_of(
        error, code, text, retryable=not unreadable,
        dependency=dependency, effect_state="done" if unreadable else sending.effect_state,
    )  # fmt: skip
