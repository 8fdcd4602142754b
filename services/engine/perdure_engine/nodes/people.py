"""What the nodes that ask people have in common: whom they ask, where, and until when."""

from collections.abc import Iterable
from typing import Any, cast

from .base import Fault, Parameter, Parameters

PORTS = ("approved", "rejected", "response", "timeout")
CHANNELS = ("slack", "email", "webhook", "in_app")
PRIORITIES = ("low", "normal", "high", "critical")
DEFAULTS = ("reject", "approve", "timeout")
TIMEOUT_S_MAX = 366 * 86_400.0

TITLE = Parameter("title", "text", "What is asked, in a line.", optional=False, expressions=True)
TEXT = Parameter("text", "text", "What people need to know.", expressions=True)

ASKED: tuple[Parameter, ...] = (
    Parameter("channels", "list", "Where they are asked; by default `in_app`.", of="text", most=4),
    Parameter(
        "assignees",
        "list",
        "Who is asked: users and groups; by default whoever may in the workspace.",
        expressions=True,
        most=100,
    ),
    Parameter("priority", "text", "How urgent it is.", default="normal", choices=PRIORITIES),
    Parameter(
        "timeout_s",
        "number",
        "After how long it ends by itself, in seconds.",
        least=1,
        most=TIMEOUT_S_MAX,
    ),
    Parameter(
        "default_action",
        "text",
        "How it ends by itself; by default `timeout` where that port is connected, else `reject`.",
        choices=DEFAULTS,
    ),
)
RULE = Parameter(
    "rule",
    "any",
    "Whose word counts: `any`, `all`, or how many of the assignees.",
    default="any",
)


def outputs(parameters: Parameters) -> tuple[str, ...]:
    """Return the ports of every node that asks people."""
    del parameters
    return PORTS


def check(parameters: Parameters) -> Iterable[Fault]:
    """Find channels that there are not, rules that nobody can meet, dangerous defaults."""
    channels: Any = parameters.get("channels")
    for at, each in enumerate(cast("list[Any]", channels) if isinstance(channels, list) else []):
        if each not in CHANNELS:
            text = f"{str(each)[:80]!r} is no channel; there are {', '.join(CHANNELS)}"
            yield Fault("invalid_parameter", f"channels[{at}]", text)
    rule: Any = parameters.get("rule", "any")
    number = isinstance(rule, int) and not isinstance(rule, bool)
    if rule not in ("any", "all") and not (number and rule >= 1):
        text = f"{str(rule)[:80]!r} is no rule; write `any`, `all` or a number of people"
        yield Fault("invalid_parameter", "rule", text)
    assignees: Any = parameters.get("assignees")
    count = len(cast("list[Any]", assignees)) if isinstance(assignees, list) else None
    if number and count is not None and int(rule) > count:
        text = f"{rule} of {count} assignees can never answer"
        yield Fault("invalid_parameter", "rule", text)
    if parameters.get("default_action") == "approve" and parameters.get("priority") == "critical":
        text = "what is critical is never approved by itself; choose `reject` or `timeout`"
        yield Fault("invalid_parameter", "default_action", text)
