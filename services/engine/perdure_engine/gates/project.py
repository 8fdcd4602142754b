"""The row of a gate: how many run, how many wait. Written lazily, for people who look."""

from perdure_common.decider import Recorded, Upsert
from perdure_contracts.admission import GateEvent

from .state import Gate

GUARD = ("stream_version",)
"""What keeps an older row from being written over a newer one."""


def project(state: Gate, recorded: Recorded[GateEvent]) -> tuple[Upsert, ...]:
    """Return the row as it stands after the event."""
    row: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "kind": state.kind,
        "about": state.about[:1_000],
        "slots": state.limit,
        "running": len(state.holders),
        "waiting": len(state.waiting),
        "stream_version": recorded.version,
        "updated_at": recorded.recorded_at,
    }
    return (Upsert("admission_gates", {"id": state.gate_id}, set=row, lazy=True, guard=GUARD),)
