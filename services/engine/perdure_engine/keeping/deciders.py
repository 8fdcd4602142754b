"""The deciders of variables and of static data, put together for the shell."""

from perdure_common.decider import Decider
from perdure_contracts.kept import (
    DeleteVariable,
    SetVariable,
    StaticDataEvent,
    StaticDataRefused,
    StaticDataUpdated,
    UpdateStaticData,
    VariableDeleted,
    VariablesCommand,
    VariableSet,
    VariablesEvent,
)

from . import static_data, variables
from .static_data import StaticData
from .variables import Variables


def variables_of(command: VariablesCommand) -> str:
    """Return the stream of a workspace's variables."""
    return command.variables_id


def static_data_of(command: UpdateStaticData) -> str:
    """Return the stream of a workflow's static data."""
    return command.static_data_id


of_variables: Decider[Variables, VariablesCommand, VariablesEvent] = Decider(
    name="variables",
    initial=Variables(),
    commands=(SetVariable, DeleteVariable),
    events=(VariableSet, VariableDeleted),
    stream_of=variables_of,
    decide=variables.decide,
    evolve=variables.evolve,
    project=variables.project,
    route=variables.route,
)

of_static_data: Decider[StaticData, UpdateStaticData, StaticDataEvent] = Decider(
    name="static_data",
    initial=StaticData(),
    commands=(UpdateStaticData,),
    events=(StaticDataUpdated, StaticDataRefused),
    stream_of=static_data_of,
    decide=static_data.decide,
    evolve=static_data.evolve,
    project=static_data.project,
    route=static_data.route,
    private=(StaticDataRefused,),
)
