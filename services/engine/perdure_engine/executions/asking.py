"""Node runs that ask people or memory something, and go on with the answer of the service.

They wait like other runs that wait (`waiting`), so they survive restarts, can be cancelled, and
lose a race; the service is told then. What a service does with a question is its own.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from perdure_common.decider import Rejected
from perdure_contracts.asking import (
    AnswerTaken,
    AskMemory,
    ExecutionLeft,
    MemoryAsked,
    NoteAnswer,
    PeopleAsked,
    RequestInteraction,
)
from perdure_contracts.engine import ErrorFacts, Scope
from perdure_contracts.kept import StaticDataKept
from perdure_contracts.message import Json

from perdure_engine.definition import Node, Workflow
from perdure_engine.expressions import ExpressionError
from perdure_engine.nodes.base import Inputs, Item, Outcome, passed_through, without_source
from perdure_engine.nodes.errors import data_error, expression_error, whole_run
from perdure_engine.nodes.fields import fields_of
from perdure_engine.nodes.memory_store import TIMEOUT_S

from .finishing import Edges, Ended, encoded_bytes, finish, scrubbed
from .progress import Progress
from .state import Execution, flow_of
from .state_flow import Waiting
from .suspending import asked_by
from .views import RunView, gathered_by
from .waiting import begin, end, inputs_of, wait_id

ASKED_BYTES_MAX = 256 * 1024
"""The largest question, as JSON: it stands in an event and in a message."""

TOO_LARGE = "interaction_too_large"
CODES: Mapping[str, str] = {
    "MEMORY": "memory_content_too_large",
    "ACTION": "static_data_too_large",
}
TEXT_MAX = 4_000
SERVICES: Mapping[str, str] = {"person": "hil", "memory": "memory", "static": "engine"}
"""Which service answers each kind of wait."""


# Asking -----------------------------------------------------------------------------------


def ask_people(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """Let a run ask people, and wait for what the service says of them."""
    values = values_of(progress, node, scope, run, inputs, edges)
    if values is None:
        return
    state = progress.state
    identity = wait_id(progress, node.node_id, scope, run)
    seconds = values.get("timeout_s")
    ends = [] if state.deadline is None else [state.deadline]
    if isinstance(seconds, int | float):
        ends.append(progress.now + timedelta(seconds=seconds))
    subtype: Any = node.node_subtype.lower()
    request = RequestInteraction(
        interaction_id=identity,
        execution_id=state.execution_id,
        workflow_id=state.workflow_id,
        workspace_id=state.workspace_id,
        node_id=node.node_id,
        node_name=node.name,
        scope=scope,
        run=run,
        kind=subtype,
        title=str(values.get("title"))[:TEXT_MAX],
        text=str(values.get("text") or "")[:TEXT_MAX],
        payload=values.get("payload"),
        form=values.get("form"),
        options=values.get("options"),
        channels=_texts(values.get("channels")) or ("in_app",),
        assignees=_texts(values.get("assignees")),
        rule=values.get("rule", "any"),
        priority=values.get("priority") or "normal",
        default_action=values.get("default_action") or "",
        timeout_at=min(ends).isoformat() if ends else None,
        timeout_connected=bool(progress.workflow.out_edges_of_port(node, "timeout")),
        requester=state.triggered_by,
    )
    progress.record(PeopleAsked(execution_id=state.execution_id, request=request))
    begin(progress, node, scope, run, edges, Waiting(kind="person", wait_id=identity))


def ask_memory(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """Let a run ask memory, and wait for its answer for a while."""
    values = values_of(progress, node, scope, run, inputs, edges)
    if values is None:
        return
    state = progress.state
    identity = wait_id(progress, node.node_id, scope, run)
    request = AskMemory(
        request_id=identity,
        execution_id=state.execution_id,
        workspace_id=state.workspace_id,
        node_id=node.node_id,
        operation=values["operation"],
        memory_type=values["memory_type"],
        query=str(values.get("query") or ""),
        collection=str(values.get("collection") or ""),
        user=str(values.get("user") or ""),
        limit=int(values.get("limit") or 10),
        budget_tokens=values.get("budget_tokens"),
        content=values.get("content"),
    )
    progress.record(MemoryAsked(execution_id=state.execution_id, request=request))
    until = progress.now + timedelta(seconds=float(values.get("timeout_s") or TIMEOUT_S))
    waiting = Waiting(kind="memory", wait_id=identity, until=until)
    begin(progress, node, scope, run, edges, waiting)


def values_of(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> dict[str, Any] | None:
    """Return a node's parameters for its first item; None says that the run has failed."""
    _, where = gathered_by(progress.workflow, node, scope)
    view = RunView(progress.state, progress.workflow, scope, inputs, edges, progress.now, where)
    error: ErrorFacts | None = None
    values: dict[str, Any] = {}
    try:
        values = dict(node.resolve(view(0)))
        size = encoded_bytes(values)
        if size is None or size > ASKED_BYTES_MAX:
            code = CODES.get(node.node_type, TOO_LARGE)
            text = f"what is asked has {size or 0:,} bytes, at most {ASKED_BYTES_MAX:,} may be sent"
            error = data_error(code, text)
    except ExpressionError as failed:
        error = expression_error(failed)
    if error is None:
        return values
    finish(
        progress, Ended(node, scope, run, inputs, edges), whole_run(inputs, scrubbed(error)), view
    )
    return None


