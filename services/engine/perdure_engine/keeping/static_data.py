"""Static data of a workflow: values that its executions leave for those to come. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from perdure_common.decider import Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_contracts.asking import NoteAnswer
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.kept import (
    StaticDataEvent,
    StaticDataRefused,
    StaticDataUpdated,
    UpdateStaticData,
)
from perdure_contracts.message import Json

from .limits import TOTAL_BYTES_MAX, bytes_of

COMMANDS = "perdure.engine.commands.v1"
REQUESTS_MAX = 1_000
"""Requests that are remembered, so that one that comes again is not carried out twice."""


@dataclass(frozen=True)
class StaticData:
    """What is kept (None: nothing yet), how often it was changed, and which requests were heard.

    Behind one that was refused stand the code and the reason, in lines of their own.
    """

    data: Mapping[str, Json] | None = None
    number: int = 0
    heard: tuple[str, ...] = field(default=())

    def said_to(self, request_id: str) -> str | None:
        """Return what stands of a request that was heard, None if it was not."""
        if not request_id:
            return None
        known = (each for each in self.heard if each.partition("\n")[0] == request_id)
        return next(known, None)


def decide(
    state: StaticData, command: UpdateStaticData, facts: Facts, now: datetime
) -> tuple[StaticDataEvent, ...] | Rejected:
    """Return what happened, or why nothing did; a node that asks is told by an event."""
    del facts, now
    said = state.said_to(command.request_id)
    if said is not None:
        return _answered_again(state, command, said)
    code, reason = "", ""
    data = _changed(state, command)
    size = bytes_of(data)
    if command.expected is not None and command.expected != state.number:
        code = "static_data_conflict"
        reason = (
            f"the static data was changed {state.number} times, not {command.expected}: another "
            "execution was faster; rerun this one from its start, or let it overwrite"
        )
    elif size is None or size > TOTAL_BYTES_MAX:
        code = "static_data_too_large"
        reason = (
            f"the static data would have {size or 0:,} bytes as JSON, at most "
            f"{TOTAL_BYTES_MAX:,} are allowed, without U+0000; keep less, or a reference"
        )
    if not code:
        updated = StaticDataUpdated(
            static_data_id=command.static_data_id,
            workflow_id=command.workflow_id,
            data=data,
            number=state.number + 1,
            request_id=command.request_id,
            execution_id=command.execution_id,
            updated_by=command.asked_by,
        )
        return (updated,)
    if not command.execution_id:
        return Rejected(reason, code)
    return _refused(command, code, reason)


def _refused(command: UpdateStaticData, code: str, reason: str) -> tuple[StaticDataRefused]:
    refused = StaticDataRefused(
        static_data_id=command.static_data_id,
        workflow_id=command.workflow_id,
        code=code,
        reason=reason,
        request_id=command.request_id,
        execution_id=command.execution_id,
        remembered=True,
    )
    return (refused,)


def _answered_again(
    state: StaticData, command: UpdateStaticData, said: str
) -> tuple[StaticDataEvent, ...] | Rejected:
    """Return the answer of before: a node asks once, if it was not set back by a restore."""
    if not command.execution_id:
        return Rejected(f"request {command.request_id!r} was heard before", "duplicate")
    _, _, why = said.partition("\n")
    if why:
        code, _, reason = why.partition("\n")
        return _refused(command, code, reason)
    told = StaticDataUpdated(
        static_data_id=command.static_data_id,
        workflow_id=command.workflow_id,
        data=dict(state.data or {}),
        number=state.number,
        request_id=command.request_id,
        execution_id=command.execution_id,
        again=True,
    )
    return (told,)


def _changed(state: StaticData, command: UpdateStaticData) -> dict[str, Json]:
    before: Mapping[str, Json] = {}
    if state.data is not None:
        before = state.data
    elif isinstance(command.initial, dict):
        before = cast("dict[str, Any]", command.initial)
    kept = {} if command.replaces else dict(before)
    for name in command.remove:
        kept.pop(name, None)
    return {**kept, **command.values}


def evolve(state: StaticData, event: StaticDataEvent) -> StaticData:
    """Return `state` as it stands after `event`."""
    if state.said_to(event.request_id) is not None:
        return state
    said = event.request_id
    if isinstance(event, StaticDataRefused) and event.remembered:
        said = f"{said}\n{event.code}\n{event.reason}"
    heard = (*state.heard, said)[-REQUESTS_MAX:] if said else state.heard
    if isinstance(event, StaticDataUpdated):
        return StaticData(event.data, event.number, heard)
    return StaticData(state.data, state.number, heard)


def project(state: StaticData, recorded: Recorded[StaticDataEvent]) -> tuple[Upsert, ...]:
    """Return the row of the workflow's static data."""
    del state
    event = recorded.event
    if not isinstance(event, StaticDataUpdated) or event.again:
        return ()
    row: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "data": event.data,
        "number": event.number,
        "changed_by": event.updated_by or event.execution_id,
        "updated_at": recorded.recorded_at,
    }
    return (Upsert("workflow_static_data", {"workflow_id": event.workflow_id}, set=row),)


def route(state: StaticData, recorded: Recorded[StaticDataEvent]) -> tuple[Outgoing, ...]:
    """Return the answer to the execution that asked, if one did."""
    del state
    event = recorded.event
    if not event.execution_id:
        return ()
    if isinstance(event, StaticDataUpdated):
        answer = NoteAnswer(
            execution_id=event.execution_id,
            wait_id=event.request_id,
            service="engine",
            outcome="answered",
            port="main",
            detail={"data": event.data, "number": event.number},
        )
    else:
        error = ErrorFacts(type=event.code, message=event.reason, stage="engine")
        answer = NoteAnswer(
            execution_id=event.execution_id,
            wait_id=event.request_id,
            service="engine",
            outcome="failed",
            error=error,
        )
    return (Outgoing(COMMANDS, event.execution_id, answer),)
