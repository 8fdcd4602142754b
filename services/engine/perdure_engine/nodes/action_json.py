"""ACTION JSON: reads JSON text into data, or writes data as text.

Read is what RFC 8259 calls JSON: no NaN, no comments; of two equal keys the last counts. A number
beyond 1.8e308 is an error.
Written is one line, or with `indent` one line for each value; keys keep their order.
"""

import json as json_of_python
import math
from collections.abc import Mapping
from typing import Any

from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Scope

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .each import AS, DEPTH_MAX, READ_BYTES, ItemFault, each, pay, put, text_of, too_deep


def run(plan: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Read or write for each item."""
    compiled, reads, indent, into = plan

    def make(index: int, json: Json, scope: Scope) -> Json:
        del index
        if reads:
            given = text_of(compiled["value"], scope, "value")
            pay(scope, len(given) >> 2, len(given) * READ_BYTES)
            return put(json, into, _read(given))
        value = compiled["value"].evaluate(scope)
        text = json_of_python.dumps(
            value,
            ensure_ascii=False,
            indent=indent or None,
            separators=None if indent else (",", ":"),
        )
        return put(json, into, text, scope)

    return each(inputs, scope_of, make)


def _read(text: str) -> Json:
    try:
        value = json_of_python.loads(text, parse_constant=_refuse, parse_float=finite)
    except ValueError as error:
        raise ItemFault("invalid_json", f"the text is no JSON: {error}") from None
    if too_deep(value):
        raise ItemFault("data_too_deep", f"the JSON has more than {DEPTH_MAX} levels")
    return value


def finite(text: str) -> float:
    """Return a number of JSON that has a fraction or an exponent.

    Raises:
        ValueError: It is beyond what a float can hold, and would be written as null.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    reads = parameters.get("operation", "parse") == "parse"
    into = parameters.get("as") or ("data" if reads else "json")
    return compiled, reads, parameters.get("indent", 0), into


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="JSON",
    summary="Reads and writes JSON text.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("operation", "text", "What to do.", default="parse", choices=("parse", "write")),
        Parameter(
            "value", "any", "The text to read, or the data to write.", optional=False,
            expressions=True,
        ),
        Parameter("indent", "integer", "Spaces for each level when writing.", least=0, most=8),
        Parameter("as", "text", f"{AS.doc} By default `data`, of `write` `json`."),
    ),
    run=run,
    prepare=_prepare,
    example={"value": "{{ $json.body }}", "as": "order"},
    errors=("invalid_json", "invalid_input", "input_too_large", "data_too_deep"),
)  # fmt: skip
