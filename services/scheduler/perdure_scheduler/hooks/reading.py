"""What a request of GitHub or Slack is about: keys, the event's name, what makes it one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from perdure_common.ids import canonical_json
from perdure_contracts.cloudevents import CloudEventError, parse_json
from perdure_contracts.message import Json

from perdure_scheduler import slack_match

from .body import FORM, BadBody, Parsed
from .verify import Headers, one

DELIVERY_MAX = 255

ANYBODY = "*"
"""What an event is about that names nobody, such as a security advisory: who listens to all."""


@dataclass(frozen=True, slots=True)
class About:
    """What an event is about, and the extensions that tell of it.

    `subject` selects triggers; empty: nobody's. `delivery` is what makes a request one.
    """

    subject: str
    delivery: str
    extensions: dict[str, str] = field(default_factory=dict[str, str])


def unwrapped(media: str, parsed: Parsed) -> Parsed:
    """Return what a form carries in its field `payload`, as GitHub and Slack send it.

    Raises:
        BadBody: It is no JSON.
    """
    payload = _mapping(parsed.data).get("payload")
    if media != FORM or not isinstance(payload, str):
        return parsed
    try:
        inner: Json = parse_json(payload, "the form's `payload`")
    except CloudEventError as error:
        raise BadBody(error.message) from None
    # What is kept apart is the form as it came: its data has a reference already.
    return Parsed(inner, parsed.encoded if parsed.kept else canonical_json(inner), parsed.kept)


def about_github(headers: Headers, data: Json) -> About:
    """Return what a delivery of GitHub is about: its repository, or whose it is."""
    body = _mapping(data)
    action, event = body.get("action"), text_of(one(headers, b"x-github-event"))
    extensions = {"event": event} if event else {}
    if isinstance(action, str):
        extensions["action"] = action
    return About(
        subject=repository_of(body),
        delivery=text_of(one(headers, b"x-github-delivery")),
        extensions=extensions,
    )


def repository_of(body: Mapping[str, Any]) -> str:
    """Return the repository; without one the organisation, the account, or the sender."""
    account = _mapping(_mapping(body.get("installation")).get("account"))
    for name in (
        _mapping(body.get("repository")).get("full_name"),
        _mapping(body.get("organization")).get("login"),
        account.get("login"),
        _mapping(body.get("sender")).get("login"),
    ):
        if isinstance(name, str) and name:
            return name
    return ANYBODY if body else ""


def about_slack(data: Json) -> About:
    """Return what a request of Slack is about: its workspace."""
    kind = slack_match.kind_of(data)
    return About(
        subject=slack_match.team_of(data) or (ANYBODY if kind else ""),
        delivery=slack_match.delivery_of(data),
        extensions={"event": kind} if kind else {},
    )


def text_of(raw: bytes) -> str:
    """Return a header as text, empty if it cannot be an id or a name."""
    if not raw.isascii() or len(raw) > DELIVERY_MAX:
        return ""
    text = raw.decode()
    return text if text.isprintable() else ""


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
