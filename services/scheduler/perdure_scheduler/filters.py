"""Filters: an expression over `$json` and `$event` that a trigger event must fulfil. Pure.

`$event` has the event's `id`, `source`, `type`, `subject`, `time` and extensions. Only `true` is a
match: a filter that fails, or gives something else, starts nothing and is shown on its trigger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from perdure_common.decider import Row
from perdure_contracts.message import Json
from perdure_contracts.scheduler import FilterFault, ReceiveTrigger
from perdure_expressions import Expression, ExpressionError, Scope, compile_template

NAME = "filter"
FAULT_LENGTH_MAX = 500
"""Characters of what is shown of a filter that failed."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows whose filters an event fulfils, and what went wrong with others."""

    rows: Sequence[Row]
    faults: tuple[FilterFault, ...]


@lru_cache(4096)
def compiled(text: str) -> Expression:
    """Return a filter that was checked when its version was deployed."""
    found = compile_template(text, NAME)
    assert isinstance(found, Expression)
    return found


def read_filter(value: Any) -> tuple[str | None, str]:
    """Return a filter as it is kept, None without one, and what is wrong with it.

    `true` is no filter at all.
    """
    if value is None or value is True:
        return None, ""
    if value is False:
        return None, "`filter` is false, so nothing would ever start; disable the node instead"
    if not isinstance(value, str):
        return None, "`filter` must be one expression, such as '{{ $json.total > 100 }}'"
    try:
        found = compile_template(value.strip(), NAME)
    except ExpressionError as error:
        return None, f"`filter`: {error}"
    if not isinstance(found, Expression):
        return None, "`filter` must be one whole expression, such as '{{ $json.total > 100 }}'"
    asked = found.references
    if asked.nodes or any(
        (asked.uses_input, asked.uses_now, asked.uses_vars, asked.uses_execution,
         asked.uses_context)
    ):  # fmt: skip
        return None, "`filter` sees $json and $event alone: nothing has run yet"
    return value.strip(), ""


def sift(rows: Sequence[Row], command: ReceiveTrigger) -> Sifted:
    """Return which of the rows an event fulfils the filters of."""
    scope: Scope | None = None
    passed: list[Row] = []
    faults: list[FilterFault] = []
    for row in rows:
        text = row["trigger_config"].get(NAME)
        if text is None:
            passed.append(row)
            continue
        scope = scope or Scope(json=command.data, event=attributes(command))
        fault = verdict(text, scope)
        if fault is None:
            passed.append(row)
        elif fault:
            faults.append(
                FilterFault(
                    workflow_id=str(row["workflow_id"]),
                    version=row["deployment_version"],
                    node_id=str(row["node_id"]),
                    message=fault[:FAULT_LENGTH_MAX],
                )
            )
    return Sifted(passed, tuple(faults))


def attributes(command: ReceiveTrigger) -> Mapping[str, Json]:
    """Return `$event`."""
    return {
        **command.extensions,
        "id": command.event_id,
        "source": command.source,
        "type": command.event_type,
        "subject": command.subject,
        "time": command.time,
    }


def verdict(text: str, scope: Scope) -> str | None:
    """Return None for a match of a filter, "" for none, and otherwise what went wrong."""
    try:
        value = compiled(text).evaluate(scope)
    except ExpressionError as error:
        return f"{error.code}: {error}"
    if value is True:
        return None
    if value is False:
        return ""
    kind = "null" if value is None else type(value).__name__
    return f"the filter gave {kind}, not true or false; compare, or write !!(…)"
