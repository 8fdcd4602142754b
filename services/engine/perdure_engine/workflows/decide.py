"""Which definitions become versions. Pure: a definition is judged by what it says alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never, cast

from perdure_common.decider import Facts, Lookup, Rejected
from perdure_common.ids import sha256_of_json
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.workflows import (
    Command,
    CopyVersion,
    DefinitionWarning,
    DeploymentNoted,
    Event,
    NoteDeployment,
    WorkflowSaved,
)

from perdure_engine.definition.parsing import UUID
from perdure_engine.definition.problems import told
from perdure_engine.definition.validation import Validation, validate

from .state import Definition

WARNINGS_MAX = 40
"""How many warnings are kept with a version; `validate` gives all of them."""


def decide(
    state: Definition, command: Command, facts: Facts, now: datetime
) -> tuple[Event, ...] | Rejected:
    """Return what happened, or why nothing did; nothing at all if nothing changes."""
    del now  # a definition is valid or not at any time
    match command:
        case SaveWorkflow():
            return _save(state, command)
        case NoteDeployment():
            return _note(state, command)
        case CopyVersion():
            return _copy(state, command, facts)
        case _:
            assert_never(command)


def _save(state: Definition, command: SaveWorkflow) -> tuple[Event, ...] | Rejected:
    if not UUID.fullmatch(command.workflow_id):
        return Rejected(
            f"{command.workflow_id[:100]!r} is no id of a workflow; use a UUID in small letters",
            "invalid_workflow_id",
        )
    if state.version and _is_newest(state, command.definition):
        return ()
    validation = validate(command.definition)
    workflow = validation.workflow
    if workflow is None:
        return Rejected(told(validation.errors), "invalid_definition")
    definition = cast("dict[str, Any]", command.definition)
    saved = WorkflowSaved(
        workflow_id=command.workflow_id,
        workspace_id=definition.get("workspace_id") or DEFAULT_WORKSPACE,
        name=workflow.name,
        version=state.version + 1,
        sha256=validation.sha256,
        definition=definition,
        saved_by=command.saved_by,
        warnings=_warnings(validation),
    )
    return (saved,)


def _is_newest(state: Definition, definition: object) -> bool:
    """Tell whether the definition is the newest version's already; then no version is made."""
    try:
        return sha256_of_json(definition) == state.sha256
    except (ValueError, TypeError, RecursionError):
        return False  # no JSON at all: `validate` says so


def copied(state: Definition, command: Command) -> Mapping[str, Lookup]:
    """Return the lookup of the version that is to be frozen again."""
    if not isinstance(command, CopyVersion) or not 0 < command.version <= state.version:
        return {}
    where = {"workflow_id": command.workflow_id, "version": command.version}
    columns = ("definition", "sha256", "workspace_id", "name")
    return {"version": Lookup("workflow_versions", where, columns, immutable=True)}


def _copy(state: Definition, command: CopyVersion, facts: Facts) -> tuple[Event, ...] | Rejected:
    """Freeze a version again. It is not validated anew: it served, so it may serve again."""
    rows = facts.get("version", ())
    if not rows or rows[0]["sha256"] != command.sha256:
        return Rejected(
            f"there is no version {command.version} of {command.workflow_id!r} with sha256 "
            f"{command.sha256}; `perdure workflow show` lists the versions that served",
            "unknown_version",
        )
    saved = WorkflowSaved(
        workflow_id=command.workflow_id,
        workspace_id=str(rows[0]["workspace_id"]),
        name=str(rows[0]["name"]),
        version=state.version + 1,
        sha256=command.sha256,
        definition=rows[0]["definition"],
        saved_by=command.asked_by,
        rollback_of=command.version,
    )
    return (saved,)


def _warnings(validation: Validation) -> tuple[DefinitionWarning, ...]:
    return tuple(
        DefinitionWarning(
            code=problem.code, path=problem.path, message=problem.message, node_id=problem.node_id
        )
        for problem in validation.warnings[:WARNINGS_MAX]
    )


def _note(state: Definition, command: NoteDeployment) -> tuple[Event, ...] | Rejected:
    if not state.version:
        return Rejected(
            f"there is no workflow {command.workflow_id!r} here; save it before it is deployed",
            "unknown_workflow",
        )
    noted = DeploymentNoted(
        workflow_id=command.workflow_id,
        status=command.status,
        version=command.version,
        by=command.by,
        config=command.config,
    )
    return (noted,)
