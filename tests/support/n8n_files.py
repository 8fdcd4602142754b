"""Files as n8n exports them, for tests of the import."""

from itertools import pairwise
from typing import Any

from perdure_engine.importing import Imported, import_n8n

Row = dict[str, Any]


def given(name: str, kind: str, parameters: Row | None = None, **more: Any) -> Row:
    """Return a node as n8n's files have it."""
    return {
        "id": f"id of {name}", "name": name, "type": f"n8n-nodes-base.{kind}",
        "typeVersion": more.pop("version", 1), "position": [100, 200],
        "parameters": parameters or {}, **more,
    }  # fmt: skip


def file(nodes: list[Row], *links: str, **more: Any) -> Row:
    """Return a file; a link is `from.output>to.input`, both numbers 0 where they are left out."""
    connections: Row = {}
    for link in links:
        begin, _, end = link.partition(">")
        (source, _, output), (target, _, into) = begin.partition("."), end.partition(".")
        outputs = connections.setdefault(source, {"main": []})["main"]
        while len(outputs) <= int(output or 0):
            outputs.append([])
        outputs[int(output or 0)].append({"node": target, "type": "main", "index": int(into or 0)})
    return {"name": "from n8n", "nodes": nodes, "connections": connections, **more}


def imported(*nodes: Row, links: tuple[str, ...] = (), **more: Any) -> Imported:
    """Import a file whose nodes follow each other, unless links say otherwise."""
    start = given("Start", "manualTrigger")
    names = ["Start", *(node["name"] for node in nodes)]
    chained = tuple(f"{a}>{b}" for a, b in pairwise(names))
    return import_n8n(file([start, *nodes], *(links or chained), **more))


def codes(made: Imported) -> list[tuple[str, str]]:
    return [(each.code, each.node) for each in made.reasons]
