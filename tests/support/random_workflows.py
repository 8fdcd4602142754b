"""Random workflows for the specification and the engine: graphs, loops in loops, all modes."""

from typing import Any

from hypothesis import strategies as st
from playing import http, link, node, workflow
from specification import CONDITIONS

MODES = (
    "STOP_WORKFLOW_ON_ERROR",
    "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    "CONTINUE_ERROR_OUTPUT_ON_ERROR",
)
PLAIN = ("noop", "noop", "if", "if", "set", "http", "http", "merge", "stop")
SURE = [text for text in CONDITIONS if "yes" not in text]
"""Conditions that are true or false for every item."""

ENDING = ["{{ $json.n < 4 }}", "{{ $json.n < 9 }}"]
"""Conditions that fail at last when each round counts up."""

OUTPUTS = {"if": ("true", "false"), "loop": ("loop", "done"), "foreach": ("item", "done")}
TYPES = ("MAIN", "MAIN", "MAIN", "SUCCESS", "ERROR", "CONDITIONAL", "ELSE")


@st.composite
def definitions(draw: st.DrawFn, loops: bool = True) -> dict[str, Any]:
    """Return a definition that may be refused: which cycles can be run it does not know."""
    kinds = PLAIN if not loops else (*PLAIN, "loop", "foreach", "loop", "foreach")
    count = draw(st.integers(1, 8))
    chosen = ["trigger", *(draw(st.sampled_from(kinds)) for _ in range(count))]
    names = ["t", *(f"n{at}" for at in range(1, count + 1))]
    nodes = [_node(draw, chosen[at], names[at]) for at in range(1, count + 1)]
    links: dict[str, dict[str, Any]] = {}
    for target in range(1, count + 1):
        sources = draw(st.lists(st.integers(0, target - 1), max_size=3))
        for number, source in enumerate(sources):
            _connect(draw, links, chosen, names, source, target, number)
    if loops:
        for _ in range(draw(st.integers(0, 3))):
            source, target = draw(st.integers(1, count)), draw(st.integers(1, count))
            if source > target:
                _connect(draw, links, chosen, names, source, target, 5)
        for at, kind in enumerate(chosen):
            if kind in ("loop", "foreach") and at < count and draw(st.booleans()):
                body = draw(st.integers(at + 1, count))
                port = OUTPUTS[kind][0]
                for text in (f"{names[at]}.{port}>{_into(chosen, names, body, 6)}",
                             f"{names[body]}.{_port(draw, chosen[body])}>{names[at]}"):  # fmt: skip
                    links.setdefault(text, link(text))
    recovery = draw(st.sampled_from(("on", "off")))
    return workflow(nodes, list(links.values()), recovery=recovery, max_iterations=12)


def _node(draw: st.DrawFn, kind: str, name: str) -> dict[str, Any]:
    more: dict[str, Any] = {"error_handling": draw(st.sampled_from(MODES))}
    if kind != "stop" and draw(st.integers(0, 9)) == 0:
        more["disabled"] = True
    match kind:
        case "if":
            condition = draw(st.sampled_from(list(CONDITIONS)))
            return node(name, "FLOW.IF", parameters={"condition": condition}, **more)
        case "set":
            values = {"n": "{{ $json.n + 1 }}"}
            return node(name, "ACTION.SET", parameters={"values": values}, **more)
        case "http":
            return http(name, max_retries=draw(st.integers(0, 1)), **more)
        case "merge":
            return node(name, "FLOW.MERGE", disabled=more.get("disabled", False))
        case "stop":
            return node(name, "FLOW.STOP_AND_ERROR", parameters={"message": "enough"})
        case "loop":
            asked = {"while": draw(st.sampled_from(ENDING)), "max_iterations": 6}
            batches = {"items_per_batch": draw(st.integers(1, 3))}
            chosen = draw(st.sampled_from((asked, batches)))
            return node(name, "FLOW.LOOP", parameters=chosen, **more)
        case "foreach":
            mode = draw(st.sampled_from(("fail", "collect", "drop")))
            parameters = {"on_item_error": mode, "max_concurrency": draw(st.integers(1, 3))}
            return node(name, "FLOW.FOREACH", parameters=parameters, **more)
        case _:
            return node(name, "FLOW.NOOP", **more)


def _connect(
    draw: st.DrawFn,
    links: dict[str, dict[str, Any]],
    kinds: list[str],
    names: list[str],
    source: int,
    target: int,
    number: int,
) -> None:
    port = _port(draw, kinds[source])
    kind = draw(st.sampled_from(TYPES)) if source and kinds[source] != "stop" else "MAIN"
    if port == "error" and kind in ("SUCCESS", "CONDITIONAL", "ELSE"):
        kind = "MAIN"
    more: dict[str, Any] = {}
    if kind in ("CONDITIONAL", "ELSE"):
        condition = {"condition": draw(st.sampled_from(SURE))}
        more["conditions"] = condition if kind == "CONDITIONAL" else {"else": True}
        kind = "CONDITIONAL"
    made = link(f"{names[source]}.{port}>{_into(kinds, names, target, number)}", kind, **more)
    links.setdefault(str(sorted((k, str(v)) for k, v in made.items())), made)


def _port(draw: st.DrawFn, kind: str) -> str:
    ports = OUTPUTS.get(kind, ("main",))
    return draw(st.sampled_from((*ports, *ports, "error") if kind != "trigger" else ports))


def _into(kinds: list[str], names: list[str], target: int, number: int) -> str:
    return f"{names[target]}.input{number + 1}" if kinds[target] == "merge" else names[target]


DATA = st.lists(st.integers(0, 6).map(lambda n: {"n": n}), min_size=1, max_size=4)
