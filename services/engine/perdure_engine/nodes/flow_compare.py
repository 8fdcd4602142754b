"""FLOW COMPARE: what two inputs have in common, and what only one of them has.

Input1 is A. Items belong together when all keys are equal as JSON values; of several with
the same keys the first goes with the first, the second with the second. A missing or null
key belongs to nothing. `both` has A's items that are like B's in every field, `different`
has `{a, b, fields}` with the names of the fields that differ.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from perdure_contracts.message import Json

from .base import (
    Fault,
    Inputs,
    Item,
    NodeSpecification,
    Outcome,
    Parameter,
    Parameters,
    ScopeOf,
    paired,
)
from .errors import bounded, data_error, whole_run
from .fields import fields_key, fields_of, key_of, too_many_compared

TWO_INPUTS = ("input1", "input2")


@bounded
def run(keys: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Pair the items of the two inputs, A's order first (rule 31)."""
    del scope_of
    fault = too_many_compared(len(keys), len(inputs.items))
    if fault:
        return whole_run(inputs, data_error("too_many_items", fault))
    a, b = (_side(inputs, port) for port in TWO_INPUTS)
    waiting: dict[bytes, list[int]] = {}
    for at, (json, _) in enumerate(b):
        key = fields_key(json, keys)
        if key is not None:
            waiting.setdefault(key, []).append(at)
    for places in waiting.values():
        places.reverse()
    ports: dict[str, list[Item]] = {"only_a": [], "both": [], "different": [], "only_b": []}
    taken: set[int] = set()
    for json, source in a:
        key = fields_key(json, keys)
        partners = waiting.get(key) if key is not None else None
        if not partners:
            ports["only_a"].append(paired(json, source, len(ports["only_a"])))
            continue
        at = partners.pop()
        taken.add(at)
        other, other_source = b[at]
        names = _differing(json, other)
        made: Json = {"a": json, "b": other, "fields": names} if names else json
        port = ports["different" if names else "both"]
        port.append({"json": made, "source": [source, other_source]})
    for at, (json, source) in enumerate(b):
        if at not in taken:
            ports["only_b"].append(paired(json, source, len(ports["only_b"])))
    return Outcome(ports=ports)


def _side(inputs: Inputs, port: str) -> Sequence[tuple[Json, int]]:
    start = inputs.starts.get(port, 0)
    items = inputs.ports.get(port, ())
    return [(item["json"], start + at) for at, item in enumerate(items)]


def _differing(a: Json, b: Json) -> list[str]:
    """Return the names of the fields that are not equal, A's order first."""
    left, right = fields_of(a), fields_of(b)
    absent = object()
    return [
        name
        for name in dict.fromkeys((*left, *right))
        if (x := left.get(name, absent)) is absent
        or (y := right.get(name, absent)) is absent
        or key_of([x]) != key_of([y])
    ]


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    del parameters
    return ("only_a", "both", "different", "only_b")


def _prepare(parameters: Parameters, compiled: object) -> object:
    del compiled
    return tuple(cast("list[str]", parameters["keys"]))


def _check_inputs(parameters: Parameters, connected: tuple[str, ...]) -> Iterable[Fault]:
    del parameters
    if connected and set(connected) != set(TWO_INPUTS):
        text = f"COMPARE compares input1 and input2, but connected are: {', '.join(connected)}"
        yield Fault("compare_needs_two_inputs", "keys", text)


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="COMPARE",
    summary="Tells what two inputs have in common.",
    place="inline",
    files="collect",
    parameters=(
        Parameter(
            "keys",
            "list",
            "The fields by which items belong together: names, or paths with dots.",
            optional=False,
            of="text",
            least=1,
        ),
    ),
    numbered=True,
    inputs=TWO_INPUTS,
    outputs=_outputs,
    regular_error_port="both",
    run=run,
    prepare=_prepare,
    check_inputs=_check_inputs,
    example={"keys": ["id"]},
    errors=("too_many_items", "data_too_deep"),
)
