"""A node with other parameters than its version has, as if they had been written there."""

from collections.abc import Mapping
from dataclasses import replace

from perdure_contracts.message import Json

from .model import Node
from .parameters import read_parameters
from .parsing import fixed_of
from .problems import Found, told
from .reading import Reader

SHAPES = ("LOOP", "FOREACH", "RACE")
"""Subtypes that decide how the graph around them is walked, which is planned once for a version."""


def variant(node: Node, parameters: Mapping[str, Json]) -> Node | str:
    """Return the node with some parameters replaced, or why it cannot have them.

    They may have expressions, as in a definition. The ports must stay, for connections lead there.
    """
    if node.is_trigger or node.node_subtype in SHAPES:
        return f"a {node.node_subtype} is not changed while its version runs"
    found = Found()
    reader = Reader({**node.parameters, **parameters}, "parameters", found, node.node_id)
    values, compiled = read_parameters(reader, node.specification)
    if found.has_errors:
        return told(found.problems)
    if node.specification.outputs(values) != node.outputs:
        return "its ports would be others, and its connections lead from those of its version"
    prepared = node.specification.prepare(values, compiled)
    return replace(
        node, parameters=values, compiled=compiled, prepared=prepared, fixed=fixed_of(compiled)
    )
