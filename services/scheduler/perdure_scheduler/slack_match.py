"""What a request of Slack is about, and whether it fulfils a SLACK trigger's filters. Pure.

Three things come by HTTP: events (Events API), slash commands, and what people do with buttons and
dialogues. Names of fields are those of Slack's references of the three.
"""

from collections.abc import Mapping
from typing import Any, cast

from perdure_contracts.message import Json

COMMAND = "slash_command"
"""What a slash command is called among `events`."""

CHALLENGE = "url_verification"


def team_of(data: Json) -> str:
    """Return the workspace that a request comes from, empty if it does not say."""
    body = _mapping(data)
    team = body.get("team_id") or _mapping(body.get("team")).get("id")
    return team if isinstance(team, str) else ""


def kind_of(data: Json) -> str:
    """Return what happened: the type of the event, `slash_command`, or that of an interaction."""
    body = _mapping(data)
    if body.get("type") == "event_callback":
        return _text(_mapping(body.get("event")).get("type"))
    return COMMAND if "command" in body else _text(body.get("type"))


def delivery_of(data: Json) -> str:
    """Return what makes a request one: the event's id, or that of what a person did."""
    body = _mapping(data)
    return _text(body.get("event_id")) or _text(body.get("trigger_id"))


def is_own(data: Json) -> bool:
    """Return whether the app hears itself: a workflow that answers would start itself for ever."""
    body = _mapping(data)
    event = _mapping(body.get("event"))
    app = body.get("api_app_id")
    message = _mapping(event.get("message"))  # message_changed has the message in the event
    for said in (event, message):
        profile = _mapping(said.get("bot_profile"))
        if app and app in (said.get("app_id"), profile.get("app_id")):
            return True
        if said.get("user") and said.get("user") in _own_users(body):
            return True
    return False


def _own_users(body: Mapping[str, Any]) -> tuple[Any, ...]:
    given = body.get("authorizations")
    if not isinstance(given, list):
        return ()
    installed = [_mapping(each) for each in cast("list[Any]", given)]
    return tuple(each.get("user_id") for each in installed if each.get("is_bot") is True)


def slack_fulfils(config: Mapping[str, Any], data: Json) -> bool:
    """Return whether a request fulfils every filter that a SLACK trigger gives.

    `events` are types, `commands` slash commands; `channels` and `users` are ids. The app's own
    messages never do.
    """
    if is_own(data) or kind_of(data) in ("", CHALLENGE):
        return False
    body = _mapping(data)
    event = _mapping(body.get("event")) or body
    found = {
        "events": kind_of(data),
        "commands": body.get("command"),
        "channels": _id(event, "channel"),
        "users": _id(event, "user"),
    }
    return all(found[name] in config[name] for name in found if name in config)


def _id(event: Mapping[str, Any], name: str) -> str:
    """Return an id where events, commands or interactions have it."""
    value: Any = event.get(name, event.get(f"{name}_id"))
    if not isinstance(value, str):
        value = _mapping(value).get("id")
    if value is None and name == "channel":
        value = _mapping(event.get("item")).get("channel")
    return _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
