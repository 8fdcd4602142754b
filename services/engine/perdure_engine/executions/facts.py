"""What a command must know beside its own stream: the version that the execution runs."""

import re
from collections.abc import Mapping

from perdure_common.decider import Due, Lookup
from perdure_contracts.control import RerunExecution, StartErrorWorkflow
from perdure_contracts.engine import NodeResult, StartExecution
from perdure_contracts.executions import ExecutionCommand
from perdure_contracts.flow import StartChild

from perdure_engine.definition import kept

from .error_workflow import lookup_of
from .queueing import admission_of
from .state import Execution

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VERSION_MAX = 2**31 - 1
COLUMNS = ("definition", "sha256", "workspace_id")
WORKFLOW_COLUMNS = (
    "id", "name", "workspace_id", "newest_version", "deployment_status", "deployment_version",
)  # fmt: skip


def facts(state: Execution, command: ExecutionCommand | Due) -> Mapping[str, Lookup]:
    """Return the lookup of the frozen version, `version`, unless it is known or cannot be."""
    if isinstance(command, StartChild):
        if not state.execution_id:
            return _workflow(command)
        known = state.status != "SUCCESS" or kept(state.sha256) is not None
        return {} if known else _version(state.workflow_id, state.workflow_version)
    if isinstance(command, StartExecution):
        if state.execution_id:
            return {}
        return _version(command.workflow_id, command.version)
    if not state.execution_id:
        return {}
    if state.status == "NEW":
        return _before_start(state)
    if isinstance(command, RerunExecution):
        return _of_rerun(state, command)
    found: dict[str, Lookup] = dict(_payload(command))
    if isinstance(command, StartErrorWorkflow):
        found["error_workflow"] = lookup_of(command)
    if kept(state.sha256) is None:
        found |= _version(state.workflow_id, state.workflow_version)
    return found


def _before_start(state: Execution) -> Mapping[str, Lookup]:
    """Return the lookups of an execution that may begin: its version, and what it reads."""
    found = _version(state.workflow_id, state.workflow_version)
    admission = admission_of(state)
    reads = () if admission is None else admission.reads
    if "vars" in reads:
        where: dict[str, object] = {"workspace_id": state.workspace_id}
        found["vars"] = Lookup("variables", where, ("name", "value", "is_set"))
    if "static_data" in reads:
        where = {"workflow_id": state.workflow_id}
        found["static_data"] = Lookup("workflow_static_data", where, ("data", "number"))
    return found


def _payload(command: object) -> Mapping[str, Lookup]:
    """Return the lookup of what was too large for a runner's answer."""
    if not isinstance(command, NodeResult) or not command.payload:
        return {}
    return {"payload": Lookup("payloads", {"sha256": command.payload}, ("data",))}


def _workflow(command: StartChild) -> Mapping[str, Lookup]:
    """Return the lookups of the workflow that a child is to run: `by_name`, and `by_id`."""
    lookups = {"by_name": Lookup("workflows", {"name": command.workflow}, WORKFLOW_COLUMNS)}
    if UUID.fullmatch(command.workflow):
        lookups["by_id"] = Lookup("workflows", {"id": command.workflow}, WORKFLOW_COLUMNS)
    return lookups


def _of_rerun(state: Execution, command: RerunExecution) -> Mapping[str, Lookup]:
    """Return the lookups of the version that an execution ran, and of the one that is to run."""
    found = dict(_version(state.workflow_id, state.workflow_version))
    if command.version not in (None, state.workflow_version):
        wanted = _version(state.workflow_id, command.version or 0)
        found.update({"target": wanted["version"]} if wanted else {})
    return found


def _version(workflow_id: str, version: int) -> dict[str, Lookup]:
    if not UUID.fullmatch(workflow_id) or not 0 < version <= VERSION_MAX:
        return {}
    where = {"workflow_id": workflow_id, "version": version}
    return {"version": Lookup("workflow_versions", where, COLUMNS, immutable=True)}
