"""What EMAIL and KAFKA triggers may say: where mails and records come from. Pure."""

import re
from typing import Any, cast

from perdure_contracts.message import Json

from .parameters import KEY_LENGTH_MAX, Parameters

ADDRESS = re.compile(r"[^\s@<>(),;:\"\[\]\\]+@[A-Za-z0-9.-]+")
"""A mail address as an envelope has it; quoted local parts are not taken."""

TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""A Kafka topic's name, short enough to stand in a key beside a type."""

HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")

OWN_TOPICS = "perdure."
KAFKAS_TOPICS = "__"
"""What topics begin with in which Kafka keeps offsets, transactions and their like."""

TRIGGERS = "perdure.triggers.v1"
ANY_TYPE = "*"

MAILBOX = ("host", "port", "tls", "user", "credential", "folder", "poll_s")
TLS_PORTS = {"implicit": 993, "starttls": 143, "none": 143}
POLL_S = (5, 3600)
POLL_DEFAULT_S = 60


def read_kafka(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    """Read a KAFKA trigger: its key is `topic/type`, or `topic/*` for every type."""
    del workflow_id
    parameters.known("topic", "type")
    topic, kind = TRIGGERS, ANY_TYPE
    if parameters.values.get("topic") is not None:
        topic = parameters.text("topic", "orders")
    if parameters.values.get("type") is not None:
        kind = parameters.text("type", "shop.order-placed")
    if topic and not TOPIC.fullmatch(topic):
        text = f"`topic` is {topic!r}; it has letters, digits, `.`, `_` and `-`, at most 200"
        parameters.refuse("invalid_parameter", text)
    if topic.startswith(OWN_TOPICS) and topic != TRIGGERS:
        parameters.refuse(
            "own_topic",
            f"`topic` {topic!r} is one of perdure's own; leave it out for {TRIGGERS}, or name a "
            "topic of yours",
        )
    if topic.startswith(KAFKAS_TOPICS):
        parameters.refuse(
            "own_topic",
            f"`topic` {topic!r} is one of Kafka's own: reading it writes to it, without end; name "
            "a topic of yours",
        )
    if kind.startswith("perdure.trigger.") and topic == TRIGGERS:
        parameters.refuse(
            "reserved_type",
            f"events of type {kind!r} start other triggers; use one of these, or another type",
        )
    if len(key := f"{topic}/{kind}") > KEY_LENGTH_MAX:
        text = f"`topic` and `type` may have {KEY_LENGTH_MAX - 1} characters together"
        parameters.refuse("invalid_parameter", text)
    return key, {}


def read_email(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    """Read an EMAIL trigger: its key is the address in small letters."""
    del workflow_id
    parameters.known("address", "mailbox")
    address = parameters.text("address", "orders@example.com").lower()
    if address and not ADDRESS.fullmatch(address):
        text = f"`address` is {address!r}; write it as 'orders@example.com', without a name"
        parameters.refuse("invalid_parameter", text)
    if parameters.values.get("mailbox") is None:
        return address, {}
    return address, {"mailbox": _mailbox(parameters)}


def _mailbox(parameters: Parameters) -> dict[str, Json]:
    """Read where mails are fetched from; without it they come to the SMTP listener."""
    given = parameters.values["mailbox"]
    if not isinstance(given, dict):
        text = "`mailbox` must be an object with `host`, `user` and `credential`"
        parameters.refuse("invalid_parameter", text)
        return {}
    values = cast("dict[str, Any]", given)
    for name in values:
        if name not in MAILBOX:
            text = f"there is no parameter `mailbox.{name}`; it takes {', '.join(MAILBOX)}"
            parameters.refuse("unknown_parameter", text)
    tls = values.get("tls", "implicit")
    if tls not in TLS_PORTS:
        text = f"`mailbox.tls` must be one of {', '.join(TLS_PORTS)}"
        parameters.refuse("invalid_parameter", text)
        tls = "implicit"
    return {
        "host": _matching(parameters, values, "host", HOST, "imap.example.com"),
        "port": _number(parameters, values, "port", (1, 65535), TLS_PORTS[tls]),
        "tls": tls,
        "user": _line(parameters, values, "user", "orders@example.com"),
        "credential": _matching(parameters, values, "credential", HANDLE, "orders-mailbox"),
        "folder": _line(parameters, {"folder": "INBOX", **values}, "folder", "INBOX"),
        "poll_s": _number(parameters, values, "poll_s", POLL_S, POLL_DEFAULT_S),
    }


def _matching(
    parameters: Parameters, values: dict[str, Any], name: str, shape: re.Pattern[str], example: str
) -> str:
    value = values.get(name)
    if isinstance(value, str) and shape.fullmatch(value):
        return value
    parameters.refuse("invalid_parameter", f"`mailbox.{name}` must be such as {example!r}")
    return ""


def _line(parameters: Parameters, values: dict[str, Any], name: str, example: str) -> str:
    value = values.get(name)
    if isinstance(value, str) and 0 < len(value) <= KEY_LENGTH_MAX and value.isprintable():
        return value
    parameters.refuse("invalid_parameter", f"`mailbox.{name}` must be such as {example!r}")
    return ""


def _number(
    parameters: Parameters,
    values: dict[str, Any],
    name: str,
    bounds: tuple[int, int],
    default: int,
) -> int:
    value = values.get(name, default)
    least, most = bounds
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    text = f"`mailbox.{name}` must be a whole number from {least} to {most:,}"
    parameters.refuse("invalid_parameter", text)
    return default
