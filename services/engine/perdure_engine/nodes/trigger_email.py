"""TRIGGER EMAIL: a mail to an address starts the workflow.

Mails come to perdure's SMTP listener, or are fetched from a mailbox by IMAP. The item has `from`,
`to`, `subject`, `text`, `html`, `headers` and `attachments` (by reference), and `recipient`.
"""

from .base import NodeSpecification, Parameter

SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="EMAIL",
    summary="Starts on a mail to its address.",
    place="trigger",
    parameters=(
        Parameter("address", "text", "The address, such as orders@example.com.", optional=False),
        Parameter(
            "mailbox",
            "object",
            "The mailbox to fetch mails from; without it the SMTP listener takes them.",
            entries=(
                Parameter("host", "text", "The IMAP server.", optional=False),
                Parameter("port", "integer", "Its port.", least=1, most=65535),
                Parameter(
                    "tls",
                    "text",
                    "How the connection is sealed.",
                    default="implicit",
                    choices=("implicit", "starttls", "none"),
                ),
                Parameter("user", "text", "Who logs in.", optional=False),
                Parameter(
                    "credential", "text", "The credential with the `password`.", optional=False
                ),
                Parameter("folder", "text", "The folder.", default="INBOX"),
                Parameter(
                    "poll_s",
                    "integer",
                    "How often a server is asked that does not tell by itself, in seconds.",
                    default=60,
                    least=5,
                    most=3600,
                ),
            ),
        ),
    ),
    inputs=(),
    example={"address": "orders@example.com"},
)
