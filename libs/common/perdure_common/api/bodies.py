"""What a caller sends in a request's body: bounded, strict JSON, checked against a type.

Bodies are msgspec structs: one definition reads them, names every place that does not fit, and
makes the schema in the OpenAPI document.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from perdure_contracts.cloudevents import CloudEventError, is_json, parse_json

from perdure_common.api.problem import Problem

BODY_BYTES_MAX = 1024 * 1024
"""The largest body that is read; what is larger is refused before it is in memory."""

LARGE_BYTES = 64 * 1024
"""A body of more is read in a thread: a megabyte of numbers takes longer than others may wait."""

SHOWN_MAX = 500
"""Characters of what was sent that a problem repeats: names of fields that there are not."""

T = TypeVar("T")


async def read_body(request: Request, kind: type[T], *, most: int = BODY_BYTES_MAX) -> T:
    """Return the request's body as `kind`; an empty body is an empty object.

    What says that it is no JSON is refused, whatever is in it: a page in a browser may send a text
    or a form to any address, and JSON only where it is allowed to.

    Raises:
        Problem: `unsupported_media_type`, `body_too_large`, `invalid_json`, `invalid_request` with
            the place.
    """
    raw = await _bounded(request, most)
    declared = request.headers.get("content-type", "")
    if raw and declared and not is_json(declared):
        raise Problem(
            415,
            "unsupported_media_type",
            f"the body is said to be {declared[:100]!r}; send JSON, with the content-type "
            "application/json",
        )
    return await _aside(raw, partial(_converted, kind=kind))


async def read_json(request: Request, *, most: int = BODY_BYTES_MAX) -> Any:
    """Return the request's body as any JSON, whatever it is called; an empty one is an object.

    Raises:
        Problem: `body_too_large`, `invalid_json`.
    """
    return await _aside(await _bounded(request, most), _parsed)


async def _aside(raw: bytes, read: Callable[[bytes], T]) -> T:
    """Read a body; a large one in a thread, for the loop has shards to write."""
    return read(raw) if len(raw) <= LARGE_BYTES else await asyncio.to_thread(read, raw)


def _parsed(raw: bytes) -> Any:
    try:
        return parse_json(raw or b"{}", "the body")
    except CloudEventError as error:
        raise Problem(400, "invalid_json", error.message) from None


def _converted(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.convert(_parsed(raw), kind, strict=True)
    except msgspec.ValidationError as error:
        text = f"the body does not fit: {str(error)[:SHOWN_MAX]}"
        raise Problem(400, "invalid_request", text) from None


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
