"""Child executions: asked for, begun, and what their end means for the node that asked.

A child is a stream of its own. The parent's event names it, so it is begun once whatever is
delivered twice; it first finds out which version it is (`StartChild`), then begins with its
next wake like any other execution.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from perdure_common.decider import Facts, Rejected
from perdure_common.ids import derived
from perdure_contracts.engine import (
    CancelExecution,
    ErrorFacts,
    ExecutionCanceled,
    Scope,
    StartExecution,
)
from perdure_contracts.files import FilesReferred
from perdure_contracts.flow import (
    ChildAccepted,
    ChildRefused,
    ChildRequested,
    NoteChildEnd,
    StartChild,
)
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.expressions import ExpressionError
from perdure_engine.nodes.base import MAIN, Inputs, Outcome
from perdure_engine.nodes.errors import data_error, expression_error, whole_run

from .files import files_by_item, files_referred, refer_files, with_files
from .finishing import Edges, Ended, encoded_bytes, finish, scrubbed
from .items import as_items
from .progress import Progress
from .state import Execution
from .state_flow import Parent, Waiting
from .views import RunView, gathered_by
from .waiting import begin, end, in_time, inputs_of, told, wait_id

DEPTH_MAX = 16
"""How deep workflows may call each other; the first one counts as none."""

INPUT_BYTES_MAX = 256 * 1024
"""The largest data that a child starts with, as JSON."""

NAME_MAX = 255


# In the parent ----------------------------------------------------------------------------


def begin_child(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """Ask for a child execution, and wait for its end unless nobody does."""
    _, where = gathered_by(progress.workflow, node, scope)
    view = RunView(progress.state, progress.workflow, scope, inputs, edges, progress.now, where)
    ended = Ended(node, scope, run, inputs, edges)
    wanted = _wanted(progress, node, inputs, view)
    if isinstance(wanted, ErrorFacts):
        finish(progress, ended, whole_run(inputs, scrubbed(wanted)), view)
        return
    state = progress.state
    child, root = _ids(state, node.node_id, scope, run)
    waits = bool(node.parameters.get("wait", True))
    waiting = Waiting(
        kind="child",
        wait_id=wait_id(progress, node.node_id, scope, run),
        until=in_time(progress.now, node.timeout_s),
        child=child,
    )
    progress.record(
        ChildRequested(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            child_execution_id=child,
            child_root_execution_id=root,
            workflow=wanted["workflow"],
            version=wanted["version"],
            data=wanted["data"],
            files=wanted["files"],
            wait_id=waiting.wait_id,
            wait=waits,
            depth=depth_of(state) + 1,
        )
    )
    if waits:
        begin(progress, node, scope, run, edges, waiting)
        return
    outcome = Outcome(ports={MAIN: told({"execution_id": child}, inputs)})
    finish(progress, ended, outcome, view)


def _ids(state: Execution, node_id: str, scope: Scope, run: int) -> tuple[str, str]:
    """Return the id of a child and that of its root, from which the keys of its effects follow.

    They are one only for the first child that a node has had, in the parent or in what the parent
    is a rerun of: then nothing that it does can have happened before (see route.py).
    """
    again = (run,) if run > 1 else ()
    child = derived("child", state.execution_id, node_id, scope, *again)
    return child, derived("child", state.root_execution_id, node_id, scope)


def depth_of(state: Execution) -> int:
    """Return how many executions are above this one."""
    parent = None if state.flow is None else state.flow.parent
    return 0 if parent is None else parent.depth


def _wanted(
    progress: Progress, node: Node, inputs: Inputs, view: RunView
) -> dict[str, Any] | ErrorFacts:
    try:
        values = dict(node.resolve(view(0)))
    except ExpressionError as error:
        return expression_error(error)
    if depth_of(progress.state) >= DEPTH_MAX:
        text = (
            f"workflows call each other more than {DEPTH_MAX} deep; let one of them end the chain"
        )
        return data_error("sub_workflow_depth", text)
    workflow, version = values.get("workflow"), values.get("version")
    if not isinstance(workflow, str) or not 0 < len(workflow) <= NAME_MAX:
        text = f"`workflow` is {str(workflow)[:80]}; give the name or id of a workflow"
        return data_error("invalid_sub_workflow", text)
    whole = isinstance(version, int) and not isinstance(version, bool)
    if version is not None and not (whole and 0 < version < 2**31):
        text = f"`version` is {str(version)[:80]}; give a whole number from 1"
        return data_error("invalid_sub_workflow", text)
    data: Json = values.get("input")
    if "input" not in values:
        data = [item["json"] for item in inputs.items]
    files = None
    if progress.state.files:
        files = files_by_item(inputs.items[: len(as_items(data))])
    size = encoded_bytes(data if files is None else [data, files])
    if size is None or size > INPUT_BYTES_MAX:
        text = (
            f"the child's data has {size or 0:,} bytes, at most {INPUT_BYTES_MAX:,} can be given; "
            "pass less, or a reference"
        )
        return data_error("child_input_too_large", text)
    return {"workflow": workflow, "version": version, "data": data, "files": files}


def note_end(progress: Progress, place: str, command: NoteChildEnd) -> None:
    """Let the node that waited for a child go on with its result, or fail with its error."""
    run = progress.state.runs[place]
    node = progress.workflow.by_id[run.node_id]
    result = cast("list[Any]", command.result) if isinstance(command.result, list) else []
    if command.status == "SUCCESS" and not command.result_cut:
        items: list[Any] = [{"json": json, "source": []} for json in result]
        if command.files:
            refer_files(progress, node.node_id, command.files)
            items = with_files(items, command.files)
        end(progress, place, "child", Outcome(ports={MAIN: items} if items else {}))
        return
    if command.status == "SUCCESS":
        error = data_error(
            "child_result_too_large",
            f"the result of child execution {command.child_execution_id} does not fit into a "
            "message; let its last node emit less, or a reference",
            {"execution_id": command.child_execution_id},
        )
    else:
        said = "" if command.error is None else f": {command.error.message}"
        error = data_error(
            "sub_workflow_failed",
            f"child execution {command.child_execution_id} of node {node.node_id!r} ended with "
            f"{command.status}{said}",
            {
                "execution_id": command.child_execution_id,
                "status": command.status,
                "type": None if command.error is None else command.error.type,
            },
        )
    end(progress, place, "child", whole_run(inputs_of(progress, place), scrubbed(error)))


def child_place(state: Execution, command: NoteChildEnd) -> str | None:
    """Return the place that waits for a child's end."""
    waits = {} if state.flow is None else state.flow.waits
    return next((p for p, each in waits.items() if each.wait_id == command.wait_id), None)


