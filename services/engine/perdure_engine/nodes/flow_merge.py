"""FLOW MERGE: brings branches together, once it is certain of each what comes from it.

`append` gives the items of one input after the other, `choose` those of the first input on
which something arrived. `position` makes one item of the n-th of each input, `cross` of
every combination. `fields` joins two inputs where all keys are equal as JSON values; null
is equal to nothing. `inner` keeps pairs, `left` also what is alone on input1, `right` on
input2, `outer` on both, `anti` only what is alone on input1. Where several items become one,
the later input wins fields that both have.

An input whose branch was skipped is missing; `on_missing` says whether the others go on, the
merge emits nothing, or it fails. `choose` does not ask.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled

from .base import (
    Fault,
    Inputs,
    Item,
    NodeSpecification,
    Outcome,
    Parameter,
    Parameters,
    ScopeOf,
    input_number,
)
from .errors import bounded, data_error, whole_run
from .fields import CELLS_MAX, ITEMS_MAX, fields_of, too_many_compared
from .merge_fields import Key, Side, TooManyItems, joined

MODES = ("append", "position", "fields", "cross", "choose")
JOINS = ("inner", "left", "right", "outer", "anti")
MISSING = ("proceed", "skip", "error")
TWO_INPUTS = ("input1", "input2")


@dataclass(frozen=True, slots=True)
class Plan:
    """How the inputs are brought together."""

    mode: str
    join: str
    keys: tuple[Key, ...]
    on_missing: str


@bounded
def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Merge the LIVE inputs; what a missing one means, `on_missing` says."""
    del scope_of
    missing = [port for port in inputs.connected if port not in inputs.ports]
    if missing and plan.mode != "choose" and plan.on_missing != "proceed":
        if plan.on_missing == "skip":
            return Outcome(ports={})
        names = ", ".join(missing)
        text = f"nothing arrived on {names}; let that branch emit, or set `on_missing`"
        return whole_run(inputs, data_error("missing_input", text))
    fault = too_many_compared(len(plan.keys), len(inputs.items))
    if fault:
        return whole_run(inputs, data_error("too_many_items", fault))
    ports = sorted(inputs.ports, key=lambda port: input_number(port) or 0)
    sides = {
        port: [(item["json"], inputs.starts[port] + at) for at, item in enumerate(items)]
        for port, items in inputs.ports.items()
    }
    try:
        return Outcome(ports={"main": _merged(plan, ports, sides)})
    except TooManyItems:
        text = (
            f"the merge would give more than {ITEMS_MAX:,} items, or {CELLS_MAX:,} fields; "
            "filter the inputs first, or join by keys that are unique"
        )
        return whole_run(inputs, data_error("too_many_items", text))


def _merged(plan: Plan, ports: Sequence[str], sides: Mapping[str, Side]) -> list[Item]:
    match plan.mode:
        case "choose":
            return [_item(json, source, at) for at, (json, source) in enumerate(sides[ports[0]])]
        case "position":
            return _by_position([sides[port] for port in ports])
        case "cross":
            return _crossed([sides[port] for port in ports])
        case "fields":
            left, right = (sides.get(port, []) for port in TWO_INPUTS)
            return joined(left, right, plan.keys, plan.join)
        case _:
            both = [pair for port in ports for pair in sides[port]]
            return [_item(json, source, at) for at, (json, source) in enumerate(both)]


def _by_position(sides: Sequence[Side]) -> list[Item]:
    """Return the n-th items of all sides as one, to the longest; missing sides absent."""
    length = max(len(side) for side in sides)
    return [_combined([side[at] for side in sides if at < len(side)]) for at in range(length)]


def _crossed(sides: Sequence[Side]) -> list[Item]:
    """Return every combination, the first input slowest."""
    count = 1
    for side in sides:
        count *= len(side)
    cells = sum(len(fields_of(json)) * (count // len(side)) for side in sides for json, _ in side)
    if count > ITEMS_MAX or cells > CELLS_MAX:
        raise TooManyItems
    combinations: list[list[tuple[Json, int]]] = [[]]
    for side in sides:
        combinations = [[*done, pair] for done in combinations for pair in side]
    return [_combined(combination) for combination in combinations]


def _combined(pairs: Sequence[tuple[Json, int]]) -> Item:
    """Return one item of several; later inputs win clashes."""
    fields: dict[str, Json] = {}
    for json, _ in pairs:
        fields.update(fields_of(json))
    sources = [source for _, source in pairs]
    return {"json": fields, "source": sources[0] if len(sources) == 1 else sources}


def _item(json: Json, source: int, place: int) -> Item:
    return {"json": json} if source == place else {"json": json, "source": source}


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del compiled
    return Plan(
        mode=parameters.get("mode", "append"),
        join=parameters.get("join", "inner"),
        keys=tuple((key["left"], key["right"]) for key in parameters.get("keys", ())),
        on_missing=parameters.get("on_missing", "proceed"),
    )


def _check(parameters: Parameters) -> Iterable[Fault]:
    if parameters.get("mode", "append") != "fields":
        for name in ("join", "keys"):
            if name in parameters:
                yield Fault(
                    "invalid_parameter",
                    name,
                    f"`{name}` counts only with `mode: fields`; take it away or set the mode",
                )
        return
    if "keys" not in parameters:
        yield Fault(
            "missing_parameter",
            "keys",
            "`mode: fields` needs `keys`: [{left: id, right: id}]",
        )


def _check_inputs(parameters: Parameters, connected: tuple[str, ...]) -> Iterable[Fault]:
    if parameters.get("mode", "append") == "fields" and set(connected) != set(TWO_INPUTS):
        yield Fault(
            "merge_needs_two_inputs",
            "mode",
            f"`mode: fields` joins input1 and input2, but connected are: "
            f"{', '.join(connected) or 'none'}",
        )


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="MERGE",
    summary="Brings branches together.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("mode", "text", "How.", default="append", choices=MODES),
        Parameter(
            "join", "text", "Which items stay with `mode: fields`; by default inner.", choices=JOINS
        ),
        Parameter(
            "keys",
            "list",
            "The fields that must be equal with `mode: fields`.",
            entries=(
                Parameter("left", "text", "A field of input1.", optional=False),
                Parameter("right", "text", "A field of input2.", optional=False),
            ),
            least=1,
        ),
        Parameter(
            "on_missing",
            "text",
            "What an input means on which nothing arrives.",
            default="proceed",
            choices=MISSING,
        ),
    ),
    numbered=True,
    inputs=TWO_INPUTS,
    run=run,
    prepare=_prepare,
    check=_check,
    check_inputs=_check_inputs,
    example={"mode": "fields", "join": "left", "keys": [{"left": "id", "right": "customer_id"}]},
    errors=("missing_input", "too_many_items", "data_too_deep"),
)
