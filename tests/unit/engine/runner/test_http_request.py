import asyncio
import gzip
import json
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from answering_server import Server, as_json, ok, parsed
from perdure_common.outbound import AllowList
from perdure_contracts.engine import RETRY_AFTER_S_MAX
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.files import Made
from perdure_engine.runner.http_request import BODY_BYTES_MAX, Failed, request

LOCAL = AllowList.parse(["127.0.0.0/8"])


async def ask(client: httpx.AsyncClient, port: int, **parameters: Any) -> dict[str, Any] | Failed:
    url = parameters.pop("url", f"http://127.0.0.1:{port}/tickets")
    answer = await request(client, LOCAL, {"url": url, **parameters}, "key-1")
    assert not isinstance(answer, Made), "nobody would keep a file"
    return answer


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


@pytest.mark.parametrize(
    "asked",
    ["9" * 17, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 0001 23:59:59 +2359"],
)
async def test_who_asks_to_wait_for_ages_is_believed_a_year_at_most(
    server: tuple[Server, int], client: httpx.AsyncClient, asked: str
) -> None:
    made, port = server
    made.answer = lambda _: ok(b"", more=f"retry-after: {asked}\r\n", status="503 Unavailable")
    error = await failure(client, port)
    assert (error.retry_after_s or 0.0) <= RETRY_AFTER_S_MAX


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


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"kind": "basic", "username": "u", "password": "p:w"}, "authorization", "Basic dTpwOnc="),
        ({"kind": "bearer", "token": "t"}, "authorization", "Bearer t"),
        ({"kind": "header", "name": "X-Api-Key", "value": "k"}, "x-api-key", "k"),
    ],
)
async def test_credentials_go_into_their_header(
    server: tuple[Server, int], client: httpx.AsyncClient, auth: Any, header: str, value: str
) -> None:
    made, port = server
    assert isinstance(await ask(client, port, auth=auth), dict)
    assert parsed(made.asked[0]).headers[header] == value


async def test_the_query_is_added_to_the_addresss_own(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    auth = {"kind": "query", "name": "key", "value": "k&"}
    query = {"b": [1, True], "c": None, "d": "x y"}
    url = f"http://127.0.0.1:{port}/t?a=1"
    assert isinstance(await ask(client, port, url=url, query=query, auth=auth), dict)
    assert parsed(made.asked[0]).query == (
        ("a", "1"), ("b", "1"), ("b", "true"), ("d", "x y"), ("key", "k&"),
    )  # fmt: skip


@pytest.mark.parametrize("auth", [{"kind": "basic", "username": "u"}, {"kind": "bearer"}])
async def test_credentials_that_are_missing_are_told_before_anything_is_sent(
    server: tuple[Server, int], client: httpx.AsyncClient, auth: Any
) -> None:
    made, port = server
    assert (await failure(client, port, auth=auth)).type == "invalid_parameters"
    assert made.asked == []


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "\x00", "ü€"])
async def test_a_header_that_is_none_is_told_and_not_sent(
    server: tuple[Server, int], client: httpx.AsyncClient, value: str
) -> None:
    made, port = server
    error = await failure(client, port, headers={"X-Mine": value})
    assert (error.type, error.retryable, error.effect_state) == (
        "invalid_parameters", False, "not_sent",
    )  # fmt: skip
    assert made.asked == []


async def test_a_file_is_base64(server: tuple[Server, int], client: httpx.AsyncClient) -> None:
    made, port = server
    made.answer = lambda asked: ok(b"\x89PNG\xff", "image/png")
    for parameters in ({}, {"response": "file"}):
        answer = await ask(client, port, **parameters)
        assert isinstance(answer, dict)
        assert answer["body"] == {"base64": "iVBOR/8=", "bytes": 5, "content_type": "image/png"}


PICTURE = {"base64": "iVBOR/8=", "bytes": 5, "content_type": "image/png"}


@pytest.mark.parametrize(
    ("file", "kind"), [(PICTURE, b"image/png"), ("iVBOR/8=", b"application/octet-stream")]
)
async def test_a_file_of_an_answer_can_be_sent_on(
    server: tuple[Server, int], client: httpx.AsyncClient, file: Any, kind: bytes
) -> None:
    made, port = server
    await ask(client, port, method="PUT", file=file)
    head, _, body = made.asked[0].partition(b"\r\n\r\n")
    assert body == b"\x89PNG\xff"
    assert b"content-type: " + kind in head.lower()


