"""Messages from executions to the gates before them."""

from typing import Any

from perdure_common.decider import Outgoing, Recorded
from perdure_common.ids import derived
from perdure_contracts.admission import Gate, ReleaseSlot, RequestSlot

from .state import Execution
from .state_flow import Admission

COMMANDS = "perdure.engine.commands.v1"


def gate_id(tenant_id: str, gate: Gate) -> str:
    """Return the stream of a gate. That of a part of the installation is for all tenants."""
    whose = "" if gate.kind == "shard" else tenant_id
    return derived("gate", whose, gate.kind, gate.key)


def asks(state: Execution, tenant_id: str, *, forced: bool = False) -> tuple[Outgoing, ...]:
    """Return what is asked of the next gate; with `forced`, of all that were passed before."""
    admission = _admission(state)
    if admission is None:
        return ()
    first = 0 if forced else admission.passed
    wanted = admission.gates[first : None if forced else first + 1]
    found: list[Outgoing] = []
    for gate in wanted:
        stream = gate_id(tenant_id, gate)
        request = RequestSlot(
            gate_id=stream,
            execution_id=state.execution_id,
            gate=gate,
            priority=admission.priority,
            lane=_lane(state, tenant_id, gate),
            forced=forced,
        )
        found.append(Outgoing(COMMANDS, stream, request))
    return tuple(found)


def asks_after_start(state: Execution, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    """Return what an execution that was revived asks: its slots, whether they are free or not."""
    return asks(state, recorded.tenant_id, forced=True)


def releases(state: Execution, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    """Return what an execution that has ended gives back: its slots, its place in the queue."""
    admission = _admission(state)
    if admission is None:
        return ()
    found: list[Outgoing] = []
    for gate in admission.gates[: admission.passed + 1]:
        stream = gate_id(recorded.tenant_id, gate)
        over = ReleaseSlot(gate_id=stream, execution_id=state.execution_id)
        found.append(Outgoing(COMMANDS, stream, over))
    return tuple(found)


def _admission(state: Execution) -> Admission | None:
    return None if state.flow is None else state.flow.admission


def _lane(state: Execution, tenant_id: str, gate: Gate) -> str:
    """Return whose turns are counted at a gate: tenants take turns, or workflows of one."""
    if gate.kind == "shard":
        return tenant_id
    return state.workflow_id if gate.kind == "tenant" else ""
