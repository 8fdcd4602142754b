"""What the nodes of type TOOL have in common: what a model sees of a tool, and its bounds."""

import re
from collections.abc import Iterable
from typing import Any, cast

from .base import Fault, Parameter, Parameters
from .json_schemas import is_object_schema, schema_fault
from .people import CHANNELS, PRIORITIES

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
    Parameter(
        "approval",
        "any",
        "Whether a person must allow each call: `true`, or whom to ask and how.",
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
    yield from _check_approval(parameters.get("approval"))
    schema = parameters.get("arguments")
    if schema is None:
        return
    fault = schema_fault(schema)
    if not fault and not is_object_schema(schema):
        fault = "its `type` must be `object`"
    if fault:
        yield Fault("invalid_parameter", "arguments", fault)


APPROVAL = ("title", "text", "assignees", "channels", "priority", "timeout_s")
"""What `approval` may say of how people are asked."""


def _check_approval(approval: Any) -> Iterable[Fault]:
    """Find what is wrong with how people are asked before a call."""
    if approval is None or isinstance(approval, bool):
        return
    if not isinstance(approval, dict):
        yield Fault("invalid_parameter", "approval", "`approval` must be `true` or an object")
        return
    given = cast("dict[str, Any]", approval)
    for name in given:
        if name not in APPROVAL:
            text = f"there is no {str(name)[:80]!r}; there are {', '.join(APPROVAL)}"
            yield Fault("unknown_parameter", f"approval.{str(name)[:80]}", text)
    for name in ("assignees", "channels"):
        value: Any = given.get(name, [])
        listed = cast("list[Any]", value) if isinstance(value, list) else [None]
        if not all(isinstance(each, str) for each in listed):
            yield Fault(
                "invalid_parameter", f"approval.{name}", f"`{name}` must be a list of texts"
            )
    wanted: Any = given.get("channels", [])
    for at, each in enumerate(cast("list[Any]", wanted) if isinstance(wanted, list) else []):
        if isinstance(each, str) and each not in CHANNELS:
            text = f"{each[:80]!r} is no channel; there are {', '.join(CHANNELS)}"
            yield Fault("invalid_parameter", f"approval.channels[{at}]", text)
    if given.get("priority", "normal") not in PRIORITIES:
        text = f"`priority` must be one of {', '.join(PRIORITIES)}"
        yield Fault("invalid_parameter", "approval.priority", text)
    seconds = given.get("timeout_s", 1)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 1:
        yield Fault("invalid_parameter", "approval.timeout_s", "`timeout_s` must be 1 or more")