def _texts(value: Json) -> tuple[str, ...]:
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    return tuple(str(each)[:255] for each in listed)


# Answers ----------------------------------------------------------------------------------


def answer_place(state: Execution, command: NoteAnswer) -> str | None:
    """Return the place of the run that waits for an answer of this service, None if none does."""
    for place, waiting in state.flow.waits.items() if state.flow is not None else ():
        if waiting.wait_id == command.wait_id and SERVICES.get(waiting.kind) == command.service:
            return place
    return None


def bad_answer(state: Execution, workflow: Workflow, command: NoteAnswer) -> Rejected | None:
    """Return why an answer cannot be taken, None if it can."""
    if asked_by(state, command.wait_id) is not None:
        return None
    place = answer_place(state, command)
    if place is None:
        return Rejected(
            f"nothing waits for an answer to {command.wait_id!r} any more; it is kept here only",
            "stale_answer",
        )
    node = workflow.by_id[state.runs[place].node_id]
    if command.outcome == "answered" and command.port not in node.outputs:
        return Rejected(
            f"node {node.node_id!r} has no port {command.port!r}; it has {', '.join(node.outputs)}",
            "invalid_answer",
        )
    if command.items is not None and not isinstance(command.items, list):
        return Rejected("`items` must be a list of data, or left out", "invalid_answer")
    return None


def note_answer(progress: Progress, command: NoteAnswer) -> None:
    """Let what a service says have its effect."""
    state = progress.state
    place = answer_place(state, command)
    assert place is not None
    run, waiting = state.runs[place], flow_of(state).waits[place]
    if command.outcome == "taken":
        if not waiting.taken:
            progress.record(
                AnswerTaken(
                    execution_id=state.execution_id,
                    node_id=run.node_id,
                    scope=run.scope,
                    run=run.run,
                    wait_id=waiting.wait_id,
                    service=command.service,
                    by=command.by,
                )
            )
        return
    inputs = inputs_of(progress, place)
    if command.outcome == "failed":
        code = "memory_failed" if waiting.kind == "memory" else "interaction_failed"
        error = command.error or data_error(code, "the service failed without saying why")
        end(progress, place, "answer", whole_run(inputs, scrubbed(error)))
        return
    if waiting.kind == "static":
        kept = cast("dict[str, Any]", command.detail)
        progress.record(
            StaticDataKept(
                execution_id=state.execution_id, data=kept["data"], number=kept["number"]
            )
        )
        end(progress, place, "answer", passed_through((command.port,), inputs))
        return
    items = _items(command, waiting, inputs)
    end(progress, place, "answer", Outcome(ports={command.port: items} if items else {}))


def _items(command: NoteAnswer, waiting: Waiting, inputs: Inputs) -> list[Item]:
    """Return what leaves: the answer's items, or those that arrived."""
    source: list[int] = [0] if len(inputs.items) == 1 else []
    if waiting.kind == "memory":
        given = cast("list[Json]", command.items or [])
        return [{"json": json, "source": source} for json in given]
    told = {
        "interaction_id": waiting.wait_id,
        "outcome": command.port,
        "by": command.by,
        "answered_at": command.answered_at,
        **fields_of(command.detail or {}),
    }
    if command.items is None:
        return [
            {**without_source(item), "json": {**fields_of(item["json"]), "interaction": told}}
            for item in inputs.items
        ]
    given = cast("list[Json]", command.items)
    return [{"json": {**fields_of(json), "interaction": told}, "source": source} for json in given]


# Left to people ---------------------------------------------------------------------------


def note_left(progress: Progress) -> None:
    """Say whether nothing of an execution can run but for the answers of people."""
    state = progress.state
    flow = state.flow
    if not state.suspended and (flow is None or (not flow.waits and not flow.to_people)):
        return
    people = (
        bool(state.open)
        and not state.ready
        and all(_waits_for_people(state, place) for place in state.open)
    )
    running = state.status == "RUNNING"
    if running and people != is_left(state):
        progress.record(
            ExecutionLeft(execution_id=state.execution_id, to_people=people, left_at=progress.at)
        )


def _waits_for_people(state: Execution, place: str) -> bool:
    """Tell whether nothing but the answer of people lets an open run go on."""
    known = state.runs[place].dispatch
    if known is not None:
        return bool(known.asks) and all(a.kind == "approval" for a in known.asks.values())
    waiting = None if state.flow is None else state.flow.waits.get(place)
    return waiting is not None and waiting.kind == "person"


def is_left(state: Execution) -> bool:
    """Tell whether an execution is left to people."""
    return state.flow is not None and state.flow.to_people
