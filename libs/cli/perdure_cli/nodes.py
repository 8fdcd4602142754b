"""`perdure nodes`: which node subtypes there are, and what each takes, emits and does."""

import json
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, console, print_table, say, show

app = typer.Typer(help="Node subtypes: list them, look one up.", no_args_is_help=True)

Row = dict[str, Any]


def known_nodes() -> list[Row]:
    """Return what the engine says of its nodes; it need not run.

    Raises:
        CommandError: The engine is not installed here.
    """
    for entry in entry_points(group="perdure.nodes", name="engine"):
        found: list[Row] = entry.load()()
        return found
    raise CommandError(
        "the engine is not installed here, so nothing is known of nodes; install perdure-engine",
        code="engine_not_installed",
    )


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the node subtypes that this version runs."""
    nodes = known_nodes()
    if as_json:
        show(nodes)
        return
    print_table(
        ("type", "subtype", "out", "what it does"),
        (
            (node["node_type"], node["node_subtype"], ", ".join(node["outputs"]), node["summary"])
            for node in nodes
        ),
        "there are none",
    )


@app.command(name="show")
def show_(
    subtype: Annotated[
        str, typer.Argument(metavar="SUBTYPE", help="Such as SORT, or TRIGGER.GITHUB.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show a node subtype: what it does, its parameters, ports, errors, and an example."""
    nodes = known_nodes()
    node_type, _, name = subtype.upper().rpartition(".")
    found = [
        node
        for node in nodes
        if node["node_subtype"] == name and node_type in ("", node["node_type"])
    ]
    if not found:
        names = ", ".join(sorted({node["node_subtype"] for node in nodes}))
        raise CommandError(
            f"there is no node subtype {subtype!r}; known are {names}",
            exit_code=2,
            code="unknown_node_subtype",
        )
    if as_json:
        show(found)
        return
    for node in found:
        _print(node)


def _print(node: Row) -> None:
    console.print(f"[bold]{node['node_type']} {node['node_subtype']}[/bold]")
    say(node["documentation"])
    console.print()
    schema: Row = node["parameters"]
    required = schema.get("required", [])
    print_table(
        ("parameter", "", "what it is"),
        (
            (
                name,
                "needed" if name in required else _default(each),
                each["description"],
            )
            for name, each in schema["properties"].items()
        ),
        "it has no parameters",
    )
    for what in ("inputs", "outputs", "errors"):
        if node[what]:
            say(f"{what}: {', '.join(node[what])}")
    if node["example"]:
        console.print(f"\n{escape(json.dumps(node['example'], indent=2, ensure_ascii=False))}")


def _default(schema: Row) -> str:
    return f"default {json.dumps(schema['default'])}" if "default" in schema else ""
