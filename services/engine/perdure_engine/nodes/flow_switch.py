"""FLOW SWITCH: each item leaves on the port of the rule that holds for it, or `fallback`.

With `mode: first` later rules are not asked once one holds; with `all` an item leaves on the
port of every rule that holds. `error` and `fallback` cannot be names of rules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from perdure_contracts.engine import ErrorFacts

from perdure_engine.expressions import Compiled, Scope, compile_value

from .base import (
    ERROR,
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
from .conditions import holds

FALLBACK = "fallback"

NAME_LENGTH_MAX = 255
"""The length of a rule's name, which is a port's name, in characters."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules in their order, and whether only the first that holds counts."""

    rules: tuple[tuple[str, Compiled], ...]
    first: bool


def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Send each item to its rules' ports; a rule that cannot be told fails the item."""
    ports: dict[str, list[Item]] = {name: [] for name, _ in plan.rules}
    ports[FALLBACK] = []
    failed: list[tuple[int, ErrorFacts]] = []
    for index, item in enumerate(inputs.items):
        names = _ports_for(plan, scope_of(index))
        if isinstance(names, ErrorFacts):
            failed.append((index, names))
            continue
        for name in names or [FALLBACK]:
            ports[name].append(paired(item["json"], index, len(ports[name])))
    return Outcome(ports=ports, failed=tuple(failed))


def _ports_for(plan: Plan, scope: Scope) -> list[str] | ErrorFacts:
    """Return the rules that hold; with `first`, later ones are not evaluated (rule 32)."""
    names: list[str] = []
    for name, condition in plan.rules:
        answer = holds(condition, scope)
        if isinstance(answer, ErrorFacts):
            return answer
        if answer:
            names.append(name)
            if plan.first:
                break
    return names


def _rules(parameters: Parameters) -> list[Any]:
    rules = parameters.get("rules")
    return cast("list[Any]", rules) if isinstance(rules, list) else []


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del compiled
    return Plan(
        rules=tuple(
            (rule["name"], compile_value(rule["condition"], f"rules[{at}].condition"))
            for at, rule in enumerate(_rules(parameters))
        ),
        first=parameters.get("mode", "first") == "first",
    )


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    names: list[str] = []
    for rule in _rules(parameters):
        name = cast("dict[str, Any]", rule).get("name") if isinstance(rule, dict) else None
        if isinstance(name, str):
            names.append(name)
    return (*dict.fromkeys(names), FALLBACK)


def _check(parameters: Parameters) -> Iterable[Fault]:
    seen: set[str] = set()
    for at, rule in enumerate(_rules(parameters)):
        name = cast("dict[str, Any]", rule).get("name") if isinstance(rule, dict) else None
        if not isinstance(name, str):
            continue
        path = f"rules[{at}].name"
        if len(name) > NAME_LENGTH_MAX:
            text = f"has {len(name):,} characters, a port's name at most {NAME_LENGTH_MAX}"
            yield Fault("invalid_parameter", path, text)
        elif name in (FALLBACK, ERROR):
            text = f"{name!r} is a port of its own; give the rule another name"
            yield Fault("reserved_rule_name", path, text)
        elif name in seen:
            text = f"two rules are called {name!r}; rename one of them"
            yield Fault("duplicate_rule_name", path, text)
        seen.add(name)


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="SWITCH",
    summary="Sends each item to the ports of the rules that hold for it.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "rules",
            "list",
            "The rules, in the order in which they are asked.",
            optional=False,
            expressions=True,
            entries=(
                Parameter("name", "text", "The rule's name, and its port's.", optional=False),
                Parameter(
                    "condition",
                    "condition",
                    "Asked of each item.",
                    optional=False,
                    expressions=True,
                ),
            ),
            least=1,
        ),
        Parameter(
            "mode",
            "text",
            "Whether the first rule that holds counts, or all.",
            default="first",
            choices=("first", "all"),
        ),
    ),
    outputs=_outputs,
    regular_error_port=FALLBACK,
    run=run,
    prepare=_prepare,
    check=_check,
    example={
        "rules": [
            {"name": "urgent", "condition": "{{ $json.priority > 7 }}"},
            {"name": "billing", "condition": "{{ $json.topic === 'billing' }}"},
        ]
    },
    errors=("condition_not_boolean",),
)
