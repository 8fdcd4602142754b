"""The decider of definitions, put together for the shell."""

from perdure_common.decider import Decider
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.workflows import (
    Command,
    CopyVersion,
    DeploymentNoted,
    Event,
    NoteDeployment,
    WorkflowSaved,
)

from .decide import copied, decide
from .evolve import evolve
from .hear import stream_of
from .project import project
from .route import route
from .state import Definition

decider: Decider[Definition, Command, Event] = Decider(
    name="workflow",
    initial=Definition(),
    commands=(SaveWorkflow, NoteDeployment, CopyVersion),
    events=(WorkflowSaved, DeploymentNoted),
    stream_of=stream_of,
    decide=decide,
    evolve=evolve,
    project=project,
    route=route,
    facts=copied,
)
