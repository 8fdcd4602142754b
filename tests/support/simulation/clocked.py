"""What clocks of the simulation start, and workflows that want one path of the listener."""

from typing import Any

from definitions_for_tests import Definition, chain, node, request

URL = "http://sim.example/do"

CONTESTED = "/contested"
"""The path that all of `RIVAL` want; no request goes there."""


def _of_clock(name: str, step: Definition, **settings: Any) -> Definition:
    made = chain(name, step)
    made["nodes"][0] = node("start", "TRIGGER.CRON", **settings)
    return made


def _of_path(name: str) -> Definition:
    made = chain(name, node("set", "ACTION.SET", values={"n": 1}))
    made["nodes"][0] = node("start", "TRIGGER.WEBHOOK", path=CONTESTED, auth="none")
    return made


CLOCKED: tuple[Definition, ...] = (
    _of_clock(
        "alone", request("ask", URL, timeout_s=4), expression="*/9 * * * * *", overlap="queue"
    ),
    _of_clock(
        "made up",
        node("set", "ACTION.SET", values={"n": 1}),
        expression="1-59/6 * * * * *",
        overlap="allow",
        misfire="fire_all",
        jitter_s=2,
    ),
    _of_clock(
        "hasty clock",
        node("wait", "FLOW.WAIT", seconds=8),
        expression="3/10 * * * * *",
        overlap="cancel_previous",
        misfire="skip",
    ),
)
"""One execution at a time of what asks a runner; side by side, with what was missed; and one that
is stopped by the next firing."""

RIVAL: tuple[Definition, ...] = (_of_path("one rival"), _of_path("another rival"))
