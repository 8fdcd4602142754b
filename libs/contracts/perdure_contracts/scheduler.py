"""What the scheduler hears and says. Owner: services/scheduler.

Streams: the workflow id (deployments), and one stream for each trigger event.
"""

from typing import Literal, TypeAlias

from .message import Json, message

SHA256_LENGTH = 64


@message("scheduler.deploy-workflow.v1")
class DeployWorkflow:
    """Let a frozen version of a workflow serve its triggers.

    `expected_version` is the version that must be serving now (0: none); None asks for no
    check. `definition` is the whole frozen definition; the scheduler keeps its triggers.
    """

    workflow_id: str
    version: int
    sha256: str
    definition: Json
    deployed_by: str = ""
    expected_version: int | None = None
    config: Json = None


@message("scheduler.undeploy-workflow.v1")
class UndeployWorkflow:
    """Let a workflow's triggers serve no more; running executions finish."""

    workflow_id: str
    undeployed_by: str = ""


@message("scheduler.receive-trigger.v1")
class ReceiveTrigger:
    """A trigger event that arrived. Made by the scheduler's own ears, never sent."""

    tenant_id: str
    source: str
    event_id: str
    event_type: str
    subject: str
    time: str | None
    data: Json
    trigger_node: str | None = None


@message("scheduler.deployment-started.v1")
class DeploymentStarted:
    """A deployment was accepted and began. `action` is DEPLOY or UPDATE."""

    workflow_id: str
    version: int
    action: Literal["DEPLOY", "UPDATE"]
    deployed_by: str
    config: Json = None


@message("scheduler.workflow-deployed.v1")
class WorkflowDeployed:
    """A version serves; `triggers` are its rows, `replaced` the version that served before."""

    workflow_id: str
    workflow_name: str
    version: int
    sha256: str
    triggers: tuple[Json, ...]
    deployed_by: str
    replaced: int | None = None
    config: Json = None
    logs: tuple[Json, ...] = ()


@message("scheduler.deployment-failed.v1")
class DeploymentFailed:
    """A deployment did not happen; what served before goes on serving."""

    workflow_id: str
    version: int
    code: str
    reason: str
    serving: int | None = None
    logs: tuple[Json, ...] = ()


@message("scheduler.undeployment-started.v1")
class UndeploymentStarted:
    """An undeployment was accepted and began."""

    workflow_id: str
    version: int
    undeployed_by: str


@message("scheduler.workflow-undeployed.v1")
class WorkflowUndeployed:
    """The workflow's triggers serve no more."""

    workflow_id: str
    version: int
    undeployed_by: str


@message("scheduler.trigger-accepted.v1")
class TriggerAccepted:
    """A trigger event matched, and each match starts one execution.

    `starts` has one entry for each matching trigger node:
    `{execution_id, workflow_id, version, node_id, mode, triggered_by}`. The data is kept
    in the event because the executions are started from it, again after a crash too.
    """

    source: str
    event_id: str
    event_type: str
    subject: str
    time: str | None
    data: Json
    starts: tuple[Json, ...]


Command: TypeAlias = DeployWorkflow | UndeployWorkflow | ReceiveTrigger
Event: TypeAlias = (
    DeploymentStarted
    | WorkflowDeployed
    | DeploymentFailed
    | UndeploymentStarted
    | WorkflowUndeployed
    | TriggerAccepted
)
