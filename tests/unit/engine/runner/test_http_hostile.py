"""Servers that mean harm: each answer is a typed failure, or is taken in a bounded way."""

import asyncio
import gzip
import json
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from answering_server import Server, ok
from perdure_common.outbound import AddressError, AllowList
from perdure_contracts.engine import RETRY_AFTER_S_MAX, ErrorFacts
from perdure_engine.runner import exchange as exchanging
from perdure_engine.runner.exchange import Answer, Call, exchange
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.pages import link_to_next
from perdure_engine.runner.pinning import pinned

LOCAL = AllowList.parse(["127.0.0.0/8"])


async def asked(client: httpx.AsyncClient, port: int, **more: Any) -> Answer | Failed:
    return await exchange(
        client, LOCAL, Call("POST", f"http://127.0.0.1:{port}/", timeout_s=20.0, **more)
    )


async def refused(client: httpx.AsyncClient, port: int) -> ErrorFacts:
    answer = await asked(client, port)
    assert isinstance(answer, Failed)
    return answer.error


async def read(client: httpx.AsyncClient, port: int) -> Any:
    answer = await asked(client, port)
    assert isinstance(answer, Answer)
    return answer.json()


BAD_JSON = {
    "NaN": b'{"a": NaN}',
    "Infinity": b"[-Infinity]",
    "a number beyond every double": b"[1e999]",
    "an integer of 5,000 digits": b"[" + b"7" * 5_000 + b"]",
    "an integer of 400 digits": b"[" + b"7" * 400 + b"]",
    "half a surrogate pair": b'["\\ud800"]',
    "half a surrogate pair as a key": b'{"\\udfff": 1}',
    "500 levels": b"[" * 500 + b"]" * 500,
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "nothing that is JSON": b"\x00\x00",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
async def test_json_that_nobody_could_pass_on_is_an_invalid_answer(
    server: tuple[Server, int], client: httpx.AsyncClient, body: bytes
) -> None:
    made, port = server
    made.answer = lambda asked: ok(body)
    answer = await read(client, port)
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.effect_state) == ("output_invalid", "done")


