"""Conditions: asked of each item, and a boolean or nothing (rule 32 says what null does)."""

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, ExpressionError, Scope

from .base import Inputs, Item, Outcome, ScopeOf, paired
from .errors import data_error, expression_error


def holds(condition: Compiled, scope: Scope) -> bool | ErrorFacts:
    """Return whether `condition` holds for the item of `scope`, or why it cannot be told."""
    try:
        value = condition.evaluate(scope)
    except ExpressionError as error:
        return expression_error(error)
    if isinstance(value, bool):
        return value
    return data_error(
        "condition_not_boolean",
        f"the condition gave {kind_of(value)}, it must give true or false; "
        "compare it with something, or use !! to turn it into a boolean",
    )


def parted(
    condition: Compiled, inputs: Inputs, scope_of: ScopeOf, holding: str, others: str
) -> Outcome:
    """Return the items on two ports: those for which the condition holds, and the others.

    An item for which it cannot be told has failed.
    """
    ports: dict[str, list[Item]] = {holding: [], others: []}
    failed: list[tuple[int, ErrorFacts]] = []
    for index, item in enumerate(inputs.items):
        answer = holds(condition, scope_of(index))
        if isinstance(answer, ErrorFacts):
            failed.append((index, answer))
            continue
        port = ports[holding if answer else others]
        port.append(paired(item["json"], index, len(port)))
    return Outcome(ports=ports, failed=tuple(failed))


def is_condition(value: Json) -> bool:
    """Tell whether a value can be a condition: a boolean, or text that is one expression."""
    if isinstance(value, bool):
        return True
    if not isinstance(value, str):
        return False
    text = value.strip()
    return text == value and text.startswith("{{") and text.endswith("}}")


JSON_KINDS: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def kind_of(value: Json) -> str:
    """Return what kind of value it is, as an error names it."""
    return JSON_KINDS.get(value.__class__, "a number")
