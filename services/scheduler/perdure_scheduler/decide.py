"""Which executions a trigger event starts. Pure; who serves is decided in deploying.py."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from perdure_common.decider import Facts, Rejected, Row
from perdure_common.ids import canonical_json, derived, time_ordered
from perdure_contracts.engine import Mode
from perdure_contracts.scheduler import (
    FilterFailed,
    ReceiveTrigger,
    Start,
    TriggerAccepted,
    TriggerEvent,
)

from .filters import sift
from .match import matches, nearest, subtype_of, taken_by
from .state import Trigger

MODES: Mapping[str, Mode] = {"MANUAL": "MANUAL", "WEBHOOK": "WEBHOOK"}
"""The mode of an execution by the subtype of the event; every other one is TRIGGER."""

KEY_EXTENSION = "executionkey"
"""The extension of a trigger event with the key of the execution that it starts."""

STARTS_MAX = 500
"""Executions that one event of ours starts; below what the shell lets an event send."""


# Trigger events ---------------------------------------------------------------------


def decide_trigger(
    state: Trigger, command: ReceiveTrigger, facts: Facts, now: datetime
) -> tuple[TriggerEvent, ...] | Rejected:
    """Return the executions that a trigger event starts, nothing when it matches nothing."""
    del now  # ids follow from the event alone, so that a redelivery gives the same ones
    if state.executions:
        return Rejected(
            f"event {command.event_id!r} of {command.source!r} came before and started "
            f"{', '.join(state.executions)}; give a new event a new id",
            "duplicate_trigger",
        )
    subtype = subtype_of(command.event_type, command.extensions)
    if subtype == "MANUAL":
        row = _named(command, facts)
        if isinstance(row, Rejected):
            return row
        rows: Sequence[Row] = (row,)
    else:
        rows = _matching(command, subtype, facts["by_key"])
        rows = [*rows, *_served(command, subtype, rows, facts.get("taken_by", ()))]
    sifted = sift(rows, command)
    starts = [_start(command, subtype, row) for row in sorted(sifted.rows, key=_place)]
    accepted = tuple(
        _accepted(command, subtype, starts[first : first + STARTS_MAX])
        for first in range(0, len(starts), STARTS_MAX)
    )
    if not sifted.faults:
        return accepted
    failed = FilterFailed(
        source=command.source, event_id=command.event_id, faults=sifted.faults[:STARTS_MAX]
    )
    return (*accepted, failed)


def _matching(command: ReceiveTrigger, subtype: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows that an event is for, before their filters are asked."""
    found = [row for row in rows if matches(subtype, row, command)]
    return nearest(command.subject, found) if subtype == "EMAIL" else found


def _served(
    command: ReceiveTrigger, subtype: str, serving: Sequence[Row], rows: Sequence[Row]
) -> Iterable[Row]:
    """Return who took a request and serves no more: its sender was told that it starts."""
    taken = set(taken_by(subtype, command))
    there = {(str(row["workflow_id"]), str(row["node_id"])) for row in serving}
    for row in rows:
        node = (str(row["workflow_id"]), str(row["node_id"]))
        if (node, row["deployment_version"]) in taken and node not in there:
            yield row


def _named(command: ReceiveTrigger, facts: Facts) -> Row | Rejected:
    """Return the trigger of the workflow that a manual event names.

    The workflow's first MANUAL trigger fires, else its first trigger, or the one that the
    event asks for.
    """
    rows = facts.get("by_id") or facts["by_name"]
    workflows = sorted({str(row["workflow_id"]) for row in rows})
    if not workflows:
        return Rejected(
            f"no deployed workflow has the id or name {command.subject!r}; deploy it, or name "
            "one that is, then send the event again",
            "workflow_not_found",
            dead_letter=True,
        )
    if len(workflows) > 1:
        return Rejected(
            f"{len(workflows)} deployed workflows are called {command.subject!r}; give the id "
            f"of the one that you mean as the subject: {_some(workflows)}",
            "ambiguous_subject",
            dead_letter=True,
        )
    wanted = command.trigger_node
    if wanted is not None:
        for row in rows:
            if row["node_id"] == wanted:
                return row
        known = _some(str(row["node_id"]) for row in sorted(rows, key=_place))
        return Rejected(
            f"workflow {command.subject!r} serves no trigger node {wanted!r}; it has {known}",
            "trigger_node_not_found",
            dead_letter=True,
        )
    return min(rows, key=lambda row: (row["trigger_subtype"] != "MANUAL", row["position"]))


def _start(command: ReceiveTrigger, subtype: str, row: Row) -> Start:
    workflow_id, node_id = str(row["workflow_id"]), str(row["node_id"])
    return Start(
        execution_id=execution_id(command, workflow_id, node_id),
        workflow_id=workflow_id,
        version=row["deployment_version"],
        node_id=node_id,
        mode=MODES.get(subtype, "TRIGGER"),
        triggered_by=f"{subtype}:{node_id}",
    )


def execution_id(command: ReceiveTrigger, workflow_id: str, node_id: str) -> str:
    """Return the id of the execution that an event starts at a trigger node.

    It begins with the event's own time (0 when it has none), and is the same however often
    the event is delivered. A caller may choose a key instead (extension `executionkey`): then it
    is the same for every event with that key, at this trigger.
    """
    key = command.extensions.get(KEY_EXTENSION)
    if key:
        return derived("execution-key", command.tenant_id, workflow_id, node_id, key)
    parts = [command.tenant_id, command.source, command.event_id, workflow_id, node_id]
    return time_ordered(_milliseconds(command.time), canonical_json(parts).decode())


def _milliseconds(time: str | None) -> int:
    """Return an RFC 3339 instant in milliseconds since 1970, 0 when there is none."""
    try:
        at = datetime.fromisoformat((time or "").upper())
    except ValueError:
        return 0
    return max(0, int(at.timestamp() * 1000)) if at.tzinfo is not None else 0


def _accepted(command: ReceiveTrigger, subtype: str, starts: Sequence[Start]) -> TriggerAccepted:
    return TriggerAccepted(
        source=command.source,
        event_id=command.event_id,
        event_type=command.event_type,
        subject=command.subject,
        time=command.time,
        data=command.data,
        starts=tuple(starts),
        subtype=subtype,
        body_sha256=command.body_sha256,
        http=command.http,
        watch=command.watch,
    )


def _place(row: Row) -> tuple[str, int]:
    position: Any = row["position"]
    return str(row["workflow_id"]), position


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:10]) + (" …" if len(listed) > 10 else "")
