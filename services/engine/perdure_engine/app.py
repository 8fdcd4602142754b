"""Wiring: the deciders of definitions and of executions, and what the service hears."""

from perdure_common.decider import Service
from perdure_contracts.engine import NodeResult

from .executions.decider import decider_with
from .hear import hear
from .workflows.decider import decider as definitions

VERDICT_WAIT_S = 10.0
"""How long recovery is waited for where `PERDURE_VERDICT_WAIT_S` is not set, in seconds."""

STARTS = "perdure.engine.starts.v1"


def service_with(verdict_wait_s: float = VERDICT_WAIT_S) -> Service:
    """Return the engine that waits `verdict_wait_s` seconds for recovery's verdicts."""
    return Service(
        name="engine",
        deciders=(definitions, decider_with(verdict_wait_s)),
        hear=hear,
        hears=("perdure.scheduler.events.v1",),
        pausable=(STARTS,),
        by_token=(NodeResult,),
    )


service = service_with()
