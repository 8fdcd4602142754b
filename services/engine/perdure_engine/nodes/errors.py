"""What becomes of failed items: typed data errors, and the three error modes (rules 10 to 13)."""

from collections.abc import Mapping, Sequence
from functools import wraps
from typing import cast

from msgspec import Struct, field
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.expressions import ExpressionError

from .base import ERROR, ErrorMode, InlineRun, Inputs, Item, Outcome, ScopeOf, paired, placed


class Arranged(Struct, frozen=True, gc=False):
    """What leaves a run once its error mode was applied.

    `ports` has what MAIN, SUCCESS and CONDITIONAL connections read, `errors` the error items
    for ERROR connections. `error` is set when the run is an ERROR: then nothing leaves.
    `handled` are the failed input items that did not stop the run; with some of them
    SUCCESS connections are DEAD.
    """

    ports: Mapping[str, list[Item]]
    errors: list[Item] = field(default_factory=list)
    error: ErrorFacts | None = None
    handled: tuple[tuple[int, ErrorFacts], ...] = ()


def data_error(type: str, message: str, detail: Json = None) -> ErrorFacts:
    """Return an error that lies in the data: trying again would give it again (rule 15)."""
    return ErrorFacts(type=type, message=message, stage="node", detail=detail)


def expression_error(error: ExpressionError) -> ErrorFacts:
    """Return the facts of an expression that failed for an item."""
    return ErrorFacts(
        type=error.code,
        message=str(error),
        stage="expression",
        detail={"source": error.source, "position": error.position, "path": error.path},
    )


def whole_run(inputs: Inputs, error: ErrorFacts) -> Outcome:
    """Return the outcome of a run that failed as a whole: all its input items did."""
    return Outcome(ports={}, failed=tuple((index, error) for index in range(len(inputs.items))))


def bounded(run: InlineRun) -> InlineRun:
    """Let a run that meets data nested too deep for it fail as a whole, with a typed error."""

    @wraps(run)
    def safe(prepared: object, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
        try:
            return run(prepared, inputs, scope_of)
        except RecursionError:
            text = "an item's data is nested too deep for this node; pass on only what is needed"
            return whole_run(inputs, data_error("data_too_deep", text))

    return safe


def error_json(json: Json, error: ErrorFacts, node_id: str) -> Json:
    """Return the data of an error item: the input's, and `error` (rule 11)."""
    base = cast("dict[str, Json]", json) if isinstance(json, dict) else {"value": json}
    return {**base, "error": {"type": error.type, "message": error.message, "node": node_id}}


def arrange(
    outcome: Outcome,
    inputs: Inputs,
    *,
    node_id: str,
    error_handling: ErrorMode,
    outputs: Sequence[str],
    regular_error_port: str,
    has_error_edge: bool,
    always_output_data: bool = False,
) -> Arranged:
    """Apply a node's error mode to what its run made.

    `outputs` are the node's regular ports. CONTINUE_ERROR_OUTPUT_ON_ERROR without an edge
    on `error` stops. With `always_output_data` every regular port that would be empty emits
    one empty item (rule 6).
    """
    if outcome.stop is not None:
        return Arranged(ports={}, error=outcome.stop)
    ports = {port: items for port, items in outcome.ports.items() if items}
    errors: list[Item] = []
    if outcome.failed:
        regular = error_handling == "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
        if error_handling == "STOP_WORKFLOW_ON_ERROR" or not (regular or has_error_edge):
            return Arranged(ports={}, error=outcome.failed[0][1])
        errors = [
            _error_item(inputs.items[index], error, node_id, index, place)
            for place, (index, error) in enumerate(outcome.failed)
        ]
        if regular:
            ports[regular_error_port] = _in_place(ports.get(regular_error_port, []), errors)
        else:
            ports[ERROR] = errors
    if always_output_data:
        for port in outputs:
            ports.setdefault(port, [{"json": {}, "source": []}])
    return Arranged(ports=ports, errors=errors, handled=outcome.failed)


def _in_place(items: list[Item], errors: list[Item]) -> list[Item]:
    """Return both in one list: each error before the first item that comes from later input."""
    arranged: list[Item] = []
    waiting = [(_first_source(error, place), error) for place, error in enumerate(errors)]
    waiting.reverse()
    for place, item in enumerate(items):
        source = _first_source(item, place)
        while waiting and waiting[-1][0] < source:
            arranged.append(_placed(*waiting.pop(), len(arranged)))
        arranged.append(_moved(item, place, len(arranged)))
    while waiting:
        arranged.append(_placed(*waiting.pop(), len(arranged)))
    return arranged


def _error_item(item: Item, error: ErrorFacts, node_id: str, index: int, place: int) -> Item:
    """Return the error item of an input item, with its files."""
    made = paired(error_json(item["json"], error, node_id), index, place)
    if "binary_ref" in item:
        made["binary_ref"] = item["binary_ref"]
    return made


def _placed(source: int, error: Item, place: int) -> Item:
    return placed(error, source, place)


def _moved(item: Item, old_place: int, place: int) -> Item:
    if "source" in item:
        return item
    return placed(item, old_place, place)


def _first_source(item: Item, place: int) -> int:
    source = item.get("source", place)
    if isinstance(source, list):
        return source[0] if source else place
    return source
