"""RESPOND: the answer to whoever started the execution, once."""

from typing import Any, cast

from perdure_contracts.engine import ErrorFacts, Scope
from perdure_contracts.flow import ExecutionResponded
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.expressions import ExpressionError
from perdure_engine.nodes.base import MAIN, Inputs, passed_through
from perdure_engine.nodes.errors import data_error, expression_error, whole_run

from .finishing import Edges, Ended, encoded_bytes, finish, scrubbed
from .progress import Progress
from .views import RunView, gathered_by

ANSWER_BYTES_MAX = 256 * 1024
"""The largest answer, headers included, as JSON."""


def respond(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """Answer, unless another RESPOND has, and pass the items on."""
    _, where = gathered_by(progress.workflow, node, scope)
    view = RunView(progress.state, progress.workflow, scope, inputs, edges, progress.now, where)
    ended = Ended(node, scope, run, inputs, edges)
    flow = progress.state.flow
    if flow is None or flow.response is None:
        answer = _answer(progress, node, scope, run, view)
        if isinstance(answer, ErrorFacts):
            finish(progress, ended, whole_run(inputs, scrubbed(answer)), view)
            return
        progress.record(answer)
    finish(progress, ended, passed_through((MAIN,), inputs), view)


def _answer(
    progress: Progress, node: Node, scope: Scope, run: int, view: RunView
) -> ExecutionResponded | ErrorFacts:
    try:
        first = view(0)
        values = node.resolve(first)
    except ExpressionError as error:
        return expression_error(error)
    status: Json = values.get("status")
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        text = f"`status` is {str(status)[:80]}; give an HTTP status from 100 to 599"
        return data_error("invalid_response", text)
    headers = _headers(values.get("headers"))
    if headers is None:
        text = "`headers` must be an object of texts without line breaks, by their names"
        return data_error("invalid_response", text)
    body: Json = values.get("body", first.json)
    file = None
    if "file" in values:
        body, found = None, first.binary or {}
        name = values["file"]
        file = found.get(name) if isinstance(name, str) else None
        if file is None:
            known = ", ".join(map(repr, found)) or "none"
            text = f"the first item has no file {str(name)[:80]!r}; it has: {known}"
            return data_error("file_not_found", text)
    size = encoded_bytes([headers, body])
    if size is None or size > ANSWER_BYTES_MAX:
        text = f"the answer has {size or 0:,} bytes, at most {ANSWER_BYTES_MAX:,} can be given"
        return data_error("invalid_response", text)
    return ExecutionResponded(
        execution_id=progress.state.execution_id,
        workflow_id=progress.state.workflow_id,
        node_id=node.node_id,
        scope=scope,
        run=run,
        status=status,
        headers=headers,
        body=body,
        responded_at=progress.at,
        file=file,
    )


def _headers(value: Json) -> dict[str, str] | None:
    """Return headers as texts, None if they are none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        return None
    found: dict[str, str] = {}
    for name, each in cast("dict[str, Any]", value).items():
        plain = isinstance(each, str | int) and not isinstance(each, bool)
        text = str(each)
        if not plain or not name.strip() or any(c in "\r\n\0" for c in name + text):
            return None
        found[name] = text
    return found
