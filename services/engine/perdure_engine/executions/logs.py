"""Rows of workflow_execution_logs: what happened, for people (BUSINESS) and for engineers.

Written lazily. BUSINESS rows tell the beginning and the end of an execution and each node
that ran in the runner; a TECHNICAL row tells each failed attempt. Steps with their data are
told only where the workflow asks for it (`settings.log_level: DEBUG`).
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, Literal

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import time_ordered
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    ExecutionStarted,
    NodeCompleted,
    NodeErrored,
)
from perdure_contracts.executions import (
    AttemptFailed,
    ExecutionEvent,
    NodeScheduled,
    RegionEntered,
    VerdictApplied,
)
from perdure_contracts.flow import ExecutionResponded, RaceLost, SignalReceived, WaitBegun
from perdure_contracts.undoing import NodeCompensated

from .instants import milliseconds
from .logs_control import said_of
from .state import Execution, place_of

TABLE = "workflow_execution_logs"

ROWS_MAX = 8
"""More rows than any event has: the version times this, plus a row's place, orders all rows."""

KINDS = {parts: f"log {parts}" for parts in product((False, True), repeat=5)}
"""Kinds of rows by which of their optional parts they have."""

Category = Literal["TECHNICAL", "BUSINESS"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


BEGINS = (NodeCompleted, NodeErrored, WaitBegun, RegionEntered)
"""Events with which a run can begin that is in no runner."""

Given = Mapping[str, Any]
"""The data that arrived at a run, by input port."""


def log_rows(
    state: Execution, recorded: Recorded[ExecutionEvent], given: Given | None = None
) -> tuple[Upsert, ...]:
    """Return the log rows of an event, given the state right after it.

    `given` is what arrived at a run that begins with the event and is in no runner, where the
    workflow asks for steps with their data; None for every other event.
    """
    event = recorded.event
    if isinstance(event, NodeScheduled) and state.log_level != "DEBUG":
        return ()
    log = _Log(state, recorded)
    if given is not None and isinstance(event, BEGINS):
        log.begun(event, given)
    match event:
        case ExecutionStarted():
            log.started(event)
        case ExecutionCompleted() | ExecutionFailed() | ExecutionCanceled():
            log.ended(event)
        case ExecutionRevived():
            log.revived(event)
        case NodeCompleted():
            log.completed(event)
        case NodeErrored():
            log.errored(event)
        case NodeScheduled():
            log.scheduled(event)
        case AttemptFailed():
            log.attempt_failed(event)
        case VerdictApplied():
            log.verdict(event)
        case NodeCompensated():
            log.compensated(event)
        case RaceLost():
            log.race_lost(event)
        case WaitBegun():
            log.wait_begun(event)
        case SignalReceived():
            log.signal_received(event)
        case ExecutionResponded():
            log.responded(event)
        case _:
            log.steered(event)
    return tuple(log.rows)


class _Log:
    """The rows of one event."""

    def __init__(self, state: Execution, recorded: Recorded[ExecutionEvent]) -> None:
        self.rows: list[Upsert] = []
        self._state = state
        self._recorded = recorded
        self._debug = state.log_level == "DEBUG"

    def started(self, event: ExecutionStarted) -> None:
        name = event.workflow_name
        self._add(
            "BUSINESS",
            "workflow_started",
            "INFO",
            f"execution of {name} version {event.workflow_version} started by "
            f"{event.triggered_by or event.mode}",
            friendly=f"“{name}” started",
            milestone=True,
            priority=8,
            step=0,
        )

    def ended(self, event: ExecutionCompleted | ExecutionFailed | ExecutionCanceled) -> None:
        name = self._state.workflow_name
        level: Level = "INFO"
        data: dict[str, Any] = {}
        error: ErrorFacts | None = None
        match event:
            case ExecutionCompleted():
                message, friendly = f"execution of {name} completed", f"“{name}” is done"
            case ExecutionFailed():
                level, error = "ERROR", event.error
                message = f"execution of {name} failed ({event.status}): {error.message}"
                friendly = f"“{name}” failed: {error.message}"
                data = {"failure_id": event.failure_id, "failed_node_id": event.node_id}
            case ExecutionCanceled():
                level = "WARNING"
                message = f"execution of {name} canceled: {event.reason or 'no reason given'}"
                friendly = f"“{name}” was canceled"
        self._add(
            "BUSINESS",
            "workflow_completed",
            level,
            message,
            friendly=friendly,
            milestone=True,
            priority=9,
            data=data,
            step=self._state.steps,
            done=isinstance(event, ExecutionCompleted),
            duration_ms=event.duration_ms,
            error=error,
        )

    def revived(self, event: ExecutionRevived) -> None:
        self._add(
            "BUSINESS",
            "workflow_progress",
            "INFO",
            f"execution goes on at {event.node_id}, asked by {event.asked_by or 'a program'}",
            friendly="It goes on where it had failed",
            milestone=True,
            priority=8,
            step=self._state.steps,
        )

    def begun(
        self, event: NodeCompleted | NodeErrored | WaitBegun | RegionEntered, given: Given
    ) -> None:
        """Tell that a run began which is in no runner, and what it was given, if anything."""
        node = {"id": event.node_id, "name": event.node_name, "type": event.node_type}
        self._add("TECHNICAL", "step_started", "DEBUG", f"{event.node_name} started", node=node)
        if given:
            text = f"{event.node_name} was given"
            self._add("TECHNICAL", "step_input", "DEBUG", text, node=node, data=given)

    def completed(self, event: NodeCompleted) -> None:
        node = {"id": event.node_id, "name": event.node_name, "type": event.node_type}
        ran = not event.inline
        handled: dict[str, Any] | None = event.error_data
        if ran or self._debug:
            count = sum(len(items) for items in event.ports.values())
            problem = f", {handled['count']} items failed and were handled" if handled else ""
            self._add(
                "BUSINESS" if ran else "TECHNICAL",
                "step_completed",
                ("WARNING" if handled else "INFO") if ran else "DEBUG",
                f"{event.node_name} completed with {count} items after attempt "
                f"{event.attempt}{problem}",
                friendly=f"{event.node_name} is done{problem}",
                node=node,
                step=event.step,
                duration_ms=event.duration_ms,
                data={"items": count, "attempt": event.attempt, "error_data": handled},
            )
        if self._debug:
            self._add(
                "TECHNICAL",
                "step_output",
                "DEBUG",
                f"{event.node_name} emitted",
                node=node,
                data={port: [each["json"] for each in v] for port, v in event.ports.items()},
            )

    def errored(self, event: NodeErrored) -> None:
        error = event.error
        self._add(
            "BUSINESS",
            "step_error",
            "ERROR",
            f"{event.node_name} failed after attempt {event.attempt}: {error.message}",
            friendly=f"{event.node_name} failed: {error.message}",
            node={"id": event.node_id, "name": event.node_name, "type": event.node_type},
            priority=8,
            step=event.step,
            duration_ms=event.duration_ms,
            data={"failure_id": event.failure_id, "attempt": event.attempt},
            error=error,
        )

    def scheduled(self, event: NodeScheduled) -> None:
        if not self._debug:
            return
        node = self._node(event)
        text = f"{node['name']} started, attempt {event.attempt}"
        data = {"token": event.token, "attempt": event.attempt}
        self._add("TECHNICAL", "step_started", "DEBUG", text, node=node, data=data)
        if event.parameters is not None:
            sent = {"parameters": event.parameters, "indexes": list(event.indexes)}
            text = f"{node['name']} was given"
            self._add("TECHNICAL", "step_input", "DEBUG", text, node=node, data=sent)

    def attempt_failed(self, event: AttemptFailed) -> None:
        node = self._node(event)
        follows = f"; it is tried again at {event.retry_at}" if event.retry_at else ""
        self._add(
            "TECHNICAL",
            "step_error",
            "WARNING",
            f"attempt {event.attempt} of {node['name']} failed: {event.error.message}{follows}",
            node=node,
            duration_ms=event.duration_ms,
            data={
                "attempt": event.attempt,
                "token": event.token,
                "failed_items": len(event.failed),
                "retry_at": event.retry_at,
                "runner": event.runner,
            },
            error=event.error,
        )

    def verdict(self, event: VerdictApplied) -> None:
        node = self._node(event)
        by = "recovery" if event.by == "recovery" else "no verdict came in time"
        text = {
            "retry": f"{node['name']} is tried again at {event.at} ({by})",
            "hold": f"{node['name']} is held until {event.at} ({by})",
            "give_up": f"{node['name']} is given up ({by})",
        }[event.verdict]
        data = {"failure_id": event.failure_id, "attempt_id": event.attempt_id}
        self._add("TECHNICAL", "workflow_progress", "INFO", text, node=node, data=data)

    def compensated(self, event: NodeCompensated) -> None:
        node = self._node(event)
        self._add(
            "BUSINESS",
            "workflow_progress",
            "WARNING",
            f"what {node['name']} had done was undone; it is given up",
            friendly=f"What {node['name']} had done was undone",
            node=node,
            data={"failure_id": event.failure_id, "items": list(event.indexes)},
        )

    def race_lost(self, event: RaceLost) -> None:
        name = event.node_name
        self._add(
            "TECHNICAL",
            "workflow_progress",
            "INFO",
            f"{name} had been won by another branch; what came by {len(event.edges)} more "
            "connections is not passed on",
            node={"id": event.node_id, "name": name, "type": event.node_type},
            data={"edges": list(event.edges)},
        )

    def wait_begun(self, event: WaitBegun) -> None:
        what = {
            "time": "the time to come",
            "event": f"event {event.name!r}" + (f" with key {event.key!r}" if event.key else ""),
            "webhook": "a call of the resume URL",
            "child": f"child execution {event.child}",
            "person": "the answer of people",
            "memory": "the answer of memory",
            "static": "its change of the static data",
        }[event.kind]
        until = f" until {event.until}" if event.until else ""
        self._add(
            "BUSINESS",
            "workflow_progress",
            "INFO",
            f"{event.node_name} waits for {what}{until}",
            friendly=f"{event.node_name} waits",
            node={"id": event.node_id, "name": event.node_name, "type": event.node_type},
            data={"wait_id": event.wait_id},
        )

    def signal_received(self, event: SignalReceived) -> None:
        what = f"signal {event.name!r}" if event.channel == "event" else "a call of the resume URL"
        text = f"{what} was taken, sent by {event.sent_by or 'a program'}"
        data = {"signal_id": event.signal_id, "key": event.key}
        self._add("TECHNICAL", "workflow_progress", "INFO", text, data=data)

    def responded(self, event: ExecutionResponded) -> None:
        text = f"answered with status {event.status}"
        data = {"status": event.status, "node_id": event.node_id}
        self._add("TECHNICAL", "workflow_progress", "INFO", text, data=data)

    def steered(self, event: ExecutionEvent) -> None:
        """Tell what a person did to the execution."""
        said = said_of(self._state, event)
        if said is not None:
            message, friendly, node = said
            self._add(
                "BUSINESS",
                "workflow_progress",
                "INFO",
                message,
                friendly=friendly,
                node=node,
                milestone=True,
                priority=8,
                step=self._state.steps,
            )

    def _node(
        self, event: NodeScheduled | AttemptFailed | VerdictApplied | NodeCompensated
    ) -> dict[str, str]:
        known = self._state.runs[place_of(event.node_id, event.scope)].dispatch
        assert known is not None
        return {"id": event.node_id, "name": known.node_name, "type": known.node_type}

    def _add(
        self,
        category: Category,
        event_type: str,
        level: Level,
        message: str,
        *,
        friendly: str | None = None,
        node: Mapping[str, str] | None = None,
        priority: int = 5,
        milestone: bool = False,
        step: int | None = None,
        done: bool = False,
        duration_ms: int | None = None,
        data: Mapping[str, Any] | None = None,
        error: ErrorFacts | None = None,
    ) -> None:
        state, recorded = self._state, self._recorded
        n = len(self.rows)
        row_id = time_ordered(
            milliseconds(recorded.recorded_at), "log", state.execution_id, recorded.version, n
        )
        row: dict[str, object] = {
            "tenant_id": recorded.tenant_id,
            "execution_id": state.execution_id,
            "log_category": category,
            "event_type": event_type,
            "level": level,
            "message": message,
            "user_friendly_message": friendly,
            "display_priority": priority,
            "is_milestone": milestone,
            # Ids of one instant have no order of their own: this has the journal's.
            "position": recorded.version * ROWS_MAX + n,
        }
        # What has the column's default is left out: most rows have little of what follows.
        if node is not None:
            row |= {"node_id": node["id"], "node_name": node["name"], "node_type": node["type"]}
        if step is not None:
            total = state.steps_total or 1
            share = 100.0 if done else round(min(100.0, 100.0 * step / total), 2)
            row["step_number"] = step
            row["total_steps"] = max(state.steps_total, step)
            row["progress_percentage"] = share
        if duration_ms is not None:
            row["duration_seconds"] = round(duration_ms / 1000)
            row["performance_metrics"] = {"duration_ms": duration_ms}
        if data:
            row["data"] = data
        if error is not None:
            row["technical_details"] = _details(error)
            row["stack_trace"] = _stack(error)
        key = {"id": row_id, "created_at": recorded.recorded_at}  # which names the partition
        parts = (node, step, duration_ms, data or None, error)
        kind = KINDS[tuple([part is not None for part in parts])]
        self.rows.append(Upsert(TABLE, key, set=row, new=True, lazy=True, kind=kind))


def _details(error: ErrorFacts) -> dict[str, Any]:
    return {
        "type": error.type,
        "retryable": error.retryable,
        "classes": list(error.classes),
        "causes": list(error.causes),
        "codes": list(error.codes),
        "status_code": error.status_code,
        "dependency": error.dependency,
        "effect_state": error.effect_state,
        "stage": error.stage,
        "detail": error.detail,
    }


def _stack(error: ErrorFacts) -> str | None:
    """Return the frames of user code, innermost last, None if there are none."""
    if not error.frames:
        return None
    return "\n".join(f"{module}: {function}" for module, function in error.frames)
