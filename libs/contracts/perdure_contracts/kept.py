"""What the engine says and hears of values that are kept from one execution to the next.

Owner: services/engine. Variables (`$vars`) belong to a workspace and are a stream for each;
static data belongs to a workflow, beside whose stream its own is (`<workflow>/static-data`).
"""

from typing import TypeAlias

from .message import Json, message

# Variables ---------------------------------------------------------------------------


@message("engine.set-variable.v1")
class SetVariable:
    """Set a variable of a workspace. With `expected` it must have been set so many times.

    `expected` 0 is for one that must not be there.
    """

    variables_id: str
    workspace_id: str
    name: str
    value: Json
    expected: int | None = None
    asked_by: str = ""


@message("engine.delete-variable.v1")
class DeleteVariable:
    """Take a variable away."""

    variables_id: str
    workspace_id: str
    name: str
    expected: int | None = None
    asked_by: str = ""


@message("engine.variable-set.v1")
class VariableSet:
    """A variable has a value; `number` counts how often it was set or taken away."""

    variables_id: str
    workspace_id: str
    name: str
    value: Json
    number: int
    set_by: str = ""


@message("engine.variable-deleted.v1")
class VariableDeleted:
    """A variable is there no more."""

    variables_id: str
    workspace_id: str
    name: str
    number: int
    deleted_by: str = ""


# Static data -------------------------------------------------------------------------


@message("engine.update-static-data.v1")
class UpdateStaticData:
    """Change the static data of a workflow: set some values, take others away.

    `initial` is what it is where nothing was kept yet. With `expected` it must have been changed
    so many times; with `replaces` nothing else stays. `request_id` is the wait of the node that
    asks, which is answered by `engine.note-answer.v1`.
    """

    static_data_id: str
    workflow_id: str
    values: dict[str, Json]
    remove: tuple[str, ...] = ()
    initial: Json = None
    expected: int | None = None
    replaces: bool = False
    request_id: str = ""
    execution_id: str = ""
    asked_by: str = ""


@message("engine.static-data-updated.v1")
class StaticDataUpdated:
    """The static data of a workflow is `data` now; `number` counts the changes.

    With `again` nothing was changed: the request was carried out before, and whoever made it has
    forgotten the answer in a restore.
    """

    static_data_id: str
    workflow_id: str
    data: dict[str, Json]
    number: int
    request_id: str = ""
    execution_id: str = ""
    updated_by: str = ""
    again: bool = False


@message("engine.static-data-refused.v1")
class StaticDataRefused:
    """A node's change of the static data was not made, because of a newer one or its size.

    One that is `remembered` is told again to whoever asks again.
    """

    static_data_id: str
    workflow_id: str
    code: str
    reason: str
    request_id: str
    execution_id: str
    remembered: bool = False


# Events of an execution --------------------------------------------------------------


@message("engine.static-data-asked.v1")
class StaticDataAsked:
    """A node run changes its workflow's static data; it waits for the answer from now on."""

    execution_id: str
    request: UpdateStaticData


@message("engine.static-data-kept.v1")
class StaticDataKept:
    """The execution's change of the static data was made; from now on it sees this."""

    execution_id: str
    data: dict[str, Json]
    number: int


VariablesCommand: TypeAlias = SetVariable | DeleteVariable
VariablesEvent: TypeAlias = VariableSet | VariableDeleted
StaticDataEvent: TypeAlias = StaticDataUpdated | StaticDataRefused
KeptEvent: TypeAlias = StaticDataAsked | StaticDataKept
