"""EXTERNAL_ACTION HTTP_REQUEST: one request for each item, or one for each page of answers.

The answer of an item is `{status, headers, body}`, of several pages
`{status, headers, body, pages, complete}` with all entries in `body`.
"""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, cast

import httpx
from perdure_common.outbound import AllowList
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.files import FileRef

from perdure_engine.nodes.external_action_http_request import TIMEOUT_S
from perdure_engine.nodes.mending import UNDOES
from perdure_engine.runner.exchange import BODY_BYTES_MAX, Answer, Call, exchange
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.files import FAULTS, ItemFiles, Made, answers_name, failed
from perdure_engine.runner.http_bodies import body_of, text_of
from perdure_engine.runner.pages import all_pages

__all__ = ["BODY_BYTES_MAX", "Failed", "request"]

FILE = "data"
"""What a file is called that an answer becomes, where the author does not say."""

NO_FILES = ItemFiles()
"""Those of an item that has none."""

BINARY = ("image/", "audio/", "video/", "font/", "application/octet-stream")
BINARY_PARTS = ("pdf", "zip", "gzip", "tar", "msword", "officedocument", "vnd.ms-")
"""Content types that are no text, where the author does not say how to read the answer."""


async def request(
    client: httpx.AsyncClient,
    allowed: AllowList,
    parameters: Mapping[str, Any],
    idempotency_key: str,
    files: ItemFiles | None = None,
) -> dict[str, Any] | Made | Failed:
    """Send the request of one item and return its answer, or why there is none.

    `parameters` are those of the node, resolved; `files` those of the item. Without any an
    answer of bytes stands in its body, in Base64: nobody would keep a file.
    """
    spools: list[IO[bytes]] = []
    try:
        return await _sent(client, allowed, parameters, idempotency_key, files, spools)
    except FAULTS as error:
        return failed(error)
    finally:
        for spool in spools:
            spool.close()


async def _sent(
    client: httpx.AsyncClient,
    allowed: AllowList,
    parameters: Mapping[str, Any],
    idempotency_key: str,
    files: ItemFiles | None,
    spools: list[IO[bytes]],
) -> dict[str, Any] | Made | Failed:
    try:
        call = await _call(parameters, idempotency_key, files or NO_FILES, spools)
    except (httpx.InvalidURL, ValueError, TypeError, KeyError) as error:
        text = f"the request cannot be made: {error}"
        return Failed(ErrorFacts(type="invalid_parameters", message=text, stage="run"))
    pagination = parameters.get("pagination")
    if isinstance(pagination, dict):
        pages = cast("dict[str, Any]", pagination)
        return await all_pages(lambda each: exchange(client, allowed, each), call, pages)
    wanted = str(parameters.get("response") or "")
    sink = None if files is None else _IntoFile(files, wanted, call.url)
    try:
        answer = await exchange(client, allowed, call, sink)
    except FAULTS as error:  # of a file that was being sent, or of the store
        return Failed(replace(failed(error).error, effect_state="unknown"))
    if isinstance(answer, Failed):
        return answer
    if answer.file is not None:
        return _told_of_file(answer, answer.file, str(parameters.get("response_file") or FILE))
    return _told(answer, parameters)


@dataclass(frozen=True)
class _IntoFile:
    """Takes the body of an answer into a file, where it is to be one."""

    files: ItemFiles
    wanted: str
    url: str

    @property
    def most(self) -> int:
        return self.files.most

    def wants(self, headers: Mapping[str, str]) -> bool:
        kind = headers.get("content-type", "").lower()
        return self.wanted == "file" or (
            not self.wanted and "json" not in kind and _is_binary(kind)
        )

    async def take(self, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> FileRef:
        name = answers_name(headers, self.url)
        return await self.files.keep(body, name, headers.get("content-type", ""))


def _told_of_file(answer: Answer, ref: FileRef, name: str) -> Made:
    """Return an answer whose body is a file; its data can be given as `file` to send it on."""
    body = {"file": name, "bytes": ref["size"], "content_type": ref["mime_type"]}
    told = {"status": answer.status, "headers": dict(answer.headers), "body": body}
    return Made(told, {name: ref})


async def _call(
    parameters: Mapping[str, Any], idempotency_key: str, files: ItemFiles, spools: list[IO[bytes]]
) -> Call:
    headers = {str(k): text_of(v) for k, v in dict(parameters.get("headers") or {}).items()}
    lower = {name.lower() for name in headers}
    key_header = parameters.get("idempotency_header")
    if key_header and str(key_header).lower() not in lower:
        headers[str(key_header)] = idempotency_key + ("-undo" if UNDOES in parameters else "")
    query: list[tuple[str, str]] = []
    for name, value in dict(parameters.get("query") or {}).items():
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        query += [(str(name), text_of(each)) for each in values if each is not None]
    authenticate(parameters.get("auth"), headers, query)
    body = await body_of(parameters, headers, idempotency_key, files, spools)
    return Call(
        method=str(parameters.get("method") or "GET").upper(),
        url=str(parameters.get("url", "")),
        headers=headers,
        query=tuple(query),
        body=body,
        timeout_s=float(parameters.get("timeout_s") or TIMEOUT_S),
    )


def authenticate(auth: Any, headers: dict[str, str], query: list[tuple[str, str]]) -> None:
    """Add what `auth` says to a request.

    Raises:
        KeyError, TypeError: Something that its kind needs is missing, or no text.
    """
    if auth is None:
        return
    given = cast("dict[str, Any]", auth)
    match given["kind"]:
        case "basic":
            pair = f"{given['username']}:{given['password']}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        case "bearer":
            headers["Authorization"] = f"Bearer {given['token']}"
        case "header":
            headers[str(given["name"])] = str(given["value"])
        case _:
            query.append((str(given["name"]), str(given["value"])))


def _told(answer: Answer, parameters: Mapping[str, Any]) -> dict[str, Any] | Failed:
    """Return an answer as the item's data."""
    made: dict[str, Any] = {"status": answer.status, "headers": dict(answer.headers)}
    kind = answer.headers.get("content-type", "").lower()
    wanted = parameters.get("response") or (
        "json" if "json" in kind else "file" if _is_binary(kind) else "text"
    )
    if wanted == "file":
        made["body"] = {
            "base64": base64.b64encode(answer.raw).decode(),
            "bytes": len(answer.raw),
            "content_type": kind,
        }
        return made
    if wanted == "json" and answer.raw:
        body = answer.json()
        if isinstance(body, Failed):
            return body
        made["body"] = body
        return made
    made["body"] = answer.text
    return made


def _is_binary(kind: str) -> bool:
    return kind.startswith(BINARY) or any(part in kind for part in BINARY_PARTS)
