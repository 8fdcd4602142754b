"""What endpoints beside the tables say of themselves in OpenAPI, and how they read a query."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request

from perdure_common.api.problem import Problem

KEY_PARAMETER: Mapping[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 200},
    "description": "the same request with the same key is carried out once",
}
"""The parameter of everything that writes."""


def tags(*names: str) -> list[Any]:
    """Return OpenAPI tags, typed as FastAPI wants them."""
    return list(names)


def tenant_parameter(*more: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parameters of an endpoint that reads: whose data, and `more`."""
    header = {"name": "X-Perdure-Tenant", "in": "header", "schema": {"type": "string"}}
    return [header, *more]


def writes(body: Mapping[str, Any] | None = None, *more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says beside the path of an endpoint that writes."""
    found: dict[str, Any] = {"parameters": [KEY_PARAMETER, *more]}
    if body is not None:
        found["requestBody"] = body
    return found


def reads(*more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says beside the path of an endpoint that reads."""
    return {"parameters": tenant_parameter(*more)}


def query(name: str, kind: str = "string", about: str = "", **more: Any) -> Mapping[str, Any]:
    """Return a query parameter as OpenAPI has it."""
    return {"name": name, "in": "query", "schema": {"type": kind, **more}, "description": about}


def number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number among the parameters of a query.

    Raises:
        Problem: `invalid_parameter`.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
        raise Problem(
            400, "invalid_parameter", f"`{name}` must be a whole number from {least} to {most:,}"
        )
    return int(text)


def only(request: Request, known: Sequence[str]) -> None:
    """Refuse parameters that nobody looks at.

    Raises:
        Problem: `unknown_parameter`.
    """
    for name in request.query_params:
        if name not in known:
            there = ", ".join(known) or "none"
            raise Problem(
                400,
                "unknown_parameter",
                f"there is no parameter {name[:100]!r}; there are: {there}",
            )
