"""TRIGGER SLACK: what happens in a Slack workspace starts the workflow.

Events (Events API), slash commands and interactions come by HTTP, signed. The item is the body, as
Slack's references have it. A filter is one text or a list; an event must fit all filters that are
there. What the app itself says starts nothing. docs/trigger-slack.md tells the rest.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults
from .hook_limits import LIMITS
from .word_filters import filter_faults

FILTERS = {
    "events": "message",
    "commands": "/deploy",
    "channels": "C2147483705",
    "users": "U2147483697",
}
"""The filters, each with an example."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from filter_faults(parameters, FILTERS)
    yield from handle_faults(parameters)


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
        *LIMITS,
    ),
    inputs=(),
    check=_check,
    example={"credential": "slack", "events": ["app_mention"]},
)
