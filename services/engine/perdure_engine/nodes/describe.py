"""What there is to know about each node subtype, as data: for tables, documents and people.

The text comes from the docstring of the subtype's file: its first sentence begins with
`TYPE SUBTYPE: `, and all of it is meant for whoever writes workflows.
"""

import importlib
import inspect
from typing import Any, TypeAlias

from .base import NodeSpecification
from .registry import SPECIFICATIONS
from .schema import schema_of

Described: TypeAlias = dict[str, Any]


def module_of(specification: NodeSpecification) -> str:
    """Return the name of the module that a subtype stands in."""
    return f"{__package__}.{specification.node_type}_{specification.subtype}".lower()


def documentation_of(specification: NodeSpecification) -> str:
    """Return the subtype's documentation, paragraphs with an empty line between."""
    text = inspect.getdoc(importlib.import_module(module_of(specification))) or ""
    said = text.removeprefix(f"{specification.node_type} {specification.subtype}: ").strip()
    return said[:1].upper() + said[1:]


def described(specification: NodeSpecification) -> Described:
    """Return a subtype as JSON: what it does, takes, emits, and fails with.

    `outputs` and `effect` are those of the example: some follow from the parameters.
    """
    example = specification.example
    inputs = ["input1", "input2", "…"] if specification.numbered else list(specification.inputs)
    return {
        "node_type": specification.node_type,
        "node_subtype": specification.subtype,
        "version": specification.version,
        "summary": specification.summary,
        "documentation": documentation_of(specification),
        "runs": specification.place,
        "inputs": inputs,
        "outputs": list(specification.outputs(example)),
        "outputs_vary": specification.outputs({}) != specification.outputs(example),
        "effect": specification.effect(example) if specification.place == "runner" else "pure",
        "parameters": schema_of(specification),
        "example": dict(example),
        "errors": list(specification.errors),
    }


def all_described() -> list[Described]:
    """Return every subtype that this version runs, in the order of the registry."""
    return [described(each) for each in SPECIFICATIONS]
