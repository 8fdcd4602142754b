"""Answers that come in pages: asked for one after the other, their entries put together."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, cast

import httpx
from perdure_contracts.engine import ErrorFacts

from perdure_engine.nodes.external_action_http_request import PAGES_MAX
from perdure_engine.nodes.fields import field
from perdure_engine.runner.exchange import BODY_BYTES_MAX, Answer, Call
from perdure_engine.runner.failures import Failed

Exchange: TypeAlias = Callable[[Call], Awaitable[Answer | Failed]]

LINK = re.compile(r'<([^<>]*)>\s*((?:;\s*[^,;"]*(?:"[^"]*")?\s*)*)')
REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";]+))', re.IGNORECASE)


async def all_pages(
    exchange: Exchange, first: Call, pagination: Mapping[str, Any]
) -> dict[str, Any] | Failed:
    """Return the entries of all pages as one answer, or the first failure.

    `complete` is false where more pages would come after `pages_max`.
    """
    most = int(pagination.get("pages_max") or PAGES_MAX)
    entries: list[Any] = []
    size = pages = 0
    call: Call | None = _first(first, pagination)
    status, headers = 0, dict[str, str]()
    while call is not None and pages < most:
        answer = await exchange(call)
        if isinstance(answer, Failed):
            return _after(answer, pages)
        size += len(answer.raw)
        if size > BODY_BYTES_MAX:
            text = f"the pages have more than {BODY_BYTES_MAX:,} bytes; ask for fewer of them"
            return _failed(answer, "response_too_large", text)
        body = answer.json()
        if isinstance(body, Failed):
            return body
        page: Any = field(body, pagination["items"]) if pagination.get("items") else body
        if not isinstance(page, list):
            text = "a page has no list of entries; say in `pagination.items` where it stands"
            return _failed(answer, "output_invalid", text)
        pages += 1
        entries += cast("list[Any]", page)
        status, headers = answer.status, dict(answer.headers)
        following = _next(call, answer, body, bool(cast("list[Any]", page)), pagination, pages)
        if isinstance(following, Failed):
            return following
        call = following
    return {
        "status": status,
        "headers": headers,
        "body": entries,
        "pages": pages,
        "complete": call is None,
    }


def _after(failed: Failed, pages: int) -> Failed:
    """Return the failure of a page; those before it were answered, so something was done."""
    if not pages or failed.error.effect_state == "unknown":
        return failed
    return Failed(replace(failed.error, effect_state="done"))


def _first(call: Call, pagination: Mapping[str, Any]) -> Call:
    if pagination["kind"] != "page":
        return call
    return _asking(call, pagination.get("parameter") or "page", pagination.get("first", 1))


def _next(
    call: Call,
    answer: Answer,
    body: Any,
    has_entries: bool,
    pagination: Mapping[str, Any],
    pages: int,
) -> Call | Failed | None:
    """Return the request for the next page, None after the last."""
    match pagination["kind"]:
        case "page":
            number = int(pagination.get("first", 1)) + pages
            name = pagination.get("parameter") or "page"
            return _asking(call, name, number) if has_entries else None
        case "cursor":
            cursor = field(body, str(pagination["cursor"]))
            name = pagination.get("parameter") or "cursor"
            return _asking(call, name, cursor) if cursor not in (None, "", False) else None
        case _:
            link = (
                field(body, pagination["next"])
                if pagination.get("next")
                else link_to_next(answer.headers.get("link", ""))
            )
            return _at(call, answer, link) if isinstance(link, str) and link else None


def _asking(call: Call, name: str, value: Any) -> Call:
    """Return the request with one value of its query replaced."""
    others = tuple(pair for pair in call.query if pair[0] != name)
    return replace(call, query=(*others, (name, str(value))))


def link_to_next(header: str) -> str | None:
    """Return the target of `rel=next` in the header Link (RFC 8288)."""
    for match in LINK.finditer(header[:8_192]):
        rel = REL.search(match[2])
        if rel is not None and "next" in (rel[1] or rel[2] or "").lower().split():
            return match[1]
    return None


def _at(call: Call, answer: Answer, link: str) -> Call | Failed:
    """Return the request for a link; it must lead to the same server: it gets the credentials."""
    here = httpx.URL(call.url)
    try:
        there = here.join(link)
    except (httpx.InvalidURL, ValueError) as error:
        return _failed(answer, "output_invalid", f"the link to the next page is none: {error}")
    if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
        text = f"the next page is said to be at {there.host}, which is another server"
        return _failed(answer, "address_refused", text)
    return replace(call, url=str(there), query=())


def _failed(answer: Answer, code: str, text: str) -> Failed:
    return Failed(
        ErrorFacts(
            type=code,
            message=text,
            stage="run",
            dependency=answer.dependency,
            effect_state="done",
        )
    )
