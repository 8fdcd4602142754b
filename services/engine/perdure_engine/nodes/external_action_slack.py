"""EXTERNAL_ACTION SLACK: posts or changes a message for each item.

`post` answers `{channel, ts}`; `ts` names the message. With `thread_ts` it is an answer in
that message's thread. `update` gives the message `ts` another text. `blocks` are Slack's
Block Kit; `text` is shown where they cannot be.

Slack has no key against doubles: a message that may have been posted is not posted again by
itself. An update may be repeated. When Slack asks to wait, it is waited for.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import secret_faults
from .each import needs
from .services import BY_CREDENTIAL, ERRORS, TIMEOUT, TOKEN, attempt_timeout_s, effect_of, length


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from secret_faults(parameters, "token")
    yield from needs(parameters, {"update": ["ts"]})
    if parameters.get("text") is None and parameters.get("blocks") is None:
        yield Fault("missing_parameter", "text", "a message needs `text` or `blocks`")


SPECIFICATION = NodeSpecification(
    node_type="EXTERNAL_ACTION",
    subtype="SLACK",
    summary="Posts or changes a message for each item.",
    place="runner",
    parameters=(
        Parameter("operation", "text", "What to do.", default="post", choices=("post", "update")),
        BY_CREDENTIAL,
        TOKEN,
        Parameter("channel", "text", "The channel's id.", optional=False, expressions=True),
        Parameter("text", "text", "What it says, in Slack's markup.", expressions=True),
        Parameter("blocks", "list", "How it looks: Block Kit.", expressions=True, most=50),
        Parameter("thread_ts", "text", "The message that is answered.", expressions=True),
        Parameter("ts", "text", "The message that is changed.", expressions=True),
        TIMEOUT,
    ),
    effect=effect_of({"post": "unsafe", "update": "keyed"}),
    attempt_timeout_s=attempt_timeout_s,
    length=length,
    check=_check,
    example={
        "credential": "slack",
        "channel": "C024BE91L",
        "text": "Order {{ $json.id }} is late.",
    },
    errors=ERRORS,
)
