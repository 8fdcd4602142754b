"""EXTERNAL_ACTION GOOGLE_CALENDAR: events of Google's Calendar API, version 3."""

import hashlib
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

from perdure_engine.nodes.external_action_google_calendar import INSTANT
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.services import Service, given, invalid

GONE = (404, 410)
"""Statuses of an event that is deleted already."""


def event_id(idempotency_key: str) -> str:
    """Return the id of the event that a key makes: letters and digits of base32hex."""
    return hashlib.sha256(idempotency_key.encode()).hexdigest()[:40]


async def event(calendar: Service, idempotency_key: str) -> dict[str, Any] | Failed:
    """Make, change or delete the event of one item; return it, or why it was not done."""
    parameters = calendar.parameters
    events = f"/calendars/{quote(str(parameters.get('calendar_id') or 'primary'), safe='')}/events"
    query = (("sendUpdates", str(parameters.get("send_updates") or "none")),)
    named = str(parameters.get("event_id") or "")
    place = f"{events}/{quote(named, safe='')}"
    operation = parameters.get("operation")
    if operation != "create_event" and (not named or named in (".", "..")):
        return invalid("`event_id` must be the id of an event")
    if operation == "delete_event":
        answered = await calendar.call("DELETE", place, query=query)
        if isinstance(answered, Failed) and answered.error.status_code not in GONE:
            return answered
        return {"id": named, "deleted": True}
    body = _body(parameters)
    if isinstance(body, Failed):
        return body
    if operation == "update_event":
        return _told(await calendar.call("PATCH", place, body, query))
    made_id = event_id(idempotency_key)
    answered = await calendar.call("POST", events, {"id": made_id, **body}, query)
    if isinstance(answered, Failed) and answered.error.status_code == 409:
        answered = await calendar.call("GET", f"{events}/{made_id}")  # an earlier attempt made it
    return _told(answered)


def _body(parameters: Mapping[str, Any]) -> dict[str, Any] | Failed:
    body = given(parameters, "summary", "description", "location")
    for name in ("start", "end"):
        value: Any = parameters.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not INSTANT.fullmatch(value):
            return invalid(f"`{name}` is {str(value)[:80]!r}; write 2026-01-31T12:00:00Z")
        if "T" not in value:
            body[name] = {"date": value}
        else:
            zone = parameters.get("zone")
            body[name] = {"dateTime": value, **({"timeZone": zone} if zone else {})}
    guests: Any = parameters.get("attendees")
    if guests is not None:
        if not isinstance(guests, list):
            return invalid("`attendees` must be a list of addresses")
        body["attendees"] = [{"email": str(guest)} for guest in cast("list[Any]", guests)]
    return body


def _told(answered: Any) -> dict[str, Any] | Failed:
    if isinstance(answered, Failed):
        return answered
    made: dict[str, Any] = answered[1]
    return made
