"""The end of a node run: its error mode, what leaves on which edge, and what follows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from perdure_common.ids import derived
from perdure_common.scrub import scrub_json, scrub_text
from perdure_contracts.cloudevents import deeper
from perdure_contracts.engine import (
    EffectClass,
    ErrorFacts,
    Failed,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
    Scope,
)
from perdure_contracts.message import Json

from perdure_engine.definition import Node, Workflow
from perdure_engine.nodes.base import ERROR, Inputs, Outcome
from perdure_engine.nodes.errors import Arranged, arrange, data_error

from .conditions import Picks, pick, without_failed
from .ending import fail_iteration, stop
from .files import kept
from .progress import Progress
from .state import Run
from .views import RunView, gathered_by

ENCODED_AT_ONCE = 16
"""Values that are written as JSON at once to count their bytes."""

LEVELS_MAX = 230
"""Levels of objects and lists in the data of items: the rows that show them stop at 254."""

ERRORS_KEPT_MAX = 20
"""Failed items whose errors are kept with a run; the others are counted."""

Edges = tuple[tuple[int, str], ...]

_encode = msgspec.json.Encoder().encode


class Ended:
    """A run at its end: what it was, what went in, how often it was tried, since when it failed.

    `asked` is the failure that recovery was asked about last, empty if it was not.
    """

    __slots__ = (
        "asked", "attempt", "edges", "first_failed_at", "inline", "inputs", "node", "pure", "root",
        "run", "scope", "started",
    )  # fmt: skip

    def __init__(
        self,
        node: Node,
        scope: Scope,
        run: int,
        inputs: Inputs,
        edges: Edges,
        began: Run | None = None,
    ) -> None:
        """Take the node and its LIVE input; `began` is the run if it was dispatched."""
        self.node = node
        self.scope = scope
        self.run = run
        self.inputs = inputs
        self.edges = edges
        self.inline = began is None
        self.attempt = 1 if began is None else began.attempt
        self.started = None if began is None else began.started_at
        known = None if began is None else began.dispatch
        self.pure = known is not None and known.effect == "pure"
        self.asked = "" if known is None else known.failure_id
        self.root = "" if known is None else known.root_failure_id
        self.first_failed_at = "" if known is None else known.first_failed_at

    def inputs_scope(self, workflow: Workflow) -> Scope | None:
        """Return the scope of the in-edges where it is not that of the run."""
        if self.node.position not in workflow.inside:
            return None
        _, scope = gathered_by(workflow, self.node, self.scope)
        return None if scope == self.scope else scope


def finish(
    progress: Progress, ended: Ended, outcome: Outcome, view: RunView, *, disabled: bool = False
) -> None:
    """Apply the error mode to what a run made, and let it end with SUCCESS or ERROR."""
    node, workflow = ended.node, progress.workflow
    if progress.state.files:
        outcome = kept(outcome, ended.inputs, node.specification)
    conditional = workflow.conditional_edges(node)
    picks: Picks | None = None
    if conditional and outcome.stop is None:
        picks = pick(conditional, outcome.ports, view, node.node_id)
        if picks.failed:
            count = len(ended.inputs.items)
            outcome, picks = without_failed(outcome, picks.failed, count), None
    if outcome.failed or outcome.stop is not None or node.always_output_data:
        arranged = arrange(
            outcome,
            ended.inputs,
            node_id=node.node_id,
            error_handling=node.error_handling,
            outputs=node.end_outputs,
            regular_error_port=node.specification.regular_error_port,
            has_error_edge=workflow.has_error_edge(node),
            always_output_data=node.always_output_data,
        )
    else:
        arranged = Arranged({port: items for port, items in outcome.ports.items() if items})
    if arranged.error is not None:
        fail(progress, ended, arranged.error, outcome.failed)
        return
    unfit = _unfit(arranged, progress.output_bytes_max)
    if unfit is not None:
        ended.asked = ""  # a failure of its own, whatever recovery was asked about before
        fail(progress, ended, unfit, ())
        return
    if conditional and (picks is None or arranged.handled or node.always_output_data):
        picks = pick(conditional, arranged.ports, view, node.node_id)
    complete(progress, ended, arranged, picks, disabled=disabled)


def complete(
    progress: Progress,
    ended: Ended,
    arranged: Arranged,
    picks: Picks | None,
    *,
    disabled: bool = False,
) -> None:
    """Let a run end with SUCCESS: resolve its out-edges and enqueue what is ready then."""
    node = ended.node
    live: list[tuple[int, str]] = []
    dead: list[int] = []
    picked: dict[str, tuple[int, ...]] = {}
    ports = arranged.ports
    for edge in progress.workflow.leaving_edges(node):
        port = edge.source_port
        match edge.connection_type:
            case "MAIN":
                carries = port in ports
            case "SUCCESS":
                carries = port in ports and not arranged.handled
            case "ERROR":
                carries = bool(arranged.errors)
            case "CONDITIONAL":
                places = picks.places[edge.index] if picks is not None else []
                carries = bool(places)
                if carries and len(places) < len(ports[port]):
                    picked[str(edge.index)] = tuple(places)
        if carries:
            live.append((edge.index, port))
        else:
            dead.append(edge.index)
    beside = arranged.errors and ERROR not in ports and any(port == ERROR for _, port in live)
    progress.record(
        NodeCompleted(
            execution_id=progress.state.execution_id,
            node_id=node.node_id,
            scope=ended.scope,
            run=ended.run,
            attempt=ended.attempt,
            ports=ports,
            live=tuple(live),
            dead=tuple(dead),
            picks=picked,
            errors=arranged.errors if beside else None,
            inputs=ended.edges,
            inputs_scope=ended.inputs_scope(progress.workflow),
            step=progress.state.steps + 1,
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            error_data=error_data(arranged.handled),
            duration_ms=progress.since_ms(ended.started),
            max_retries=node.max_retries,
            inline=ended.inline,
            disabled=disabled,
            pure=ended.pure,
        )
    )
    again = ended.attempt > 1 or ended.run > 1 or arranged.handled
    if again and progress.state.troubled:
        progress.record(
            NodeRecovered(
                execution_id=progress.state.execution_id,
                node_id=node.node_id,
                scope=ended.scope,
                run=ended.run,
                attempt=ended.attempt,
            )
        )
    progress.resolved(node, ended.scope)


def fail(progress: Progress, ended: Ended, error: ErrorFacts, failed: Failed) -> None:
    """Let a run end with ERROR, tell recovery unless it was asked, and stop the execution."""
    node, state = ended.node, progress.state
    error = scrubbed(error)
    failure_id = ended.asked
    if not failure_id:
        told = failure(progress, ended, error, asked=False)
        failure_id = told.failure_id
        progress.record(told)
    progress.record(
        NodeErrored(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=ended.scope,
            run=ended.run,
            attempt=ended.attempt,
            error=error,
            step=state.steps + 1,
            failure_id=failure_id,
            inputs=ended.edges,
            inputs_scope=ended.inputs_scope(progress.workflow),
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            error_data=error_data(failed or ((0, error),)),
            duration_ms=progress.since_ms(ended.started),
            max_retries=node.max_retries,
            inline=ended.inline,
        )
    )
    if not fail_iteration(progress, ended.scope, node.node_id, error):
        stop(progress, "ERROR", error, node_id=node.node_id, failure_id=failure_id)


def failure(progress: Progress, ended: Ended, error: ErrorFacts, *, asked: bool) -> NodeFailed:
    """Return what recovery is told of a failure that nothing has been asked about yet."""
    node, state = ended.node, progress.state
    failure_id = derived(
        "failure", state.execution_id, node.node_id, ended.scope, ended.run, ended.attempt
    )
    effect: EffectClass = node.specification.effect(node.parameters)
    return NodeFailed(
        failure_id=failure_id,
        root_failure_id=ended.root or failure_id,
        execution_id=state.execution_id,
        workflow_id=state.workflow_id,
        workflow_version=state.workflow_version,
        workspace_id=state.workspace_id,
        node_id=node.node_id,
        node_name=node.name,
        node_type=node.node_type,
        node_subtype=node.node_subtype,
        scope=ended.scope,
        run=ended.run,
        attempt=ended.attempt,
        asked=asked,
        effect=effect,
        error=error,
        first_failed_at=ended.first_failed_at or progress.at,
        failed_at=progress.at,
        deadline=None if state.deadline is None else state.deadline.isoformat(),
        means={"failure_type": node.failure_type} if node.failure_type else None,
    )


def stops(workflow: Workflow, node: Node) -> bool:
    """Return whether a failed item of the node ends the execution, by the node's error mode."""
    if node.error_handling == "STOP_WORKFLOW_ON_ERROR":
        return True
    error_port = node.error_handling == "CONTINUE_ERROR_OUTPUT_ON_ERROR"
    return error_port and not workflow.has_error_edge(node)


