"""EXTERNAL_ACTION SEND_EMAIL: sends one mail for each item, by SMTP.

The answer is `{message_id, accepted, refused}`; it fails where the server refuses every
recipient. `server` is a name that the operator has given an address and credentials
(`PERDURE_MAIL_SERVERS`), or a credential has the address as `url`, such as
`smtps://user:password@host:465`. `attachments` are files of the item, 25 MB together. With both
`text` and `html` the reader's program chooses.

The Message-ID follows from the idempotency key, the same in every attempt. A mail that may
have been sent is not sent again by itself, unless `deduplicated` says that what receives it
drops a second mail with the same Message-ID.
"""

from collections.abc import Iterable
from typing import Any, cast

from perdure_contracts.engine import EffectClass

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, secret_faults
from .services import TIMEOUT_S, attempt_timeout_s, length

ATTACHMENTS_BYTES_MAX = 25 * 1024 * 1024
"""All attachments of a mail together, before they are written in Base64."""

RECIPIENTS_MAX = 100
"""Recipients of one mail: to, cc and bcc together."""


def effect(parameters: Parameters) -> EffectClass:
    """Return what a second mail costs."""
    return "keyed" if parameters.get("deduplicated") is True else "unsafe"


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from secret_faults(parameters, "server")
    if parameters.get("text") is None and parameters.get("html") is None:
        yield Fault("missing_parameter", "text", "a mail needs `text` or `html`")
    for name in ("to", "cc", "bcc"):
        value: Any = parameters.get(name)
        listed = isinstance(value, list) and all(
            isinstance(each, str) for each in cast("list[Any]", value)
        )
        if value is not None and not isinstance(value, str) and not listed:
            yield Fault("invalid_parameter", name, f"`{name}` must be an address, or a list")


SPECIFICATION = NodeSpecification(
    node_type="EXTERNAL_ACTION",
    subtype="SEND_EMAIL",
    summary="Sends one mail for each item, by SMTP.",
    place="runner",
    parameters=(
        Parameter("server", "text", "Its name in the operator's setting."),
        credential("`url`, instead of `server`"),
        Parameter("from", "text", "Who it is from.", optional=False, expressions=True),
        Parameter("to", "any", "An address, or a list.", optional=False, expressions=True),
        Parameter("cc", "any", "An address, or a list.", expressions=True),
        Parameter("bcc", "any", "An address, or a list; nobody sees it.", expressions=True),
        Parameter("reply_to", "text", "Where answers go.", expressions=True),
        Parameter("subject", "text", "What it is about.", optional=False, expressions=True),
        Parameter("text", "text", "What it says, as plain text.", expressions=True),
        Parameter("html", "text", "What it says, as HTML.", expressions=True),
        Parameter(
            "attachments",
            "any",
            "The name of a file of the item, or a list of them.",
            expressions=True,
        ),
        Parameter(
            "deduplicated",
            "boolean",
            "Whether a second mail of one Message-ID is dropped on the way.",
            default=False,
        ),
        Parameter(
            "timeout_s",
            "number",
            "The limit of one mail, in seconds.",
            default=TIMEOUT_S,
            least=1,
            most=300,
        ),
    ),
    effect=effect,
    attempt_timeout_s=attempt_timeout_s,
    length=length,
    check=_check,
    example={
        "server": "office",
        "from": "Shop <shop@example.com>",
        "to": "{{ $json.email }}",
        "subject": "Your order {{ $json.id }}",
        "text": "Thank you! It is on its way.",
    },
    errors=(
        *("mail_refused", "server_not_known", "connect_failed", "connection_reset"),
        *("attempt_timeout", "invalid_parameters", "file_not_found", "file_gone"),
        *("file_too_large", "files_unreachable"),
    ),
)