# In the child -----------------------------------------------------------------------------


def accept(
    command: StartChild,
    facts: Facts,
    at: str,
    happen: Callable[[ChildAccepted | ChildRefused | FilesReferred], Execution],
) -> None:
    """Find out which workflow and version a child is to run, or tell its parent why none."""
    found = _found(command, facts)
    if isinstance(found, ErrorFacts):
        happen(_refused(command.execution_id, found, command))
        return
    happen(
        ChildAccepted(
            execution_id=command.execution_id,
            root_execution_id=command.root_execution_id,
            parent_execution_id=command.parent_execution_id,
            workflow_id=str(found["id"]),
            workflow_name=str(found["name"]),
            workflow_version=_version(command, found),
            workspace_id=str(found["workspace_id"]),
            data=command.data,
            wait_id=command.wait_id,
            wait=command.wait,
            depth=command.depth,
            mode=command.mode,
            triggered_by=command.triggered_by,
            accepted_at=at,
            handles=command.handles,
            files=command.files,
        )
    )
    referred = files_referred(command.execution_id, "", command.files)
    if referred is not None:
        happen(referred)


def _found(command: StartChild, facts: Facts) -> Mapping[str, Any] | ErrorFacts:
    rows = list(facts.get("by_id", ())) or list(facts.get("by_name", ()))
    if not rows:
        text = f"there is no workflow {command.workflow!r}; save it first"
        return data_error("workflow_not_found", text)
    if len(rows) > 1:
        ids = ", ".join(sorted(str(row["id"]) for row in rows)[:10])
        text = f"{len(rows)} workflows are called {command.workflow!r}; name one by its id: {ids}"
        return data_error("ambiguous_workflow", text)
    return rows[0]


def _version(command: StartChild, row: Mapping[str, Any]) -> int:
    if command.version is not None:
        return command.version
    serves = row["deployment_status"] == "ACTIVE" and row["deployment_version"]
    return int(row["deployment_version"] if serves else row["newest_version"])


def _refused(execution_id: str, error: ErrorFacts, parent: StartChild | Parent) -> ChildRefused:
    above = parent.parent_execution_id if isinstance(parent, StartChild) else parent.execution_id
    return ChildRefused(
        execution_id=execution_id,
        parent_execution_id=above,
        wait_id=parent.wait_id,
        wait=parent.wait,
        error=error,
    )


def start_of(state: Execution) -> StartExecution:
    """Return the command with which a child that was accepted begins."""
    parent = _parent(state)
    return StartExecution(
        execution_id=state.execution_id,
        workflow_id=state.workflow_id,
        version=state.workflow_version,
        node_id="",
        mode=parent.mode,
        triggered_by=parent.triggered_by,
        trigger={
            "id": state.execution_id,
            "source": f"/engine/{parent.execution_id}",
            "type": "perdure.sub-workflow",
        },
        data=parent.data,
        files=parent.files,
        parent_execution_id=parent.execution_id,
        handles=state.handles,
    )


def cannot_start(state: Execution, why: Rejected) -> ChildRefused:
    """Return what is told when a child that was accepted cannot begin."""
    return _refused(state.execution_id, data_error(why.code, why.reason), _parent(state))


def canceled_before(state: Execution, command: CancelExecution) -> ExecutionCanceled:
    """Return the end of a child that was stopped before it began."""
    return ExecutionCanceled(
        execution_id=state.execution_id,
        workflow_id=state.workflow_id,
        reason=command.reason,
        asked_by=command.asked_by,
        untroubled=True,
    )


def _parent(state: Execution) -> Parent:
    assert state.flow is not None and state.flow.parent is not None
    return state.flow.parent
