"""The time that a node run may take, all its attempts and all waiting between them together."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from perdure_contracts.engine import ErrorFacts

from perdure_engine.definition import Node

from .instants import after, instant
from .progress import Progress
from .state import Dispatch, Run


def run_until(progress: Progress, node: Node) -> str | None:
    """Return the instant at which a run that begins now must have ended, None for most nodes."""
    return None if node.run_timeout_s is None else after(progress.now, node.run_timeout_s)


def sooner(deadline: str, until: str | datetime | None) -> str:
    """Return the deadline of an attempt that may not outlive its run."""
    if until is None:
        return deadline
    over_at = instant(until) if isinstance(until, str) else until
    return deadline if instant(deadline) <= over_at else over_at.isoformat()


def too_late(progress: Progress, run: Run, known: Dispatch) -> Mapping[str, ErrorFacts]:
    """Return why items of a run have failed: where its time is over, because of that."""
    if known.run_until is None or known.run_until > progress.now:
        return known.failed
    limit = progress.workflow.by_id[run.node_id].run_timeout_s
    return {index: _late(error, limit, run.attempt) for index, error in known.failed.items()}


def _late(error: ErrorFacts, limit: float | None, attempts: int) -> ErrorFacts:
    seconds = "its time" if limit is None else f"{limit:g} s"
    text = (
        f"the node did not end within {seconds}, {attempts} attempts and the waiting between them "
        f"together; the last one failed with {error.type}: {error.message}"
    )
    return replace(error, type="timeout", message=text, retryable=False)
