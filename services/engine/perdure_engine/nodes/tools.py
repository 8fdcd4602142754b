"""What the nodes of type TOOL have in common: what a model sees of a tool, and its bounds."""

import re
from collections.abc import Iterable
from typing import Any, cast

from .base import Fault, Parameter, Parameters
from .json_schemas import is_object_schema, schema_fault

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What models may be told that a tool is called."""

CALLS_MAX = 20

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}

SEEN: tuple[Parameter, ...] = (
    Parameter(
        "name", "text", "What the model calls it: letters, digits, `_`, `-`.", optional=False
    ),
    Parameter("description", "text", "What the model is told that it does.", optional=False),
    Parameter(
        "arguments",
        "object",
        "JSON Schema of what the model must give: an object; by default nothing.",
    ),
    Parameter(
        "calls_max",
        "integer",
        "How often an agent may call it for one item.",
        default=CALLS_MAX,
        least=1,
        most=1_000,
    ),
)
"""The parameters of every tool."""


def arguments_of(parameters: Parameters) -> dict[str, Any]:
    """Return the schema of a tool's arguments."""
    given = parameters.get("arguments")
    return cast("dict[str, Any]", given) if isinstance(given, dict) else NO_ARGUMENTS


def check_seen(parameters: Parameters) -> Iterable[Fault]:
    """Find what is wrong with a tool's name or the schema of its arguments."""
    name = parameters.get("name")
    if isinstance(name, str) and not NAME.fullmatch(name):
        text = f"{name[:80]!r} cannot be a tool's name; use up to 64 letters, digits, `_` and `-`"
        yield Fault("invalid_parameter", "name", text)
    schema = parameters.get("arguments")
    if schema is None:
        return
    fault = schema_fault(schema)
    if not fault and not is_object_schema(schema):
        fault = "its `type` must be `object`"
    if fault:
        yield Fault("invalid_parameter", "arguments", fault)
