"""Whatever an expression in a parameter gives, a node works, waits for something, or says why not.

Every parameter that may be an expression, and everything in those of the examples, is one in turn.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, cast

import pytest
from perdure_contracts.engine import ExecutionFailed, NodeTask
from perdure_engine.executions.state import is_open
from perdure_engine.executions.why import why
from perdure_engine.nodes.base import NodeSpecification
from perdure_engine.nodes.registry import SPECIFICATIONS
from perdure_engine.runner.perform import at_once
from playing import Play, http, node, play, workflow

VALUES: list[Any] = [
    None, True, 3, -1.5, 1e300, "", "x", "2026-01-01", [], [1], [{}], {}, {"a": {"b": [1]}}, [[1]],
]  # fmt: skip
NODES = [each for each in SPECIFICATIONS if each.place not in ("trigger", "attached")]
Path = tuple[str | int, ...]


def within(value: Any, path: Path) -> Iterator[Path]:
    """Return the paths of everything in a value, itself included."""
    yield path
    entries: Any = ()
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        entries = enumerate(cast("list[Any]", value))
    for key, each in entries:
        yield from within(each, (*path, key))


def replaced(parameters: Any, path: Path) -> Any:
    found = whole = deepcopy(parameters)
    for key in path[:-1]:
        found = found[key]
    found[path[-1]] = "{{ $json.v }}"
    return whole


def variants(specification: NodeSpecification) -> Iterator[dict[str, Any]]:
    """Return a workflow for each parameter that can be an expression, those that are refused not.

    A parameter that does not go with those of the example is tried with those that are needed.
    """
    example = dict(specification.example)
    needed = {p.name: example[p.name] for p in specification.parameters if not p.optional}
    for parameter in specification.parameters:
        if not parameter.expressions:
            continue
        paths = within(example.get(parameter.name), (parameter.name,))
        for path in paths:
            for base in (example, needed):
                if len(path) > 1 and parameter.name not in base:
                    continue
                parameters = replaced(base, path)
                made = node("n", f"{specification.node_type}.{specification.subtype}",
                            parameters=parameters)  # fmt: skip
                links = ["t>n.input1", "t>n.input2"] if specification.numbered else ["t>n"]
                yield workflow([made], links, recovery="off")


def accepted(definition: dict[str, Any], data: Any) -> Play | None:
    try:
        return play(definition, data)
    except AssertionError as error:
        assert "Problem(" in str(error), error  # it is refused when it is validated
        return None


def judged(played: Play) -> None:
    """See that an execution has ended by a typed error or well, or can say what it waits for."""
    if is_open(played.state):
        assert why(played.state, played.workflow)
    else:
        assert [each.error.type for each in played.told(ExecutionFailed)] != ["code_bug"]
    for task in played.tasks.values():
        computed(task)


def computed(task: NodeTask) -> None:
    """See that a runner computes what is pure, or says why not."""
    result = at_once(task, "r")
    assert result is None or "code_bug" not in [error.type for _, error in result.failed]


@pytest.mark.parametrize("specification", NODES, ids=lambda each: each.subtype)
def test_a_node_survives_whatever_its_expressions_give(specification: NodeSpecification) -> None:
    tried = 0
    for definition in variants(specification):
        for value in VALUES:
            played = accepted(definition, {"v": value, "a": 1})
            if played is None:
                break
            judged(played)
            tried += 1
    assert tried or not any(each.expressions for each in specification.parameters)


@pytest.mark.parametrize("specification", NODES, ids=lambda each: each.subtype)
def test_a_node_survives_whatever_an_item_is(specification: NodeSpecification) -> None:
    """What a runner answers may be any JSON, of which items are then made."""
    kind = f"{specification.node_type}.{specification.subtype}"
    made = node("n", kind, parameters=dict(specification.example))
    into = ["a>n.input1", "a>n.input2"] if specification.numbered else ["a>n"]
    definition = workflow([http("a"), made], ["t>a", *into], recovery="off")
    for value in [*VALUES, 10**30, "\u2028", "x" * 100_000]:
        played = play(definition, {})
        if played.state.status == "NEW":  # it reads what is kept, which is not here
            continue
        played.answer("a", value)
        assert played.statuses()["a"] == "SUCCESS"
        judged(played)


def test_one_expression_may_give_all_fields_and_what_is_no_object_fails_the_item() -> None:
    for where in ("auto", "runner"):
        made = node("n", "ACTION.SET", parameters={"values": "{{ $json.v }}"}, run_in=where)
        made["error_handling"] = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
        played = play(workflow([made], ["t>n"], recovery="off"), [{"v": {"a": 1}}, {"v": [1]}])
        for task in list(played.tasks.values()):
            result = at_once(task, "r")
            assert result is not None
            played.give(result)
        good, bad = played.emitted("n")
        assert good == {"v": {"a": 1}, "a": 1}
        assert bad["error"]["type"] == "invalid_parameters"
        assert "an array" in bad["error"]["message"]
