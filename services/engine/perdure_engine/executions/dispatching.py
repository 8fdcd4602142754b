"""Attempts that are sent to the runner: the first of a run, and those after it.

What becomes of them is in attempts.py.
"""

import hashlib

from perdure_common.ids import derived
from perdure_contracts.engine import ErrorFacts, Scope
from perdure_contracts.executions import NodeScheduled
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.expressions import ExpressionError
from perdure_engine.nodes.base import Inputs, Outcome
from perdure_engine.nodes.errors import expression_error

from .attempts import answered, end_run, open_run
from .bounds import input_too_large
from .finishing import Ended, finish, listed_bytes, scrubbed, stops
from .given import mock_answer, mocked
from .instants import after
from .limits_of_runs import run_until, sooner
from .overriding import avoided, is_sent, overridden
from .progress import Progress
from .state import Dispatch, Execution, Run, place_of
from .undoing import asks_to_undo, overrides_of, undoable
from .views import RunView, gather, gathered_by

TASK_BYTES_MAX = 700_000
"""What a runner may be sent at once, as JSON: parameters and items stand in one record."""

ITEMS_AT_ONCE = 10
"""Items of a task that a runner works on at the same time; an attempt's limit allows for it."""

ATTEMPT_GRACE_S = 15.0
"""What an attempt may take beyond the limits of its items: for queues on the way."""

PURE_S_MAX = 30.0
"""What a runner may take for work that the engine could do itself."""

SENT_ITEM_BYTES = 16
"""What an item of an answer has around its data; the answer must fit where the task did."""

ATTEMPT_S_MAX = 3_600.0
"""The limit of an attempt where neither its node nor its subtype has one."""


def dispatch(
    progress: Progress,
    node: Node,
    scope: Scope,
    run: int,
    inputs: Inputs,
    edges: tuple[tuple[int, str], ...],
) -> bool:
    """Resolve the parameters of each item and send the first attempt of a run.

    False says that nothing happened: what does not fit into a task runs here, if it can.
    """
    state = progress.state
    _, where = gathered_by(progress.workflow, node, scope)
    view = RunView(state, progress.workflow, scope, inputs, edges, progress.now, where)
    overrides = state.overrides.get(place_of(node.node_id, scope)) if is_sent(node) else None
    sets: list[Json] = []
    indexes: list[int] = []
    failed: list[tuple[int, ErrorFacts]] = []
    for index in range(len(inputs.items)):
        try:
            resolved = node.fixed if node.fixed is not None else node.resolve(view(index))
            sets.append(overridden(node, resolved, overrides))
            indexes.append(index)
        except ExpressionError as error:
            failed.append((index, scrubbed(expression_error(error))))
    progress.worked(view.meter)
    most = progress.output_bytes_max
    size = listed_bytes([*sets, *(item["json"] for item in inputs.items)], most)
    local = node.specification.run is not None
    if local and (size is None or size + SENT_ITEM_BYTES * len(inputs.items) > TASK_BYTES_MAX):
        return False
    if size is None or size > most:
        failed = [(index, input_too_large(size, most)) for index in range(len(inputs.items))]
        indexes = []
    if not indexes or (failed and stops(progress.workflow, node)):
        ended = Ended(node, scope, run, inputs, edges)
        finish(progress, ended, Outcome(ports={}, failed=tuple(failed)), view)
        return True
    progress.record(
        NodeScheduled(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            attempt=1,
            token=_token(progress, node.node_id, scope, run, 1),
            indexes=tuple(indexes),
            deadline=sooner(_deadline(progress, node, len(indexes)), run_until(progress, node)),
            scheduled_at=progress.at,
            parameters=sets,
            inputs=edges,
            inputs_scope=None if where == scope else where,
            failed=tuple(failed),
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            effect=node.specification.effect(node.parameters),
            length="short" if local else node.specification.length(node.parameters, node.timeout_s),
            idempotency_key=_idempotency_key(state, node, scope),
            max_retries=node.max_retries,
            avoid=avoided(overrides),
            run_until=run_until(progress, node),
        )
    )
    if state.given is not None:
        _answer_mocked(progress, node, place_of(node.node_id, scope))
    return True


def _answer_mocked(progress: Progress, node: Node, place: str) -> None:
    """Answer an attempt on the spot where the node is mocked: nobody was sent its task."""
    pin = mocked(progress.state, node)
    if pin is None:
        return
    run, known = open_run(progress, place)
    inputs, _ = gather(progress.state, progress.workflow, node, run.scope)
    items = [item["json"] for item in inputs.items]
    told = mock_answer(
        pin, progress.state.execution_id, known.token, run.attempt, known.indexes, items
    )
    answered(progress, place, told)


def try_again(progress: Progress, place: str) -> None:
    """Send the next attempt of a run that waited, about the items that failed."""
    run, known = open_run(progress, place)
    if asks_to_undo(known):
        left = undoable(progress.workflow, progress.workflow.by_id[run.node_id], known)
        if left:
            send_again(progress, run, known, left)
        else:
            end_run(progress, run, known.done, known.failed)
        return
    indexes = tuple(
        int(index)
        for index in sorted(known.failed, key=int)
        if index in known.parameters and (known.asked or known.failed[index].retryable)
    )
    send_again(progress, run, known, indexes)


def send_again(progress: Progress, run: Run, known: Dispatch, indexes: tuple[int, ...]) -> None:
    """Send the next attempt of a run, about these items."""
    node = progress.workflow.by_id[run.node_id]
    parameters: Json = None
    overrides = overrides_of(known)
    if overrides is not None:
        sent = known.parameters
        parameters = [overridden(node, sent[str(index)], overrides) for index in indexes]
    attempt = run.attempt + 1
    progress.record(
        NodeScheduled(
            execution_id=progress.state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            attempt=attempt,
            token=_token(progress, run.node_id, run.scope, run.run, attempt),
            indexes=indexes,
            deadline=sooner(_deadline(progress, node, len(indexes)), known.run_until),
            scheduled_at=progress.at,
            parameters=parameters,
            avoid=avoided(overrides),
        )
    )
    if progress.state.given is not None:
        _answer_mocked(progress, node, place_of(run.node_id, run.scope))


def _token(progress: Progress, node_id: str, scope: Scope, run: int, attempt: int) -> str:
    return derived("attempt", progress.state.execution_id, node_id, scope, run, attempt)


def _idempotency_key(state: Execution, node: Node, scope: Scope) -> str:
    """Return the key of a node's effects, the same for every attempt and every run of it.

    A run that a revival makes again has the same key, so that what was done before is not
    done twice; but not if it was undone. The runner adds the item's index.
    """
    text = f"{state.root_execution_id}\x1f{node.node_id}\x1f{scope}\x1f{node.node_subtype}"
    if state.undone is not None and (times := state.undone.get(place_of(node.node_id, scope))):
        text += f"\x1f{times}"
    return hashlib.sha256(text.encode()).hexdigest()


def _deadline(progress: Progress, node: Node, items: int) -> str:
    """Return the instant at which an attempt of `items` items is given up as lost."""
    limit_s = node.timeout_s
    if limit_s is None and node.specification.run is not None:
        limit_s = PURE_S_MAX + ATTEMPT_GRACE_S
    elif limit_s is None:
        each_s = node.specification.attempt_timeout_s(node.parameters)
        rounds = -(-items // ITEMS_AT_ONCE)
        limit_s = ATTEMPT_S_MAX if each_s is None else each_s * rounds + ATTEMPT_GRACE_S
    return after(progress.now, limit_s)
