"""Nodes of random workflows that route items, and that make something of all of them together."""

from random import Random
from typing import Any

from playing import node
from specification import CONDITIONS
from specification.words import VALUES

LISTS = ("switch", "filter", "compare", "join", "join", "sort", "limit", "dedupe", "split",
         "aggregate", "summarize", "shape")  # fmt: skip
"""Kinds of nodes; `join` is a MERGE in any of its modes, `shape` a SET of any fields."""

RULES = ("low", "odd", "rest")
LIST_PORTS = {
    "filter": ("main", "discarded"),
    "compare": ("only_a", "both", "different", "only_b"),
}
JOINS = ("inner", "left", "right", "outer", "anti")
FIELDS = ("n", "k")
LISTED = "all"
"""The field that takes lists, and that is split."""


def list_ports(made: dict[str, Any]) -> tuple[str, ...]:
    """Return the ports of a node that was made here."""
    if made["node_subtype"] == "SWITCH":
        return (*(rule["name"] for rule in made["parameters"]["rules"]), "fallback")
    return LIST_PORTS.get(made["node_subtype"].lower(), ("main",))


def takes_two(made: dict[str, Any]) -> bool:
    """Tell whether a node takes two inputs, and no other number of them."""
    return made["node_subtype"] == "COMPARE" or made.get("parameters", {}).get("mode") == "fields"


def list_node(random: Random, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """Return a node of one of the kinds `LISTS`."""
    subtype = {"split": "SPLIT_OUT", "join": "MERGE", "shape": "SET"}.get(kind, kind.upper())
    family = "ACTION" if kind == "shape" else "FLOW"
    return node(name, f"{family}.{subtype}", parameters=_parameters(random, kind), **more)


def _parameters(random: Random, kind: str) -> dict[str, Any]:
    asked = list(CONDITIONS)
    match kind:
        case "switch":
            names = RULES[: random.randint(1, 3)]
            rules = [{"name": name, "condition": random.choice(asked)} for name in names]
            return {"rules": rules, "mode": random.choice(("first", "all"))}
        case "filter":
            return {"condition": random.choice(asked)}
        case "compare":
            return {"keys": random.choice((["n"], ["n"], ["k"], ["n", "k"]))}
        case "join":
            return _merge(random)
        case "sort":
            fields = random.choice((["n"], ["k", "n"], ["n"], ["error"]))
            return {"by": [{"field": f, "order": random.choice(("asc", "desc"))} for f in fields]}
        case "limit":
            return {"count": random.randint(0, 3), "from": random.choice(("first", "last"))}
        case "dedupe":
            return random.choice(({}, {"keys": ["n"]}, {"keys": ["k", "n"]}))
        case "split":
            return {"field": LISTED}
        case "aggregate":
            return random.choice(({"as": LISTED}, {"field": "n", "as": LISTED}, {"field": LISTED}))
        case "summarize":
            return _summary(random)
        case _:
            values = {random.choice("nkk"): random.choice(list(VALUES))}
            return {"values": values, "keep": random.choice(("all", "all", "none"))}


def _merge(random: Random) -> dict[str, Any]:
    mode = random.choice(("append", "position", "fields", "fields", "cross", "choose"))
    given: dict[str, Any] = {"mode": mode}
    if random.random() < 0.5:
        given["on_missing"] = random.choice(("proceed", "skip", "error"))
    if mode == "fields":
        names = random.choice((("n",), ("k",), ("n", "k")))
        given["keys"] = [
            {"left": name, "right": random.choice((name, name, "n"))} for name in names
        ]
        given["join"] = random.choice(JOINS)
    return given


def _summary(random: Random) -> dict[str, Any]:
    groups = random.choice(([], ["k"], ["n"]))
    measures = [
        {"function": "count", "as": "count"},
        {"function": "count", "field": "k", "as": "with_k"},
        {"function": "sum", "field": "n", "as": "total" if "n" in groups else "n"},
        {"function": "max", "field": "n", "as": "most"},
        {"function": "first", "field": "k", "as": "first_k"},
        {"function": "list", "field": "n", "as": LISTED},
    ]
    return {"group_by": groups, "measures": measures}
