"""JSON Schemas of nodes' parameters, made from their declarations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .base import NodeSpecification, Parameter

Schema = dict[str, Any]

TYPES: Mapping[str, str] = {
    "text": "string",
    "code": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
    "list": "array",
}

EXPRESSION: Schema = {"type": "string", "pattern": r"\{\{", "title": "an expression"}
"""A text that has an expression somewhere: what it gives is known when it runs."""

CONDITION: Schema = {
    "title": "a condition",
    "anyOf": [
        {"type": "boolean"},
        {"type": "string", "pattern": r"^\{\{[\s\S]*\}\}$", "title": "one whole expression"},
    ],
}


def schema_of(specification: NodeSpecification) -> Schema:
    """Return the JSON Schema (2020-12) of a subtype's parameters."""
    return _object(specification.parameters)


def _object(parameters: Sequence[Parameter]) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {each.name: _parameter(each) for each in parameters},
        "additionalProperties": False,
    }
    needed = [each.name for each in parameters if not each.optional]
    return {**schema, "required": needed} if needed else schema


def _parameter(parameter: Parameter) -> Schema:
    schema: Schema = {"description": parameter.doc}
    if parameter.default is not None:
        schema["default"] = parameter.default
    kind = _kind(parameter)
    if parameter.optional and kind:  # null counts as left out
        kind = {"anyOf": [kind, {"type": "null"}]}
    if not parameter.expressions or parameter.kind in ("any", "condition"):
        return {**schema, **kind}
    return {**schema, "anyOf": [*kind.get("anyOf", [kind]), EXPRESSION]}


def _kind(parameter: Parameter) -> Schema:
    """Return what a value must be that is no expression."""
    if parameter.kind == "any":
        return {}
    if parameter.kind == "condition":
        return CONDITION
    schema: Schema = {"type": TYPES[parameter.kind]}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.kind in ("text", "code") and not parameter.optional:
        schema["pattern"] = r"\S"
    names = ("minItems", "maxItems") if parameter.kind == "list" else ("minimum", "maximum")
    for name, bound in zip(names, (parameter.least, parameter.most), strict=True):
        if bound is not None:
            schema[name] = bound
    if parameter.kind == "object" and parameter.entries:
        schema |= _object(parameter.entries)
    elif parameter.entries:
        schema["items"] = _object(parameter.entries)
    elif parameter.of is not None:
        single = replace(parameter, kind=parameter.of, of=None, optional=False)
        schema["items"] = _kind(replace(single, least=None, most=None))
    return schema
