"""The error workflow of an execution that failed: found by its name or id, started once. Pure.

An execution that handles a failure starts no error workflow of its own, and neither does what it
starts, so that there is no chain without an end. Failures that a FOREACH collects or drops fail no
execution, so they start none.
"""

from perdure_common.decider import Facts, Lookup, Rejected
from perdure_common.ids import derived
from perdure_contracts.control import ErrorWorkflowStarted, StartErrorWorkflow
from perdure_contracts.engine import ExecutionFailed, StartExecution

from perdure_engine.definition.parsing import UUID

from .progress import Progress
from .state import Execution

COLUMNS = ("id", "name", "newest_version", "deployment_status", "deployment_version")
TRIGGER_TYPE = "perdure.engine.execution-failed"


def asked_for(state: Execution, event: ExecutionFailed) -> StartErrorWorkflow | None:
    """Return the command that an execution gives itself when it fails, None if it has none."""
    if not event.error_workflow:
        return None
    return StartErrorWorkflow(
        execution_id=state.execution_id,
        error_workflow=event.error_workflow,
        failure_id=event.failure_id or "",
        status=event.status,
        error=event.error,
        node_id=event.node_id,
    )


def lookup_of(command: StartErrorWorkflow) -> Lookup:
    """Return the lookup of the workflow that a command names, by its id or its name."""
    name = command.error_workflow
    return Lookup("workflows", {"id" if UUID.fullmatch(name) else "name": name}, COLUMNS)


def bad_error_workflow(command: StartErrorWorkflow, facts: Facts) -> Rejected | None:
    """Return why no error workflow can be started, None if one can."""
    rows = facts.get("error_workflow", ())
    if len(rows) == 1:
        return None
    what = f"{len(rows)} workflows are called" if rows else "there is no workflow"
    return Rejected(
        f"{what} {command.error_workflow!r}; name the error workflow of {command.execution_id} by "
        "the id of one that is there, in settings.error_workflow",
        "workflow_not_found",
        dead_letter=True,
    )


def start_error_workflow(progress: Progress, command: StartErrorWorkflow, facts: Facts) -> None:
    """Start the error workflow: the version that serves, or the newest where none does."""
    (row,) = facts["error_workflow"]
    serves = row["deployment_status"] == "ACTIVE" and row["deployment_version"] is not None
    progress.record(
        ErrorWorkflowStarted(
            execution_id=command.execution_id,
            handler_execution_id=derived(
                "error-workflow", command.execution_id, command.failure_id
            ),
            workflow_id=str(row["id"]),
            version=int(row["deployment_version" if serves else "newest_version"]),
            failure_id=command.failure_id,
            status=command.status,
            error=command.error,
            node_id=command.node_id,
        )
    )


def handler_start(state: Execution, event: ErrorWorkflowStarted) -> StartExecution:
    """Return the start of the execution that is told of the failure."""
    started = state.started_at
    return StartExecution(
        execution_id=event.handler_execution_id,
        workflow_id=event.workflow_id,
        version=event.version,
        node_id="",
        mode="TRIGGER",
        triggered_by=f"ERROR:{state.workflow_id}",
        trigger={"type": TRIGGER_TYPE, "id": event.failure_id, "source": state.execution_id},
        data={
            "execution": {
                "id": state.execution_id,
                "status": event.status,
                "mode": state.mode,
                "started_at": None if started is None else started.isoformat(),
                "node_id": event.node_id,
                "error": {
                    "type": event.error.type,
                    "message": event.error.message,
                    "retryable": event.error.retryable,
                    "status_code": event.error.status_code,
                },
            },
            "workflow": {
                "id": state.workflow_id,
                "name": state.workflow_name,
                "version": state.workflow_version,
            },
        },
        parent_execution_id=state.execution_id,
        handles=state.execution_id,
    )
