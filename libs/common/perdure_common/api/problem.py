"""What an API answers when it cannot do what was asked: problem details (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from perdure_common.shell.ports import Unreachable

MEDIA_TYPE = "application/problem+json"

CODES = {404: "no_such_path", 405: "method_not_allowed"}
"""Codes of the errors that the framework finds by itself."""

log = structlog.get_logger(__name__)


def problem_body(
    status: int, code: str, detail: str, *, more: Mapping[str, Any] | None = None
) -> bytes:
    """Return problem details as JSON; what is too much now, or not there now, may be retried."""
    body = {
        "type": f"urn:perdure:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
        "retryable": status in (429, 503),
        **(more or {}),
    }
    return orjson.dumps(body)


class Problem(Exception):
    """An answer that is no success. `code` is for programs, `detail` for people.

    `detail` is public: it says what is wrong and what to do, and nothing of the inside.
    `more` are further members of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = more or {}

    def response(self) -> Response:
        """Return the problem as an HTTP response."""
        body = problem_body(self.status, self.code, self.detail, more=self.more)
        return Response(body, self.status, media_type=MEDIA_TYPE)


def answer_with_problems(app: FastAPI) -> None:
    """Let every error of `app` leave as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Unreachable, _unreachable)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Problem)
    return error.response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    code = CODES.get(status, "http_error")
    detail = f"{request.method} {request.url.path}: {error.detail}; /openapi.json lists what is"
    return Problem(status, code, detail).response()


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    places = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
    ]
    return Problem(400, "invalid_request", "; ".join(places)).response()


async def _unreachable(request: Request, error: Exception) -> Response:
    log.warning("database_unreachable", path=request.url.path, error=str(error))
    detail = "PostgreSQL does not answer now; try again in a moment"
    return Problem(503, "database_unreachable", detail).response()


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request_failed", path=request.url.path, exc_info=error)
    detail = "something failed here that should not; the log of the service says what"
    return Problem(500, "internal_error", detail).response()
