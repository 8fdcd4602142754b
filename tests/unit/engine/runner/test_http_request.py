import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from perdure_common.outbound import AllowList
from perdure_engine.runner.clients import Clients, make_client
from perdure_engine.runner.http_request import BODY_BYTES_MAX, Failed, request

Answer = Callable[[bytes], bytes]


class Server:
    """A local HTTP server that answers with what it is told."""

    def __init__(self) -> None:
        self.answer: Answer = lambda asked: ok(b"{}")
        self.asked: list[bytes] = []
        self.silent = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(x.split(b":")[1]) for x in lines if x.startswith(b"content-len")), 0)
        asked = head + await reader.readexactly(length)
        self.asked.append(asked)
        written = self.answer(asked)
        if written:
            writer.write(written)
            await writer.drain()
        else:
            await self.silent.wait()
        writer.close()


def ok(
    body: bytes, kind: str = "application/json", more: str = "", status: str = "200 OK"
) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    made = Server()
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    yield made, port
    made.silent.set()
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as made:
        yield made


LOCAL = AllowList.parse(["127.0.0.0/8"])


async def ask(client: httpx.AsyncClient, port: int, **parameters: Any) -> dict[str, Any] | Failed:
    url = parameters.pop("url", f"http://127.0.0.1:{port}/tickets")
    return await request(client, LOCAL, {"url": url, **parameters}, "key-1")


async def failure(client: httpx.AsyncClient, port: int, **parameters: Any) -> Any:
    answer = await ask(client, port, **parameters)
    assert isinstance(answer, Failed)
    return answer.error


async def test_an_answer_in_json_is_the_items_body(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok(b'{"id": 7}')
    answer = await ask(client, port, method="POST", json={"title": "x"})
    assert isinstance(answer, dict)
    assert (answer["status"], answer["body"]) == (200, {"id": 7})
    assert made.asked[0].startswith(b"POST /tickets HTTP/1.1")
    assert json.loads(made.asked[0].partition(b"\r\n\r\n")[2]) == {"title": "x"}


async def test_the_idempotency_key_goes_into_the_header_that_the_node_names(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    await ask(client, port, method="POST", idempotency_header="Idempotency-Key")
    assert b"idempotency-key: key-1" in made.asked[0].lower()


async def test_a_server_error_is_retryable_and_its_effect_unknown(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok(
        b'{"error": {"code": "overloaded"}}', more="retry-after: 3\r\n", status="503 Unavailable"
    )
    error = await failure(client, port)
    assert (error.type, error.status_code, error.retryable) == ("http_status", 503, True)
    assert (error.effect_state, error.retry_after_s) == ("unknown", 3.0)
    assert error.codes == ("overloaded",)
    assert error.dependency == "http:127.0.0.1"


async def test_a_client_error_is_final_and_was_refused(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok(b"no such thing", "text/plain", status="404 Not Found")
    error = await failure(client, port)
    assert (error.status_code, error.retryable, error.effect_state) == (404, False, "refused")
    assert "no such thing" in error.message


async def test_an_answer_of_thirty_megabytes_is_refused_without_being_read(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok(b"x" * 30_000_000, "text/plain")
    error = await failure(client, port)
    assert (error.type, error.retryable, error.effect_state) == (
        "response_too_large",
        False,
        "done",
    )


async def test_a_small_answer_that_unpacks_to_gigabytes_is_refused(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    bomb = gzip.compress(b"0" * 50_000_000)
    made.answer = lambda asked: ok(bomb, "text/plain", "content-encoding: gzip\r\n")
    assert len(bomb) < BODY_BYTES_MAX
    assert (await failure(client, port)).type == "response_too_large"


async def test_a_json_bomb_is_an_invalid_answer(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: ok(b"[" * 100_000)
    error = await failure(client, port)
    assert (error.type, error.effect_state) == ("output_invalid", "done")


async def test_a_server_that_never_answers_times_out(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: b""
    error = await failure(client, port, timeout_s=0.2)
    assert (error.type, error.retryable, error.effect_state) == ("read_timeout", True, "unknown")


async def test_an_exchange_that_breaks_off_is_unknown(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    error = await failure(client, port)
    assert (error.type, error.effect_state) == ("connection_reset", "unknown")


async def test_a_closed_port_was_never_sent_to(client: httpx.AsyncClient) -> None:
    listening = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    error = await failure(client, port)
    assert (error.type, error.retryable, error.effect_state) == ("connect_failed", True, "not_sent")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://0x7f000001/",
        "http://2130706433/",
    ],
)
async def test_addresses_that_are_not_public_are_refused(
    client: httpx.AsyncClient, url: str
) -> None:
    answer = await request(client, AllowList(), {"url": url}, "key")
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.retryable) == ("address_refused", False)
    assert "PERDURE_HTTP_ALLOW" in answer.error.message


async def test_a_place_that_the_setting_names_is_allowed(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    _, port = server
    allowed = AllowList.parse([f"localhost:{port}"])
    answer = await request(client, allowed, {"url": f"http://localhost:{port}/"}, "key")
    assert isinstance(answer, dict)
    other = await request(client, allowed, {"url": "http://localhost:1/"}, "key")
    assert isinstance(other, Failed)
    assert other.error.type == "address_refused"


async def test_a_name_that_does_not_exist_is_told(client: httpx.AsyncClient) -> None:
    answer = await request(client, AllowList(), {"url": "http://no.such.host.invalid/"}, "key")
    assert isinstance(answer, Failed)
    assert answer.error.type in ("name_not_found", "dns_failed")


@pytest.mark.parametrize("url", ["", "ftp://example.com/", "no address", "http://"])
async def test_an_address_that_is_none_is_told(client: httpx.AsyncClient, url: str) -> None:
    answer = await request(client, AllowList(), {"url": url}, "key")
    assert isinstance(answer, Failed)
    assert answer.error.type in ("invalid_url", "invalid_parameters")


async def test_secrets_in_an_error_answer_are_not_told(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    secret = "ghp_" + "a1B2" * 9
    made.answer = lambda asked: ok(f"bad token {secret}".encode(), "text/plain", status="401 No")
    assert secret not in (await failure(client, port)).message


def test_a_setting_that_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="PERDURE_HTTP_ALLOW"):
        AllowList.parse(["not a network"])


async def test_clients_take_turns_and_close_together(server: tuple[Server, int]) -> None:
    _, port = server
    async with Clients(2) as clients:
        first, second, third = clients.next(), clients.next(), clients.next()
        assert first is third
        assert first is not second
        assert isinstance(await ask(first, port), dict)
        assert isinstance(await ask(second, port), dict)
    assert first.is_closed
    assert second.is_closed