def scrubbed(error: ErrorFacts) -> ErrorFacts:
    """Return the error without secrets in its texts."""
    return replace(error, message=scrub_text(error.message), detail=scrub_json(error.detail))


def error_data(failed: Sequence[tuple[int, ErrorFacts]]) -> Json:
    """Return failed items as rows and events show them, None if none failed."""
    if not failed:
        return None
    items: list[dict[str, Any]] = [
        {"index": index, "type": error.type, "message": scrub_text(error.message)}
        for index, error in failed[:ERRORS_KEPT_MAX]
    ]
    return {"count": len(failed), "items": items}


def encoded_bytes(value: Any) -> int | None:
    """Return how many bytes a value has as JSON, None if it is none or nested too deep."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return None if deeper(text, LEVELS_MAX) else len(text)


def listed_bytes(values: Sequence[Any], most: int) -> int | None:
    """Return how many bytes values have as JSON together, None if one is none.

    What exceeds `most` is not counted to its end: values that share a large part take little
    room in memory, and gigabytes as JSON.
    """
    if len(values) <= ENCODED_AT_ONCE:
        return encoded_bytes(values)
    size = 0
    for at in range(0, len(values), ENCODED_AT_ONCE):
        part = encoded_bytes(values[at : at + ENCODED_AT_ONCE])
        if part is None:
            return None
        size += part
        if size > most:
            break
    return size


def _unfit(arranged: Arranged, most: int) -> ErrorFacts | None:
    """Return why what a run made cannot leave it: it is too large, or no JSON."""
    size = 0
    emitted = list(arranged.ports.values())
    for items in [*emitted, arranged.errors] if arranged.errors else emitted:
        part = listed_bytes(items, most - size)
        if part is None:
            text = (
                "what the node made cannot be written as JSON; use plain values, whole texts, and "
                f"at most {LEVELS_MAX} levels of objects and lists"
            )
            return data_error("output_not_json", text)
        size += part
        if size > most:
            text = (
                f"the node's output has {size:,} bytes or more, at most {most:,} are "
                "allowed; keep fewer items or fields, or pass a reference"
            )
            return data_error("output_too_large", text)
    return None