async def test_json_that_is_odd_and_harmless_is_read(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok(b'\xef\xbb\xbf{"a": 1, "a": 2, "b": "\\u0000"}')
    assert await read(client, port) == {"a": 2, "b": "\0"}


CHARSETS = ("hex", "rot13", "undefined", "idna", "punycode", "unicode_escape", "utf-7", "x" * 999)


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
async def test_a_charset_that_is_none_is_read_as_utf_8(
    server: tuple[Server, int], client: httpx.AsyncClient, charset: str, status: str
) -> None:
    made, port = server
    kind = f"text/plain; charset={charset}"
    made.answer = lambda asked: ok("grün \\ud800 +2AA-".encode(), kind, status=status)
    answer = await asked(client, port)
    if isinstance(answer, Failed):
        assert (answer.error.type, answer.error.status_code) == ("http_status", 400)
        assert "grün" in answer.error.message
    else:
        assert answer.text == "grün \\ud800 +2AA-"


async def test_a_charset_of_its_own_is_read_by_it(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok("grün".encode("latin-1"), "text/plain; charset=iso-8859-1")
    answer = await asked(client, port)
    assert isinstance(answer, Answer) and answer.text == "grün"


RETRY_AFTER: dict[str, float | None] = {
    "-5": None,
    "soon": None,
    "\N{ARABIC-INDIC DIGIT THREE}": None,
    "1e9": None,
    "Mon, 01 Jan 1900 00:00:00 -9999999999999999999": None,
    "Mon, 01 Jan 2020 999999999999999999999:00:00 GMT": None,
    "Mon, 01 Jan 2020 00:00:00 GMT": 0.0,
    "999999999999": RETRY_AFTER_S_MAX,
    "9" * 400: RETRY_AFTER_S_MAX,
    "9" * 5_000: RETRY_AFTER_S_MAX,
    "Mon, 01 Jan 9999 00:00:00 GMT": RETRY_AFTER_S_MAX,
    "86400": 86_400.0,
}


@pytest.mark.parametrize(("value", "wait"), RETRY_AFTER.items(), ids=[n[:20] for n in RETRY_AFTER])
async def test_nonsense_in_retry_after_is_no_wait_or_a_bounded_one(
    server: tuple[Server, int],
    client: httpx.AsyncClient,
    value: str,
    wait: float | None,
) -> None:
    made, port = server
    made.answer = lambda asked: ok(b"{}", more=f"retry-after: {value}\r\n", status="429 Too Many")
    error = await refused(client, port)
    assert (error.type, error.status_code, error.retryable) == ("http_status", 429, True)
    assert error.retry_after_s == wait


async def test_an_instant_of_a_rate_limit_in_ten_thousand_years_is_a_bounded_wait(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    more = "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 999999999999\r\n"
    made.answer = lambda asked: ok(b"{}", more=more, status="429 Too Many")
    assert (await refused(client, port)).retry_after_s == RETRY_AFTER_S_MAX


async def test_what_follows_a_packed_answer_for_ever_is_bounded(
    server: tuple[Server, int], client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanging, "BODY_BYTES_MAX", 100_000)
    made, port = server
    part = b"%x\r\n" % 65_536 + b"x" * 65_536 + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    packed = gzip.compress(b"hello")
    first = b"%x\r\n" % len(packed) + packed + b"\r\n"
    made.answer = lambda asked: head + first + part * 16
    error = await refused(client, port)
    assert (error.type, error.effect_state) == ("response_too_large", "done")


async def test_a_packed_answer_that_is_cut_short_is_not_taken_for_all_of_it(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    packed = gzip.compress(b"all of it, every word of it")[:-12]
    made.answer = lambda asked: ok(packed, "text/plain", "content-encoding: gzip\r\n")
    error = await refused(client, port)
    assert (error.type, error.effect_state) == ("output_invalid", "done")


HEADS = {
    "a header of 10 MB": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 10_000_000 + b"\r\n\r\n",
    "100,000 headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a length of 5,000 digits": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5_000 + b"\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length that lies": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab",
    "a chunk that lies": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\nab",
    "an odd encoding": b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nab",
    "a status of 999": b"HTTP/1.1 999 ?\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_broken_head_is_a_typed_failure_of_a_request_that_was_sent(
    server: tuple[Server, int], client: httpx.AsyncClient, head: bytes
) -> None:
    made, port = server
    made.answer = lambda asked: head
    error = await refused(client, port)
    assert error.type in (
        *("connection_reset", "output_invalid", "response_too_large", "http_status"),
    )
    assert error.effect_state in ("done", "unknown"), "what was sent may have happened"


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_an_answer_that_drips_for_ever_ends_at_its_time(client: httpx.AsyncClient) -> None:
    over, gone = asyncio.Event(), asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not over.is_set():
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.02)
        await closed(writer)
        gone.set()

    listening = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    began = time.monotonic()
    call = Call("GET", f"http://127.0.0.1:{port}/", timeout_s=0.3)
    answer = await exchange(client, LOCAL, call)
    took_s = time.monotonic() - began
    over.set()
    await gone.wait()
    listening.close()
    assert isinstance(answer, Failed) and answer.error.type == "read_timeout"
    assert took_s < 5.0


LINKS: dict[str, str | None] = {
    "<a>; rel=next": "a",
    '<a>; rel="prev", <b>; title="x, y"; REL = "last Next"': "b",
    '<a>; rel="nextish", <b>; rel=': None,
    "<a>; rel=" + " " * 8_100 + "x": None,
    "<a>; rel=" + " next" * 1_600: "a",
    "<" * 8_100: None,
    "<a>" + "; " * 4_000: None,
    '<a>; rel="' + "a " * 4_000: None,
}


@pytest.mark.parametrize(("header", "link"), LINKS.items(), ids=[each[:20] for each in LINKS])
def test_a_header_link_is_read_in_little_time(header: str, link: str | None) -> None:
    began = time.process_time()
    assert link_to_next(header) == link
    assert time.process_time() - began < 0.5


async def test_a_redirection_is_an_answer_and_is_not_followed(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    more = "location: file:///etc/passwd\r\n"
    made.answer = lambda asked: ok(b"{}", more=more, status="302 Found")
    answer = await asked(client, port, headers={"Authorization": "Bearer x"})
    assert isinstance(answer, Answer)
    assert (answer.status, len(made.asked)) == (302, 1)
    assert json.loads(answer.text) == {}


async def test_a_connection_to_one_host_is_not_used_for_another_at_the_same_address(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its certificate said of the first is not true of the second."""

    async def resolve(*_: object) -> str:
        return "127.0.0.1"

    monkeypatch.setattr(exchanging, "resolve", resolve)
    heard: list[list[str]] = []
    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(hosts := [])
        ended.append(asyncio.Event())
        over = ended[-1]
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                hosts.append(head.lower().partition("host: ")[2].partition(":")[0])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            await closed(writer)
            over.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    for host in ("one.example", "two.example", "one.example", "two.example"):
        answer = await exchange(client, LOCAL, Call("GET", f"http://{host}:{port}/"))
        assert isinstance(answer, Answer)
    assert heard == [["one.example"] * 2, ["two.example"] * 2]
    await client.aclose()
    for each in ended:
        await each.wait()
    listening.close()


class Connected:
    """What a transport has connected."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, name: str) -> tuple[str, int]:
        assert name == "server_addr"
        return self.address, 443


@pytest.mark.parametrize(
    ("judged", "reached", "fits"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("::ffff:c000:201", "::ffff:192.0.2.1", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("192.0.2.1", "127.0.0.1", False),
    ],
)
async def test_nothing_is_sent_to_an_address_that_was_not_judged(
    judged: str, reached: str, fits: bool
) -> None:
    trace = pinned(judged)
    info: dict[str, Any] = {"host": "shop.example"}
    await trace("connection.connect_tcp.started", info)
    assert info["host"] == judged
    done = trace("connection.connect_tcp.complete", {"return_value": Connected(reached)})
    if fits:
        await done
    else:
        with pytest.raises(AddressError, match="which was judged"):
            await done