async def test_a_form_with_a_file_is_sent_in_parts_the_same_in_each_attempt(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    form = {"title": "x", "yes": True, "picture": {**PICTURE, "filename": "a.png"}}
    for _ in range(2):
        await ask(client, port, method="POST", form=form)
    head, _, body = made.asked[0].partition(b"\r\n\r\n")
    assert b"content-type: multipart/form-data; boundary=" in head.lower()
    assert b'name="picture"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG' in body
    assert b'name="yes"\r\n\r\ntrue\r\n' in body
    assert body == made.asked[1].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("file", [{"base64": "no!"}, {"base64": 1}, {}, "ü", 7])
async def test_what_is_no_file_is_told_and_not_sent(
    server: tuple[Server, int], client: httpx.AsyncClient, file: Any
) -> None:
    made, port = server
    error = await failure(client, port, method="POST", file=file)
    assert (error.type, made.asked) == ("invalid_parameters", [])
    assert "Base64" in error.message


async def test_the_instant_of_a_rate_limit_is_a_wait(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    reset = int(time.time()) + 100
    more = f"x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {reset}\r\n"
    made.answer = lambda asked: as_json({"message": "no"}, "403 Forbidden", more)
    error = await failure(client, port)
    assert (error.retryable, error.codes[0]) == (True, "rate_limited")
    assert 90 < error.retry_after_s <= 100


@pytest.mark.parametrize("behind_s", [3_600, -3_600])
async def test_an_instant_of_the_other_side_goes_by_its_own_clock(
    server: tuple[Server, int], client: httpx.AsyncClient, behind_s: int
) -> None:
    made, port = server
    theirs = int(time.time()) + behind_s  # ours was set back, or is ahead
    at = f"date: {formatdate(theirs, usegmt=True)}\r\n"
    limit = f"{at}x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {theirs + 100}\r\n"
    made.answer = lambda asked: as_json({"message": "no"}, "403 Forbidden", limit)
    assert (await failure(client, port)).retry_after_s == 100.0
    later = f"{at}retry-after: {formatdate(theirs + 7, usegmt=True)}\r\n"
    made.answer = lambda asked: as_json({"message": "no"}, "503 Unavailable", later)
    assert (await failure(client, port)).retry_after_s == 7.0


def pages_of(made: Server, port: int, kind: str) -> None:
    """Let the server have five entries in pages of two."""

    def answer(asked: bytes) -> bytes:
        query = dict(parsed(asked).query)
        at = int(
            query.get("p") or query.get("c") or query.get("at") or (0 if kind != "page" else 1)
        )
        start = 2 * (at - 1 if kind == "page" else at)
        entries = [{"n": n} for n in range(start, min(start + 2, 5))]
        more = start + 2 < 5
        if kind == "link":
            link = f'<http://127.0.0.1:{port}/tickets?at={at + 1}>; rel="next"'
            both = f"<http://127.0.0.1:{port}/x>; rel=prev, {link}"
            return as_json(entries, more=f"link: {both}\r\n" if more else "")
        body = {"data": {"list": entries}, "next": {"c": str(at + 1) if more else ""}}
        if kind == "address":
            body["next"] = {"c": f"/tickets?at={at + 1}" if more else ""}
        return as_json(body)

    made.answer = answer


CURSOR = {"kind": "cursor", "cursor": "next.c", "parameter": "c"}


@pytest.mark.parametrize(
    ("served", "pagination", "pages"),
    [
        ("link", {"kind": "link"}, 3),
        ("address", {"kind": "link", "next": "next.c", "items": "data.list"}, 3),
        ("page", {"kind": "page", "parameter": "p", "items": "data.list"}, 4),
        (
            "cursor",
            {"kind": "cursor", "cursor": "next.c", "parameter": "c", "items": "data.list"},
            3,
        ),
    ],
)
async def test_all_pages_become_one_list(
    server: tuple[Server, int],
    client: httpx.AsyncClient,
    served: str,
    pagination: dict[str, Any],
    pages: int,
) -> None:
    made, port = server
    pages_of(made, port, served)
    headers = {"X-Mine": "1"}
    answer = await ask(client, port, pagination=pagination, query={"q": "1"}, headers=headers)
    assert isinstance(answer, dict)
    assert [entry["n"] for entry in answer["body"]] == [0, 1, 2, 3, 4]
    assert (answer["pages"], answer["complete"], answer["status"]) == (pages, True, 200)
    assert all(parsed(asked).headers["x-mine"] == "1" for asked in made.asked)

    made.asked.clear()
    first = await ask(client, port, pagination={**pagination, "pages_max": 2})
    assert isinstance(first, dict)
    assert (len(made.asked), first["pages"], first["complete"]) == (2, 2, False)


async def test_credentials_are_not_taken_to_another_server_by_a_link(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    made.answer = lambda asked: as_json([1], more="link: <http://localhost:1/>; rel=next\r\n")
    error = await failure(client, port, pagination={"kind": "link"})
    assert (error.type, len(made.asked)) == ("address_refused", 1)


async def test_a_page_that_fails_fails_the_item_with_its_wait(
    server: tuple[Server, int], client: httpx.AsyncClient
) -> None:
    made, port = server
    link = "link: </tickets?at=1>; rel=next\r\n"
    made.answer = lambda asked: (
        as_json([1], more=link)
        if len(made.asked) == 1
        else as_json({}, "429 Too Many Requests", "retry-after: 7\r\n")
    )
    error = await failure(client, port, pagination={"kind": "link"})
    assert (error.status_code, error.retry_after_s, error.retryable) == (429, 7.0, True)


@pytest.mark.parametrize(
    ("body", "error"),
    [({"a": 1}, "output_invalid"), (["x" * 2_000_000], "response_too_large")],
)
async def test_pages_without_a_list_or_too_many_of_them_are_told(
    server: tuple[Server, int], client: httpx.AsyncClient, body: Any, error: str
) -> None:
    made, port = server
    made.answer = lambda asked: as_json(body, more="link: </tickets>; rel=next\r\n")
    assert (await failure(client, port, pagination={"kind": "link"})).type == error
