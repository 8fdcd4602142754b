"""Node runs that change their workflow's static data: they ask its stream, and wait for it."""

from typing import Any, cast

from perdure_common.ids import static_data_stream
from perdure_contracts.engine import Scope
from perdure_contracts.kept import StaticDataAsked, UpdateStaticData

from perdure_engine.definition import Node
from perdure_engine.nodes.base import Inputs

from .asking import values_of
from .finishing import Edges
from .progress import Progress
from .state_flow import Waiting
from .waiting import begin, wait_id


def ask_static_data(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """Ask for a change; with `on_conflict: error` it must be what the execution has seen."""
    values = values_of(progress, node, scope, run, inputs, edges)
    if values is None:
        return
    state = progress.state
    seen = 0 if state.given is None else state.given.static_number
    kept = cast("dict[str, Any]", values.get("values") or {})
    identity = wait_id(progress, node.node_id, scope, run)
    request = UpdateStaticData(
        static_data_id=static_data_stream(state.workflow_id),
        workflow_id=state.workflow_id,
        values=kept,
        remove=tuple(cast("list[str]", values.get("remove") or [])),
        initial=progress.workflow.static_data,
        expected=None if values.get("on_conflict") == "overwrite" else seen,
        request_id=identity,
        execution_id=state.execution_id,
    )
    progress.record(StaticDataAsked(execution_id=state.execution_id, request=request))
    begin(progress, node, scope, run, edges, Waiting(kind="static", wait_id=identity))
