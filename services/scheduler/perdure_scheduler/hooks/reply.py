"""What a request is answered: statuses, problems, and what an execution says. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from urllib.parse import quote

import orjson
from perdure_common.api.problem import MEDIA_TYPE, problem_body
from perdure_contracts.files import FileRef

from .answers import Answer

JSON_TYPE = (b"content-type", b"application/json")
PROBLEM_TYPE = (b"content-type", MEDIA_TYPE.encode())

FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Headers that belong to the connection: a RESPOND node cannot set them."""

OURS = frozenset(("date", "x-perdure-execution"))
"""Headers that say what is known here, and stand there once: a RESPOND node cannot set them."""

BODILESS = (204, 205, 304)

Headers: TypeAlias = list[tuple[bytes, bytes]]

TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What names and values of headers may have (RFC 9110)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    file: FileRef | None = None
    """What is the body instead, of the execution `execution_id`."""

    execution_id: str = ""


class Refusal(Exception):
    """Why a request is not taken; `detail` is public and says nothing of the inside."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}

    def reply(self) -> Reply:
        """Return the problem as a response (RFC 9457)."""
        body = problem_body(self.status, self.code, self.detail)
        more = tuple((n.lower().encode(), v.encode()) for n, v in self.headers.items())
        return Reply(self.status, (PROBLEM_TYPE, *more), body)


def told(code: int, /, **members: Any) -> Reply:
    """Return a response that tells something as JSON."""
    return Reply(code, (JSON_TYPE,), orjson.dumps(members))


def answered(answer: Answer, execution_id: str) -> Reply:
    """Return what an execution answers as a response."""
    headers: Headers = [(b"x-perdure-execution", execution_id.encode())]
    if answer.ended == "SUCCESS":
        return Reply(200, (JSON_TYPE, *headers), answer.body.encode())
    if answer.ended:
        refusal = Refusal(
            500,
            "execution_failed",
            f"the execution ended with {answer.ended}; its owner finds it as {execution_id}",
        )
        problem = refusal.reply()
        return Reply(problem.status, (*problem.headers, *headers), problem.body)
    given = _given(answer)
    if isinstance(given, Refusal):
        problem = given.reply()
        return replace(problem, headers=(*problem.headers, *headers))
    if answer.file is None or answer.status in BODILESS:
        return _responded(answer, given, headers)
    more = _headers_of(answer.file, {name for name, _ in given})
    all_headers = (*given, *headers, *more)
    return Reply(answer.status, all_headers, b"", answer.file, execution_id)


def _headers_of(file: FileRef, given: set[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Return what is said of a file where the workflow says nothing else.

    It may come from anybody: a browser shows it, but lets it do nothing here.
    """
    name = quote(file["file_name"], safe="")
    all_headers = (
        (b"content-type", file["mime_type"].encode()),
        (b"content-disposition", f"inline; filename*=UTF-8''{name}".encode()),
        (b"content-security-policy", b"sandbox"),
        (b"x-content-type-options", b"nosniff"),
    )
    return tuple(each for each in all_headers if each[0] not in given)


def _given(answer: Answer) -> Headers | Refusal:
    """Return the headers that a workflow answers with, or why its answer cannot be given."""
    if not 200 <= answer.status <= 599:
        return Refusal(
            502, "invalid_response", f"the workflow answered with status {answer.status}"
        )
    given: Headers = []
    for name, value in answer.headers.items():
        lower = name.strip().lower()
        if lower in FRAMING or lower in OURS:
            continue
        if not TOKEN.fullmatch(lower) or not VALUE.fullmatch(value):
            return Refusal(
                502, "invalid_response", f"the workflow answered with a bad header {lower[:40]!r}"
            )
        given.append((lower.encode(), value.encode("latin-1")))
    return given


def _responded(answer: Answer, given: Headers, ours: Headers) -> Reply:
    text = answer.body.startswith('"')
    raw = str(orjson.loads(answer.body)).encode() if text else answer.body.encode()
    if answer.file is None and not any(name == b"content-type" for name, _ in given):
        given.append((b"content-type", b"text/plain; charset=utf-8") if text else JSON_TYPE)
    if answer.status in BODILESS:
        raw = b""
    return Reply(answer.status, (*given, *ours), raw)
