"""FLOW WAIT: goes on at an instant, or when somebody says so.

With `seconds` or `until` the items leave on `main` when the time has come. With `event` the run
waits for an event of that name: a signal to this execution (`perdure executions signal`), or a
CloudEvent on perdure.triggers.v1 of the type `perdure.event.NAME`, with the `key` as its
subject. An event that comes before anybody waits for it is kept: one from the
topic for 24 hours, a signal as long as the execution runs. With `webhook: true` it waits for a
call of the execution's resume URL, `$execution.resume_url`, which is there from the start, so
it can be sent out before. What came leaves on `main` as items in place of those that waited: an
object as one, a list of objects as one each.

After `timeout_seconds` the items leave on `timeout` as they came. A WAIT waits once for all its
items; expressions see the first one. It survives restarts, however long it waits.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, ExpressionError, Scope

from .base import MAIN, Fault, NodeSpecification, Parameter, Parameters
from .conditions import kind_of
from .errors import data_error

TIMEOUT = "timeout"
WAYS = ("seconds", "until", "event", "webhook")

WAIT_S_MAX = 366 * 86_400.0
"""The longest that a WAIT waits for an instant: a year, in seconds."""

TEXT_MAX = 255
"""Characters of an event's name and key."""


@dataclass(frozen=True, slots=True)
class WaitPlan:
    """What a run waits for, and what happens at `until`: it leaves on `port`."""

    kind: Literal["time", "event", "webhook"]
    until: datetime | None
    port: str
    name: str = ""
    key: str = ""


def plan_of(
    prepared: Any, scope: Scope, now: datetime
) -> "WaitPlan | ErrorFacts | ExpressionError":
    """Return what a run waits for that begins now, or why that cannot be told."""
    compiled: Mapping[str, Compiled] = prepared
    try:
        values = {name: each.evaluate(scope) for name, each in compiled.items()}
    except ExpressionError as error:
        return error
    timeout = _timeout(values.get("timeout_seconds"), now)
    if isinstance(timeout, ErrorFacts):
        return timeout
    if values.get("event") is not None:
        return _event(values["event"], timeout)
    if values.get("webhook"):
        return WaitPlan("webhook", timeout, TIMEOUT)
    if values.get("seconds") is not None:
        instant = _after(values["seconds"], "seconds", now)
    else:
        instant = _instant(values.get("until"), now)
    if isinstance(instant, ErrorFacts):
        return instant
    if timeout is not None and timeout < instant:
        return WaitPlan("time", timeout, TIMEOUT)
    return WaitPlan("time", instant, MAIN)


def _timeout(value: Json, now: datetime) -> datetime | ErrorFacts | None:
    return None if value is None else _after(value, "timeout_seconds", now)


def _after(value: Json, name: str, now: datetime) -> datetime | ErrorFacts:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= WAIT_S_MAX:
        text = f"`{name}` is {str(value)[:80]}; give seconds from 0 to {WAIT_S_MAX:,.0f}"
        return data_error("invalid_wait", text)
    return now + timedelta(seconds=value)


def _instant(value: Json, now: datetime) -> datetime | ErrorFacts:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or found - now > timedelta(seconds=WAIT_S_MAX):
        text = (
            f"`until` is {str(value)[:80]}; give an instant within a year with its time zone, such "
            "as 2026-01-01T00:00:00Z"
        )
        return data_error("invalid_wait", text)
    return found


def _event(value: Any, timeout: datetime | None) -> WaitPlan | ErrorFacts:
    if not isinstance(value, dict):
        text = f"`event` is {kind_of(value)}; give an object with `name` and, if any, `key`"
        return data_error("invalid_wait", text)
    value = cast("dict[str, Any]", value)
    name, key = value.get("name"), value.get("key")
    key = str(key) if isinstance(key, int) and not isinstance(key, bool) else key or ""
    if not isinstance(name, str) or not 0 < len(name) <= TEXT_MAX:
        text = f"the event's `name` is {str(name)[:80]}; give a text of 1 to {TEXT_MAX} characters"
        return data_error("invalid_wait", text)
    if not isinstance(key, str) or len(key) > TEXT_MAX:
        text = f"the event's `key` is {str(key)[:80]}; give a text of at most {TEXT_MAX} characters"
        return data_error("invalid_wait", text)
    return WaitPlan("event", timeout, TIMEOUT, name, key)


def _check(parameters: Parameters) -> Iterable[Fault]:
    values = {name: parameters.get(name) for name in WAYS}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if len(given) != 1:
        found = "it has none" if not given else f"it has {' and '.join(given)}"
        yield Fault(
            "invalid_parameter",
            given[1] if given else "seconds",
            f"a WAIT has one of `seconds`, `until`, `event` and `webhook`; {found}",
        )


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    del parameters
    return (MAIN, TIMEOUT)


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="WAIT",
    summary="Waits for an instant, an event, or a call of the resume URL.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("seconds", "number", "How long it waits.", expressions=True, least=0.0),
        Parameter("until", "text", "The instant at which it goes on.", expressions=True),
        Parameter(
            "event",
            "object",
            "The event that it waits for.",
            expressions=True,
            entries=(
                Parameter("name", "text", "What it is called.", optional=False, expressions=True),
                Parameter("key", "any", "Which one of that name, if any.", expressions=True),
            ),
        ),
        Parameter("webhook", "boolean", "Whether a call of the resume URL lets it go on."),
        Parameter(
            "timeout_seconds",
            "number",
            "After how long the items leave on `timeout`.",
            expressions=True,
            least=0.0,
        ),
    ),
    outputs=_outputs,
    check=_check,
    handled=True,
    example={
        "event": {"name": "order.paid", "key": "{{ $json.order }}"},
        "timeout_seconds": 86_400,
    },
    errors=("invalid_wait",),
)
