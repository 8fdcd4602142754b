"""Large values: what may leave messages, and how a runner's large answer is read. Pure."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec
from perdure_common.decider import Facts
from perdure_contracts.admission import ExecutionQueued
from perdure_contracts.control import RunsAdopted
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionStarted,
    NodeCompleted,
    NodeResult,
    NodeTask,
)
from perdure_contracts.executions import AttemptFailed, NodeScheduled
from perdure_contracts.files import FilesReferred
from perdure_contracts.suspending import AskAnswered, RunSuspended

HEAVY: Mapping[type, tuple[str, ...]] = {
    ExecutionStarted: ("pins", "rerun", "data"),
    ExecutionQueued: ("data", "pin_data", "rerun"),
    NodeCompleted: ("ports", "errors"),
    NodeScheduled: ("parameters",),
    AttemptFailed: ("done",),
    RunSuspended: ("done",),
    AskAnswered: ("answer",),
    NodeTask: ("parameters", "items", "answers", "files"),
    RunsAdopted: ("runs",),
    FilesReferred: ("files",),
}
"""Fields that leave their message when they are large; what reads it gets the whole."""


def answer_in_full(command: NodeResult, facts: Facts) -> NodeResult:
    """Return a runner's answer with its ports, wherever they were kept.

    What is gone makes the attempt a failed one, of which is known that its effect was done.
    """
    if not command.payload:
        return command
    rows = facts.get("payload", ())
    if rows:
        ports = msgspec.json.decode(rows[0]["data"])
        return replace(command, ports=ports, payload="")
    error = ErrorFacts(
        type="payload_missing",
        message=f"the payload {command.payload} of the answer is gone; restore the table payloads",
        stage="run",
        effect_state="done",
    )
    return replace(command, outcome="failed", error=error, payload="")
