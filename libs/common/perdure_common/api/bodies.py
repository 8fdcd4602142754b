"""What a caller sends in a request's body: bounded, strict JSON, checked against a type.

Bodies are msgspec structs: one definition reads them, names every place that does not fit, and
makes the schema in the OpenAPI document.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from perdure_contracts.cloudevents import CloudEventError, parse_json

from perdure_common.api.problem import Problem

BODY_BYTES_MAX = 1024 * 1024
"""The largest body that is read; what is larger is refused before it is in memory."""

T = TypeVar("T", bound=msgspec.Struct)


async def read_body(request: Request, kind: type[T], *, most: int = BODY_BYTES_MAX) -> T:
    """Return the request's body as `kind`; an empty body is an empty object.

    Raises:
        Problem: `body_too_large`, `invalid_json`, `invalid_request` with the place.
    """
    raw = await _bounded(request, most)
    try:
        value: Any = parse_json(raw or b"{}", "the body")
    except CloudEventError as error:
        raise Problem(400, "invalid_json", error.message) from None
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise Problem(400, "invalid_request", f"the body does not fit: {error}") from None


async def read_json(request: Request, *, most: int = BODY_BYTES_MAX) -> Any:
    """Return the request's body as any JSON; an empty body is an empty object.

    Raises:
        Problem: `body_too_large`, `invalid_json`.
    """
    raw = await _bounded(request, most)
    try:
        return parse_json(raw or b"{}", "the body")
    except CloudEventError as error:
        raise Problem(400, "invalid_json", error.message) from None


async def _bounded(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"the body has more than {most:,} bytes; send less, or a reference to it",
    )


def body_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return what OpenAPI says of a body of this kind: `requestBody`."""
    return {"required": False, "content": {"application/json": {"schema": schema_of(kind)}}}


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of a struct, without references."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    return _inlined(schema, components)


def _inlined(schema: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(schema, Mapping):
        values: Mapping[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
        reference = values.get("$ref")
        if isinstance(reference, str):
            return _inlined(components[reference], components)
        return {name: _inlined(each, components) for name, each in values.items()}
    if isinstance(schema, list):
        return [_inlined(each, components) for each in schema]  # pyright: ignore
    return schema


def responses(status: int, kind: Any, about: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of a success and of every problem."""
    return {
        status: {
            "description": about,
            "content": {"application/json": {"schema": schema_of(kind)}},
        },
        "default": {
            "description": "What went wrong, and what to do (RFC 9457).",
            "content": {"application/problem+json": {"schema": PROBLEM}},
        },
    }


PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "for programs; it never changes"},
        "detail": {"type": "string", "description": "for people: what is wrong, what to do"},
        "retryable": {"type": "boolean"},
    },
}
"""The schema of every problem."""
