"""Stopping what runs of a version that serves no more. Owner: services/engine.

Stream: `<workflow id>/stop/<version>`, in the shard of its workflow's definition.
"""

from typing import TypeAlias

from .message import message

# Commands ---------------------------------------------------------------------------


@message("engine.stop-executions.v1")
class StopExecutions:
    """Stop every open execution of a version. Sent by the scheduler after an undeployment.

    `stream` is the stream that does it.
    """

    stream: str
    workflow_id: str
    version: int
    asked_by: str = ""


# Events -----------------------------------------------------------------------------


@message("engine.executions-stopped.v1")
class ExecutionsStopped:
    """These executions of the version were open, and are told to stop.

    At `look_at` (ISO 8601) it is looked for others: what was started just before the undeployment
    may have been on its way. Empty: everything is done. `looks` counts those that saw all; one that
    has not goes on below the id `after`. `began` is when the first one did.
    """

    workflow_id: str
    version: int
    execution_ids: tuple[str, ...]
    asked_by: str = ""
    looks: int = 0
    look_at: str = ""
    after: str = ""
    began: str = ""


StoppingCommand: TypeAlias = StopExecutions
StoppingEvent: TypeAlias = ExecutionsStopped
