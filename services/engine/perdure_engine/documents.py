"""Writes what is generated from the engine: docs/nodes.md, schemas/workflow.json, OpenAPI.

    python -m perdure_engine.documents [--check] ROOT

`--check` changes nothing and fails where a file is not what the nodes say.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from perdure_engine.api.document import openapi
from perdure_engine.definition.connections import INSTEAD
from perdure_engine.definition.schema import workflow_schema
from perdure_engine.nodes.describe import Described, all_described
from perdure_engine.nodes.registry import SPECIFICATIONS

TYPES: Mapping[str, str] = {
    "TRIGGER": "What starts an execution; the scheduler runs them.",
    "FLOW": "What decides where items go; run by the engine, inside a batch.",
    "ACTION": "What computes with items; run by the engine, inside a batch.",
    "EXTERNAL_ACTION": "What touches the outside world; run by the runner.",
    "AI_AGENT": "What lets a language model work on items; run by the runner, step by step.",
    "HUMAN_IN_THE_LOOP": "What asks people; the service hil does, which follows.",
    "MEMORY": "What remembers; the service memory does, which follows.",
    "TOOL": "What an agent may call; connected to it by AI_TOOL, no items pass through it.",
}
"""A sentence on each node type that has subtypes."""

HEAD = """# Nodes

Every node subtype that this version runs. The page is generated from the files under
`services/engine/perdure_engine/nodes` by `make schemas`; `perdure nodes list` and
`perdure nodes show SUBTYPE` tell the same on the command line, and `schemas/workflow.json` is
the JSON Schema of workflow files for editors.

A parameter with *expressions* may be `{{ … }}`, or hold some in its texts, lists and objects.
Names of fields may be paths with dots (`customer.email`), and a field that has the whole
name with its dots comes first. Failed items leave by the node's error mode; the types of
errors are listed with each node, beside those of expressions.

Side effects are done by runners. Nodes that only compute run in the engine; RUNNABLE can be
sent to a runner as well, by `run_in: runner` beside the node's `parameters`, and are sent there
by themselves when more than 10,000 items arrive.

`failure_type` beside the `parameters` says what recovery is to take the node's failures for, where
its author knows better than status codes and messages: a server that answers 404 while it starts is
a `timeout`, say. The types are listed in [recovery.md](recovery.md).
"""


CONNECTIONS: Mapping[str, str] = {
    "MAIN": "carries the items of a port",
    "SUCCESS": "carries them where no item of the run failed",
    "ERROR": "carries the items that failed, in both CONTINUE modes",
    "CONDITIONAL": "carries those for which its `conditions` hold, or with `else` the others",
    "AI_TOOL": "attaches a TOOL node to an agent",
    "AI_MEMORY": "attaches a MEMORY node to an agent",
    "MEMORY_ATTACHMENT": "the same",
}
"""What each kind of connection is, of those that connect something."""


def _connections() -> str:
    """Return the part on connections."""
    rows = [f"| `{kind}` | {what} |" for kind, what in CONNECTIONS.items()]
    rows += [f"| `{kind}` | refused; {what} |" for kind, what in INSTEAD.items()]
    head = "## Connections\n\nThe `connection_type` of a connection, by default MAIN.\n"
    return "\n".join([head, "| type | what it does |", "| --- | --- |", *rows]) + "\n"


def nodes_page(nodes: list[Described]) -> str:
    """Return docs/nodes.md."""
    able = [each.subtype for each in SPECIFICATIONS if each.run and each.each]
    parts = [HEAD.replace("RUNNABLE", " and ".join(able)), _connections()]
    for node_type in dict.fromkeys(node["node_type"] for node in nodes):
        parts.append(f"## {node_type}\n\n{TYPES[node_type]}\n")
        parts.extend(_node(node) for node in nodes if node["node_type"] == node_type)
    return "\n".join(parts)


def _node(node: Described) -> str:
    lines = [f"### {node['node_subtype']}", "", *_prose(node["documentation"])]
    facts: list[str] = []
    if node["inputs"] not in ([], ["main"]):
        facts.append(f"In: {_listed(node['inputs'])}.")
    if node["outputs"] != ["main"]:
        which = " (in the example)" if node["outputs_vary"] else ""
        facts.append(f"Out: {_listed(node['outputs'])}{which}.")
    if node["errors"]:
        facts.append(f"Errors: {_listed(node['errors'])}.")
    if facts:
        lines += [" ".join(facts), ""]
    rows = list(_rows(node["parameters"]))
    if rows:
        lines += ["| parameter | what it is | |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | {doc} | {more} |" for name, doc, more in rows]
        lines.append("")
    if node["example"]:
        text = yaml.safe_dump(node["example"], sort_keys=False, allow_unicode=True, width=90)
        lines += ["```yaml", *text.splitlines(), "```", ""]
    return "\n".join(lines)


def _prose(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield line.replace("|", "\\|")
    yield ""


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _rows(schema: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (name, what it is, kind and bounds) of parameters and of what is in them."""
    required = schema.get("required", ())
    for name, each in cast("dict[str, dict[str, Any]]", schema["properties"]).items():
        kinds = _kinds(each)
        is_condition = each.get("title") == "a condition"
        facts = ["condition"] if is_condition else [_kind(kind) for kind in kinds] or ["anything"]
        if any(kind.get("title") == "an expression" for kind in each.get("anyOf", ())):
            facts.append("expressions")
        if name in required:
            facts.append("needed")
        if "default" in each:
            facts.append(f"default `{json.dumps(each['default'], ensure_ascii=False)}`")
        yield f"{before}{name}", each["description"].replace("|", "\\|"), ", ".join(facts)
        for kind in kinds:
            if kind.get("type") == "object" and "properties" in kind:
                yield from _rows(kind, f"{before}{name}.")
            elif "properties" in kind.get("items", {}):
                yield from _rows(kind["items"], f"{before}{name}[].")


def _kinds(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the kinds of values that a parameter may be, without null and expressions."""
    options: list[dict[str, Any]] = schema.get("anyOf", [dict(schema)])
    return [
        each
        for each in options
        if each.get("type") not in (None, "null") and each.get("title") is None
    ]


def _kind(kind: Mapping[str, Any]) -> str:
    if "enum" in kind:
        return " / ".join(f"`{value}`" for value in kind["enum"])
    names = {"string": "text", "array": "list", "integer": "whole number"}
    text = names.get(kind["type"], str(kind["type"]))
    least = kind.get("minimum", kind.get("minItems"))
    most = kind.get("maximum", kind.get("maxItems"))
    if least is not None and most is not None:
        return f"{text} ({least:,.15g} to {most:,.15g})"
    return text if least is None else f"{text} ({least:,.15g} or more)"


def generate() -> dict[str, str]:
    """Return every generated file: path below the root and text."""
    return {
        "docs/nodes.md": nodes_page(all_described()),
        "schemas/workflow.json": _as_text(workflow_schema()),
        "schemas/openapi/engine.json": _as_text(openapi()),
    }


def _as_text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; return 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="perdure_engine.documents", description=__doc__)
    parser.add_argument("root", type=Path, help="the repository")
    parser.add_argument("--check", action="store_true", help="only compare")
    given = parser.parse_args(arguments)
    stale: list[str] = []
    for name, text in generate().items():
        path: Path = given.root / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not given.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and given.check:
        print(f"{', '.join(stale)} are not what the code says: run `make schemas`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
