"""How executions that have ended are deleted for good. Owner: services/engine.

Stream: the execution id. `engine.execution-purged.v1` is the last event of a stream: what was
before it goes, itself it stays for as long as a topic may still have something of the stream.
"""

from .message import message


@message("engine.purge-execution.v1")
class PurgeExecution:
    """Delete an execution that has ended, with everything that it had."""

    execution_id: str
    asked_by: str = ""


@message("engine.execution-purged.v1")
class ExecutionPurged:
    """An execution is deleted: whoever keeps something of it may forget that too."""

    execution_id: str
    workflow_id: str
    workspace_id: str
    status: str
    asked_by: str = ""
