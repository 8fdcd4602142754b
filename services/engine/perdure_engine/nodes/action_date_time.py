"""ACTION DATE_TIME: reads, prints, moves, rounds and compares dates, in any time zone.

A date is ISO 8601 text or a number of milliseconds since 1970; without an offset it is meant
in `zone`, and results are shown in it. Results are ISO 8601 texts, but of `format` a text of
the author's pattern, of `difference` and `extract` a number.

`add` and `subtract` keep the time of day with days and longer units, across changes of
clocks; hours and shorter ones are exact. Weeks begin on Monday. `difference` is `to` less
`value`, with a fraction.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from perdure_contracts.message import Json
from perdure_expressions.dates import MILLIS, MONTHS, formatted
from perdure_expressions.moment import Moment

from perdure_engine.expressions import Compiled, Scope

from .base import Fault, Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .conditions import kind_of
from .date_patterns import PatternError, parsed, reader_of
from .each import AS, ItemFault, each, needs, put, text_of
from .zones import PARTS, difference, later, read, rounded, zone_of

UNITS = (*MONTHS, *MILLIS)
OPERATIONS = ("format", "parse", "add", "subtract", "round", "difference", "extract")
ROUNDINGS = ("down", "up", "nearest")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done, with which parameters, and where the result goes."""

    operation: str
    compiled: Mapping[str, Compiled]
    into: str


Do = Callable[[Plan, Any, tzinfo, Scope], Json]


def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Compute for each item."""
    do = DOES[plan.operation]

    def make(index: int, json: Json, scope: Scope) -> Json:
        del index
        zone = zone_of(text_of(plan.compiled["zone"], scope, "zone", 255))
        value = plan.compiled["value"].evaluate(scope)
        try:
            return put(json, plan.into, do(plan, value, zone, scope))
        except OverflowError:  # its own zone, or what is computed, is beyond them
            text = "the date leaves the years 1 to 9999"
            raise ItemFault("invalid_date", text) from None

    return each(inputs, scope_of, make)


def _format(plan: Plan, value: Any, zone: tzinfo, scope: Scope) -> Json:
    pattern = text_of(plan.compiled["format"], scope, "format", 255)
    return formatted(read(value, zone, "value"), pattern)


def _parse(plan: Plan, value: Any, zone: tzinfo, scope: Scope) -> Json:
    if "format" not in plan.compiled:
        return read(value, zone, "value").iso()
    pattern = text_of(plan.compiled["format"], scope, "format", 255)
    if not isinstance(value, str):
        text = f"`value` is {kind_of(value)}; a `format` reads texts"
        raise ItemFault("invalid_date", text)
    try:
        return parsed(value, pattern, zone).iso()
    except PatternError as error:
        raise ItemFault("invalid_input", f"`format` {pattern!r} cannot be read: {error}") from None


def _add(plan: Plan, value: Any, zone: tzinfo, scope: Scope) -> Json:
    amount = plan.compiled["amount"].evaluate(scope)
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        text = f"`amount` is {kind_of(amount)}, it must be a number"
        raise ItemFault("invalid_input", text)
    signed = -amount if plan.operation == "subtract" else amount
    return later(read(value, zone, "value"), signed, _unit(plan, scope)).iso()


def _round(plan: Plan, value: Any, zone: tzinfo, scope: Scope) -> Json:
    mode = text_of(plan.compiled["rounding"], scope, "rounding")
    return rounded(read(value, zone, "value"), _unit(plan, scope), mode).iso()


def _difference(plan: Plan, value: Any, zone: tzinfo, scope: Scope) -> Json:
    end: Moment = read(plan.compiled["to"].evaluate(scope), zone, "to")
    return difference(end, read(value, zone, "value"), _unit(plan, scope))


def _extract(plan: Plan, value: Any, zone: tzinfo, scope: Scope) -> Json:
    part = text_of(plan.compiled["part"], scope, "part")
    return PARTS[part](read(value, zone, "value").at)


def _unit(plan: Plan, scope: Scope) -> str:
    return text_of(plan.compiled["unit"], scope, "unit")


DOES: Mapping[str, Do] = {
    "format": _format,
    "parse": _parse,
    "add": _add,
    "subtract": _add,
    "round": _round,
    "difference": _difference,
    "extract": _extract,
}


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    return Plan(str(parameters["operation"]), compiled, parameters.get("as") or "date")


def _check(parameters: Parameters) -> Iterable[Fault]:
    wanted = {
        "format": ["format"],
        "add": ["amount", "unit"],
        "subtract": ["amount", "unit"],
        "round": ["unit"],
        "difference": ["to", "unit"],
        "extract": ["part"],
    }
    yield from needs(parameters, wanted)
    zone: Any = parameters.get("zone")
    if isinstance(zone, str) and "{{" not in zone:
        try:
            zone_of(zone)
        except ItemFault as fault:
            yield Fault("invalid_parameter", "zone", str(fault))
    pattern: Any = parameters.get("format")
    if parameters.get("operation") == "parse" and isinstance(pattern, str) and "{{" not in pattern:
        try:
            reader_of(pattern)
        except PatternError as error:
            yield Fault("invalid_parameter", "format", str(error))


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="DATE_TIME",
    summary="Reads, prints, moves and compares dates.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("operation", "text", "What to do.", optional=False, choices=OPERATIONS),
        Parameter("value", "any", "The date.", optional=False, expressions=True),
        Parameter(
            "zone", "text", "The time zone, such as Europe/Berlin.", default="UTC",
            expressions=True,
        ),
        Parameter(
            "format",
            "text",
            "The pattern to print or read by, such as `dd.MM.yyyy HH:mm`; without it `parse` "
            "reads ISO 8601.",
            expressions=True,
        ),
        Parameter("amount", "number", "How much to add or subtract.", expressions=True),
        Parameter("unit", "text", "The unit to move, round or measure by.", choices=UNITS),
        Parameter("rounding", "text", "Which way.", default="down", choices=ROUNDINGS),
        Parameter("to", "any", "The later date of a difference.", expressions=True),
        Parameter("part", "text", "What to extract.", choices=tuple(PARTS)),
        Parameter("as", "text", f"{AS.doc} By default `date`."),
    ),
    run=run,
    prepare=_prepare,
    check=_check,
    example={
        "operation": "add",
        "value": "{{ $json.ordered_at }}",
        "amount": 14,
        "unit": "day",
        "zone": "Europe/Berlin",
        "as": "due_at",
    },
    errors=("invalid_date", "invalid_zone", "invalid_input", "input_too_large"),
)  # fmt: skip
