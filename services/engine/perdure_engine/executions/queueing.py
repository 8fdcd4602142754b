"""Executions that do not begin at once: gates let them in, and what they read is frozen. Pure.

An execution that needs neither begins with its command. One that does is NEW until the last of
its gates has let it in; it asks them one after the other, so that it holds a slot of a wide gate
only when the narrow ones before are passed. At its end it gives all slots back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from perdure_common.decider import Rejected
from perdure_common.ids import derived
from perdure_contracts.admission import (
    PRIORITIES,
    ExecutionQueued,
    ExecutionRefused,
    Gate,
    NoteSlot,
)
from perdure_contracts.engine import ErrorFacts, StartExecution
from perdure_contracts.message import Json

from perdure_engine.definition import Workflow
from perdure_engine.expressions import ExpressionError, Scope
from perdure_engine.nodes.errors import data_error

from .items import as_items
from .progress import Progress
from .state import Execution
from .state_flow import Admission

KEY_MAX = 500
"""Characters of a concurrency key."""


@dataclass(frozen=True)
class Limits:
    """How many executions may be open: of a tenant, and of a shard (None: as many as come).

    At most `waiting_max` wait at such a gate; more are refused.
    """

    tenant_open_max: int | None = None
    shard_open_max: int | None = None
    waiting_max: int = 100_000
    shards: int = 1


NO_LIMITS = Limits()


def held_back(
    progress: Progress, command: StartExecution, data: Json, workspace_id: str, limits: Limits
) -> ExecutionQueued | Rejected | None:
    """Return why an execution does not begin yet, None if it does at once."""
    workflow = progress.workflow
    concurrency = workflow.settings.concurrency
    reads = reads_of(workflow)
    if concurrency is None and not reads and limits is NO_LIMITS:
        return None
    gates: list[Gate] = []
    until = None
    if concurrency is not None:
        key = _key(progress, command, data)
        if isinstance(key, Rejected):
            return key
        gates.append(
            Gate(
                kind="key",
                key=key if concurrency.scope == "tenant" else f"{command.workflow_id}/{key}",
                limit=concurrency.limit,
                about=f"concurrency key {key[:200]!r} of {workflow.name!r}",
                policy=concurrency.on_limit,
                waiting_max=concurrency.waiting_max,
            )
        )
        if concurrency.queue_timeout_s is not None:
            until = progress.now + timedelta(seconds=concurrency.queue_timeout_s)
    if not _in_a_slot(progress.state):
        gates.extend(_gates_of(limits, command.execution_id))
    if not gates and not reads:
        return None
    return ExecutionQueued(
        execution_id=command.execution_id,
        workflow_id=command.workflow_id,
        workflow_name=workflow.name,
        workspace_id=workspace_id,
        sha256=workflow.sha256,
        start=replace(command, data=None, pin_data=None, rerun=None),
        queued_at=progress.at,
        gates=tuple(gates),
        priority=workflow.settings.priority,
        reads=reads,
        until=None if until is None else until.isoformat(),
        data=command.data,
        pin_data=command.pin_data,
        rerun=command.rerun,
    )


def _in_a_slot(state: Execution) -> bool:
    """Tell whether an execution runs in the slots of its parent, which waits for it.

    Parents that hold all slots would wait for children that wait for a slot, for ever.
    """
    parent = None if state.flow is None else state.flow.parent
    return parent is not None and parent.wait


def _gates_of(limits: Limits, execution_id: str) -> list[Gate]:
    """Return the gates that an installation puts before every execution."""
    gates: list[Gate] = []
    if limits.tenant_open_max is not None:
        gates.append(
            Gate(
                kind="tenant",
                key="",
                limit=limits.tenant_open_max,
                about="the open executions of the tenant",
                waiting_max=limits.waiting_max,
            )
        )
    if limits.shard_open_max is not None:
        shard = int(derived("shard", execution_id)[:8], 16) % limits.shards
        gates.append(
            Gate(
                kind="shard",
                key=str(shard),
                limit=limits.shard_open_max,
                about=f"the open executions of part {shard}",
                waiting_max=limits.waiting_max,
            )
        )
    return gates


def reads_of(workflow: Workflow) -> tuple[Literal["vars", "static_data"], ...]:
    """Return what is frozen for the executions of a workflow when they begin."""
    found: list[Literal["vars", "static_data"]] = []
    if workflow.uses_vars:
        found.append("vars")
    if workflow.keeps_data:
        found.append("static_data")
    return tuple(found)


def _key(progress: Progress, command: StartExecution, data: Json) -> str | Rejected:
    """Return the concurrency key of an execution: the expression sees the first item."""
    workflow = progress.workflow
    assert workflow.settings.concurrency is not None
    items = as_items(data)
    names: dict[str, Any] = {
        "id": command.execution_id,
        "mode": command.mode,
        "workflow": {
            "id": command.workflow_id,
            "name": workflow.name,
            "version": command.version,
        },
        "trigger": command.trigger,
    }
    scope = Scope(json=items[0] if items else None, now=progress.now, execution=names)
    why = ""
    try:
        value = workflow.settings.concurrency.key.evaluate(scope)
    except ExpressionError as error:
        value, why = None, f": {error}"
    key = str(value) if isinstance(value, str | int | float) else ""
    if 0 < len(key) <= KEY_MAX and "\0" not in key and not isinstance(value, bool):
        return key
    return Rejected(
        f"settings.concurrency.key of {workflow.name!r} must give a text of 1 to {KEY_MAX} "
        f"characters or a number for this execution{why}",
        "invalid_concurrency_key",
        dead_letter=True,
    )


# While it waits ---------------------------------------------------------------------------


def admission_of(state: Execution) -> Admission | None:
    """Return the admission of an execution that has not begun, None for any other."""
    admission = None if state.flow is None else state.flow.admission
    return admission if admission is not None and admission.start is not None else None


def gate_asked(admission: Admission) -> Gate | None:
    """Return the gate that is to let an execution in now, None if all have."""
    if admission.passed < len(admission.gates):
        return admission.gates[admission.passed]
    return None


def stale_slot(state: Execution, command: NoteSlot) -> Rejected | None:
    """Return why the answer of a gate means nothing any more, None if it does."""
    admission = admission_of(state)
    asked = None if admission is None else gate_asked(admission)
    if asked is not None and asked.kind == command.kind:
        return None
    return Rejected(
        f"execution {command.execution_id!r} waits for no slot of this kind any more",
        "stale_slot",
    )


def never_began(state: Execution) -> Rejected:
    """Return why nothing of an execution can be done again: it was not let in."""
    return Rejected(
        f"execution {state.execution_id!r} ended with {state.status} before it began; start a new "
        "one",
        "never_began",
    )


def refused_by_gate(state: Execution, reason: str, code: str) -> ExecutionRefused:
    """Return the end of an execution that is not let in."""
    return ExecutionRefused(
        execution_id=state.execution_id,
        workflow_id=state.workflow_id,
        error=data_error(code, reason),
    )


def waited_too_long(state: Execution, admission: Admission) -> ExecutionRefused:
    """Return the end of an execution whose time in the queue is over."""
    asked = gate_asked(admission)
    about = "" if asked is None else f"{asked.about}: "
    text = (
        f"{about}it was not its turn in time; raise settings.concurrency.limit or "
        "settings.concurrency.queue_timeout"
    )
    return refused_by_gate(state, text, "queue_timeout")


def code_of(command: NoteSlot) -> str:
    """Return the type of the error with which a gate refuses."""
    return "concurrency_limit" if command.kind == "key" else "too_many_executions"


def priority_named(name: str) -> int:
    """Return the number of a priority."""
    return PRIORITIES.index(name)


# What is read -----------------------------------------------------------------------------


def frozen_values(
    workflow: Workflow, rows: Mapping[str, Any], reads: tuple[str, ...]
) -> dict[str, Any]:
    """Return the fields of `execution-started` that freeze what was read."""
    found: dict[str, Any] = {}
    if "vars" in reads:
        found["vars"] = {row["name"]: row["value"] for row in rows.get("vars", ()) if row["is_set"]}
    if "static_data" in reads:
        kept = list(rows.get("static_data", ()))
        found["static_data"] = kept[0]["data"] if kept else dict(workflow.static_data or {})
        found["static_number"] = kept[0]["number"] if kept else 0
    return found


def without_start(admission: Admission) -> Admission:
    """Return what is remembered of an admission once the execution has begun."""
    return Admission(admission.gates, admission.passed, admission.priority)


def begun_error(refused: Rejected) -> ErrorFacts:
    """Return the error of an execution that was let in and cannot begin."""
    return data_error(refused.code, refused.reason)
