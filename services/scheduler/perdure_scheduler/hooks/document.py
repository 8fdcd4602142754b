"""What the scheduler's OpenAPI document says of the listener, which is a server of its own."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from perdure_common.api.bodies import PROBLEM

STATUSES: Mapping[str, str] = {
    "200": "It came before (`duplicate`), or the workflow has answered.",
    "202": "It is safe and starts an execution, the execution still runs (`status_url`), or the "
    "trigger's filter lets it start nothing (`ignored`).",
    "400": "The body is truncated or no such body, or a security header is there twice.",
    "401": "The signature, token or time does not prove who sent it.",
    "404": "Nobody listens under this path.",
    "405": "Not with this method; `Allow` has those that are.",
    "408": "The body took too long.",
    "413": "The body is too large.",
    "429": "Too many requests in a minute; `Retry-After` says when to come again.",
    "431": "The head is too large.",
    "500": "The execution that was waited for failed.",
    "502": "What the workflow answers is no HTTP, or its file cannot be had now.",
    "503": "A secret is missing here, or it cannot be stored now; come again with the same id.",
}


def described(app: FastAPI, base: str) -> None:
    """Add the listener's paths to the document of `app`; they are served under `base`."""
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = made()
            servers = [{"url": base}]
            for path, item in _paths().items():
                whole["paths"][path] = {"servers": servers, **item}
        return app.openapi_schema or made()

    app.openapi = document  # type: ignore[method-assign]


def _paths() -> dict[str, dict[str, Any]]:
    tenant = _parameter("tenant", "The tenant's id.")
    path = _parameter("path", "The trigger's path, which may have slashes.")
    execution = _parameter("execution_id", "As the answer named it.")
    token = {
        "name": "token",
        "in": "query",
        "required": True,
        "schema": {"type": "string"},
        "description": "As the status URL has it.",
    }
    body: dict[str, Any] = {
        "content": {"*/*": {"schema": {}}},
        "description": "Whatever the sender sends.",
    }
    hook: dict[str, Any] = {
        "requestBody": body,
        "tags": ["listener"],
        "responses": _responses(STATUSES),
    }
    asked = ("200", "202", "404", "500", "502")
    known = {name: text for name, text in STATUSES.items() if name in asked}
    return {
        "/hooks/{tenant}/{path}": {
            "parameters": [tenant, path],
            "post": {"summary": "Start workflows by a request", "operationId": "hook", **hook},
        },
        "/hooks-test/{tenant}/{path}": {
            "parameters": [tenant, path],
            "post": {"summary": "Use a test URL, once", "operationId": "hook_test", **hook},
        },
        "/hooks-status/{tenant}/{execution_id}": {
            "parameters": [tenant, execution, token],
            "get": {
                "summary": "Ask what an execution has answered",
                "operationId": "hook_status",
                "tags": ["listener"],
                "responses": _responses(known),
            },
        },
    }


def _parameter(name: str, about: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": about}


def _responses(statuses: Mapping[str, str]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": PROBLEM}}
    return {
        status: {"description": text, **({"content": problem} if status >= "400" else {})}
        for status, text in statuses.items()
    }
