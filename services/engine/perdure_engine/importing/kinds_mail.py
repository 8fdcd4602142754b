"""What becomes of n8n's nodes for mails: what sends one, and the mailbox that starts a workflow."""

from collections.abc import Mapping
from typing import Any

from .kinds import Map
from .source import Made, NotMapped, Source, names_in
from .texts import code_of, is_expression, whole

SERVER = "its credential has the server as `url`, such as smtps://user:password@host:465"
FILES = "an item without the attached file fails here, in n8n its mail is sent without"
IMAGES = "an image that the HTML shows (`cid:`) is an attachment here, and not shown in the mail"


def send_email(node: Source) -> Made:
    """Send Email, in both of its forms."""
    if node.fixed("operation", "send") != "send":
        raise NotMapped(
            f"`operation: {node.raw('operation')}` waits for an answer: ask by a HUMAN_IN_THE_LOOP "
            "node, or send with SEND_EMAIL and wait with FLOW WAIT"
        )
    newer = node.version >= 2
    place = "options." if newer else ""
    parameters: dict[str, Any] = {
        "credential": node.handle() or "smtp",
        "from": node.get("fromEmail", ""),
        "to": node.get("toEmail", ""),
        "subject": node.get("subject", ""),
    }
    if not parameters["from"] or not parameters["to"]:
        raise NotMapped("it does not name who sends the mail, or who gets it")
    more = {"cc": f"{place}ccEmail", "bcc": f"{place}bccEmail", "reply_to": "options.replyTo"}
    parameters |= {ours: node.get(path) for ours, path in more.items() if node.raw(path)}
    parameters |= _words(node, newer)
    notes = [SERVER]
    attached = node.raw(f"{place}attachments")
    if attached:
        parameters["attachments"] = _names(attached)
        notes.append(FILES)
        if "cid:" in str(parameters.get("html")):
            notes.append(IMAGES)
    return Made("EXTERNAL_ACTION", "SEND_EMAIL", parameters, notes=tuple(notes))


def _words(node: Source, newer: bool) -> dict[str, Any]:
    """Return what the mail says: in the newer form as `emailFormat` chooses."""
    chosen = "both"
    if newer:
        chosen = node.only("emailFormat", ("html", "text", "both") if node.version > 2 else
                           ("text", "html", "both"))  # fmt: skip
    ours = ("text", "html") if chosen == "both" else (chosen,)
    found = {name: node.get(name, "") for name in ours}
    said = {name: value for name, value in found.items() if value}
    return said or {ours[0]: ""}


def _names(value: Any) -> Any:
    """Return the names of files, which n8n has in one text with commas."""
    if is_expression(value):
        return whole(f"`${{{code_of(value)}}}`.split(',').map(name => name.trim())")
    return names_in(str(value).removeprefix("="))


def mailbox(node: Source) -> Made:
    """Email Trigger (IMAP): where the mailbox is stands in a credential, which no file has."""
    del node
    raise NotMapped(
        "begin with a TRIGGER EMAIL that has the `address` and the `mailbox` (host, user, "
        "credential); the files of its `attachments` are fetched by an HTTP_REQUEST with "
        "`response: file`"
    )


MAILS: Mapping[str, Map] = {"emailSend": send_email, "emailReadImap": mailbox}
"""By the last part of the node's type."""
