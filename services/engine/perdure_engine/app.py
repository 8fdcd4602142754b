"""Wiring and main(), nothing else: deciders of definitions and executions, what is heard."""

from functools import partial

from perdure_common import http
from perdure_common.decider import Service
from perdure_common.run import run, serve
from perdure_common.settings import Settings
from perdure_contracts.engine import NodeResult

from .api import ROWS, TABLES, add_why
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
        kept=("node_claims",),
    )


service = service_with()


def main() -> None:
    """Run the engine as a process."""
    settings = Settings.read("engine")
    ours = service_with(settings.verdict_wait_s)
    run(serve(ours, http.beside(TABLES, ROWS, partial(add_why, ours))))


if __name__ == "__main__":
    main()
