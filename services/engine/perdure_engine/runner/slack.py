"""EXTERNAL_ACTION SLACK: `chat.postMessage` and `chat.update` of Slack's Web API."""

from typing import Any

from perdure_engine.runner.failures import Failed
from perdure_engine.runner.services import Service, given, refused

METHODS = {"post": "chat.postMessage", "update": "chat.update"}

TROUBLE = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
"""Errors after which nobody knows whether the message stands."""


async def message(slack: Service) -> dict[str, Any] | Failed:
    """Post or change the message of one item; return `{channel, ts}`, or why it was not."""
    parameters = slack.parameters
    operation = str(parameters.get("operation") or "post")
    body = given(parameters, "channel", "text", "blocks")
    body |= given(parameters, "ts") if operation == "update" else given(parameters, "thread_ts")
    answered = await slack.call("POST", f"/{METHODS[operation]}", body)
    if isinstance(answered, Failed):
        return answered
    answer, made = answered
    if made.get("ok") is not True:
        code = str(made.get("error") or "no error named")
        state = "unknown" if code in TROUBLE else "refused"
        return refused(answer, "api_error", f"Slack refused: {code}", state, (code[:80],))
    return {"channel": made.get("channel"), "ts": made.get("ts")}
