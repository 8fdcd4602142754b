"""What the scheduler says of deployments, as commands to the workflow's own stream. Pure."""

from perdure_contracts.scheduler import (
    DeploymentFailed,
    DeploymentStarted,
    UndeploymentStarted,
    WorkflowDeployed,
    WorkflowUndeployed,
)
from perdure_contracts.workflows import Command, NoteDeployment

CONCERNS = (
    DeploymentStarted,
    WorkflowDeployed,
    DeploymentFailed,
    UndeploymentStarted,
    WorkflowUndeployed,
)
"""What the scheduler says that is looked at; of each trigger event it says something too."""


def noted(message: object) -> NoteDeployment | None:
    """Return what `message` says of a deployment, None for any other message.

    A deployment that failed leaves the version serving that served before; only where none
    did is the workflow FAILED.
    """
    match message:
        case DeploymentStarted(workflow_id=workflow_id):
            return NoteDeployment(workflow_id=workflow_id, status="DEPLOYING")
        case WorkflowDeployed(workflow_id=workflow_id, version=version, deployed_by=by):
            return NoteDeployment(
                workflow_id=workflow_id,
                status="ACTIVE",
                version=version,
                by=by,
                config={} if message.config is None else message.config,
            )
        case DeploymentFailed(workflow_id=workflow_id, serving=serving):
            status = "FAILED" if serving is None else "ACTIVE"
            return NoteDeployment(workflow_id=workflow_id, status=status, version=serving)
        case UndeploymentStarted(workflow_id=workflow_id):
            return NoteDeployment(workflow_id=workflow_id, status="UNDEPLOYING")
        case WorkflowUndeployed(workflow_id=workflow_id):
            return NoteDeployment(workflow_id=workflow_id, status="IDLE")
        case _:
            return None


def stream_of(command: Command) -> str:
    """Return the stream of a workflow's definition."""
    return command.workflow_id
