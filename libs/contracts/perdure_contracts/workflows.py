"""What the engine says and hears about definitions. Owner: services/engine.

Stream: the workflow id. `engine.save-workflow.v1` stands in `engine`.
"""

from dataclasses import dataclass
from typing import TypeAlias

from .engine import SaveWorkflow
from .message import Json, message
from .scheduler import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionWarning:
    """What somebody should look at in a saved definition; `path` leads to it."""

    code: str
    path: str
    message: str
    node_id: str | None = None


# Commands ---------------------------------------------------------------------------


@message("engine.note-deployment.v1")
class NoteDeployment:
    """A deployment of the workflow stands as the scheduler says. Made by the engine's ears.

    `version` is the one that serves, or that is being deployed; None leaves it as it is.
    `by` and `config` are None where they do not change.
    """

    workflow_id: str
    status: Status
    version: int | None = None
    by: str | None = None
    config: Json = None


@message("engine.copy-version.v1")
class CopyVersion:
    """Freeze version `version` of a workflow again, under the next number, for a rollback.

    The draft becomes that version too. The scheduler is told by `scheduler.deploy-copy.v1`.
    """

    workflow_id: str
    version: int
    sha256: str
    asked_by: str = ""


# Events -----------------------------------------------------------------------------


@message("engine.workflow-saved.v1")
class WorkflowSaved:
    """A definition was found valid, is the draft now, and was frozen as `version`.

    `version` counts from 1 without gaps. `sha256` is of the definition's canonical JSON.
    `rollback_of` is the version of which it is a copy, made to serve again.
    """

    workflow_id: str
    workspace_id: str
    name: str
    version: int
    sha256: str
    definition: Json
    saved_by: str = ""
    warnings: tuple[DefinitionWarning, ...] = ()
    rollback_of: int | None = None


@message("engine.deployment-noted.v1")
class DeploymentNoted:
    """The workflow's row shows the deployment as it stands."""

    workflow_id: str
    status: Status
    version: int | None = None
    by: str | None = None
    config: Json = None


Command: TypeAlias = SaveWorkflow | NoteDeployment | CopyVersion
Event: TypeAlias = WorkflowSaved | DeploymentNoted
