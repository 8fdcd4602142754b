"""TRIGGER SLACK: what happens in a Slack workspace starts the workflow.

Events (Events API), slash commands and interactions come by HTTP, signed. The item is the body, as
Slack's references have it. A filter is one text or a list; an event must fit all filters that are
there. What the app itself says starts nothing. docs/trigger-slack.md tells the rest.
"""

from collections.abc import Iterable
from typing import Any, cast

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults

WORDS_MAX = 50
WORD_LENGTH_MAX = 255
"""How many entries a filter may list, and the characters of each."""

FILTERS = {
    "events": "message",
    "commands": "/deploy",
    "channels": "C2147483705",
    "users": "U2147483697",
}
"""The filters, each with an example."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    for name, example in FILTERS.items():
        if name in parameters and not _words(parameters[name]):
            yield Fault(
                "invalid_parameter",
                name,
                f"`{name}` must be a list of 1 to {WORDS_MAX} texts, such as [{example}]",
            )
    yield from handle_faults(parameters)


def _words(value: Any) -> bool:
    words = cast("list[Any]", value) if isinstance(value, list) else [value]
    return 0 < len(words) <= WORDS_MAX and all(
        isinstance(word, str) and 0 < len(word) <= WORD_LENGTH_MAX for word in words
    )


SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="SLACK",
    summary="Starts on an event or a command of Slack.",
    place="trigger",
    parameters=(
        credential("`secret`, the app's signing secret"),
        Parameter("team", "text", "The workspace's id, such as T024BE7LD; all if left out."),
        Parameter("events", "any", "Types of events, or slash_command; none is all."),
        Parameter("commands", "any", "Slash commands, such as /deploy; none is all."),
        Parameter("channels", "any", "Ids of channels; none is all."),
        Parameter("users", "any", "Ids of who did it; none is all."),
        Parameter("path", "text", "Where Slack sends to; /slack if left out."),
    ),
    inputs=(),
    check=_check,
    example={"credential": "slack", "events": ["app_mention"]},
)
