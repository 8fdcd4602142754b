"""The JSON Schema of workflow files: for editors, which complete and check while one types.

It takes what the engine takes, as far as a schema can say it: what lies between nodes
(cycles, unknown nodes in expressions) is found by `perdure workflow validate` alone.
"""

from typing import Any

from perdure_contracts.admission import PRIORITIES

from perdure_engine.nodes.base import NodeSpecification
from perdure_engine.nodes.registry import SPECIFICATIONS
from perdure_engine.nodes.schema import CONDITION, schema_of

from .concurrency import LIMIT_MAX, QUEUE_TIMEOUT_S_MAX
from .connections import ATTACHED, CONTROL
from .parameters import ROUNDS
from .parsing import (
    CONNECTIONS_MAX,
    ERROR_MODES,
    FAILURE_TYPES,
    NODES_MAX,
    RETRIES_MAX,
    TEXT_LENGTH_MAX,
    TIMEOUT_S_MAX,
    UUID,
)

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

UUID_PATTERN = f"^{UUID.pattern}$"


def _optional(**schema: Any) -> Schema:
    """Return a schema that null fits too: the engine takes it as left out."""
    return {"anyOf": [schema, {"type": "null"}]}


def _text(most: int = 255, description: str = "") -> Schema:
    about = {"description": description} if description else {}
    return {**_optional(type="string", maxLength=most), **about}


def _name(description: str) -> Schema:
    return {"type": "string", "pattern": r"\S", "maxLength": 255, "description": description}


def workflow_schema() -> Schema:
    """Return the schema of a whole workflow file."""
    definitions = {
        f"{each.node_type}.{each.subtype}": {**_parameters(each), "description": each.summary}
        for each in SPECIFICATIONS
    }
    return {
        "$schema": DIALECT,
        "title": "perdure workflow",
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": UUID_PATTERN},
            "name": _name("What the workflow is called."),
            "description": _text(TEXT_LENGTH_MAX),
            "workspace_id": _optional(type="string", pattern=UUID_PATTERN),
            "settings": _optional(**_settings()),
            "nodes": {
                "type": "array",
                "minItems": 1,
                "maxItems": NODES_MAX,
                "items": {"$ref": "#/$defs/node"},
            },
            "connections": _optional(
                type="array", maxItems=CONNECTIONS_MAX, items={"$ref": "#/$defs/connection"}
            ),
            "tags": _optional(type="array", items={"type": "string"}),
            "static_data": {},
            "pin_data": {},
            "active": _optional(type="boolean"),
            "is_template": _optional(type="boolean"),
            "template_category": _text(),
            "icon_url": _text(500),
        },
        "required": ["name", "nodes"],
        "additionalProperties": False,
        "$defs": {"node": _node(), "connection": _connection(), **definitions},
    }


def _parameters(specification: NodeSpecification) -> Schema:
    """Return the schema of a subtype's parameters; any node may be where a cycle is entered."""
    schema = schema_of(specification)
    if specification.place != "trigger":
        rounds = _optional(type="integer", minimum=1)
        schema["properties"].setdefault("max_iterations", {"description": ROUNDS.doc, **rounds})
    return schema


def _settings() -> Schema:
    seconds = _optional(type="number", exclusiveMinimum=0, maximum=TIMEOUT_S_MAX)
    return {
        "type": "object",
        "properties": {
            "execution_timeout": {**seconds, "description": "Seconds that an execution may take."},
            "recovery": {
                "enum": ["on", "off", True, False, None],
                "description": "Whether recovery is asked about failures.",
            },
            "log_level": _optional(enum=["INFO", "DEBUG"]),
            "max_iterations": _optional(type="integer", minimum=1),
            "error_workflow": _text(),
            "concurrency": _optional(**_concurrency()),
            "priority": _optional(enum=list(PRIORITIES)),
        },
        "additionalProperties": False,
    }


def _concurrency() -> Schema:
    seconds = _optional(type="number", exclusiveMinimum=0, maximum=QUEUE_TIMEOUT_S_MAX)
    return {
        "type": "object",
        "properties": {
            "key": {
                "type": ["string", "integer"],
                "description": "Executions that share it: a text, which may be an expression.",
            },
            "limit": _optional(type="integer", minimum=1, maximum=LIMIT_MAX),
            "on_limit": _optional(enum=["queue", "cancel_oldest", "reject"]),
            "scope": _optional(enum=["workflow", "tenant"]),
            "queue_timeout": {**seconds, "description": "Seconds that one may wait for its turn."},
            "waiting_max": _optional(type="integer", minimum=0),
        },
        "required": ["key"],
        "additionalProperties": False,
    }


def _node() -> Schema:
    types = list(dict.fromkeys(each.node_type for each in SPECIFICATIONS))
    seconds = _optional(type="number", exclusiveMinimum=0, maximum=TIMEOUT_S_MAX)
    return {
        "type": "object",
        "properties": {
            "node_id": _name("The node's id: what connections call it."),
            "node_type": {"enum": types},
            "node_subtype": {"type": "string"},
            "type_version": _optional(type="integer", minimum=1),
            "name": _text(description="What expressions call it; by default its id."),
            "description": _text(TEXT_LENGTH_MAX),
            "disabled": _optional(type="boolean"),
            "position_x": _optional(type="number"),
            "position_y": _optional(type="number"),
            "parameters": {},
            "credentials": _optional(type="object"),
            "error_handling": _optional(enum=list(ERROR_MODES)),
            "max_retries": _optional(type="integer", minimum=0, maximum=RETRIES_MAX),
            "retry_wait_time": _optional(type="number", minimum=0, maximum=86_400),
            "always_output_data": _optional(type="boolean"),
            "join": _optional(enum=["all", "each"]),
            "timeout_s": seconds,
            "run_timeout_s": {
                **seconds,
                "description": "Seconds that all attempts of a run may take together.",
            },
            "run_in": _optional(
                enum=["auto", "runner"],
                description="Where a node runs that only computes: by itself in the engine.",
            ),
            "failure_type": _optional(
                enum=list(FAILURE_TYPES),
                description="What recovery is to take the node's failures for.",
            ),
            "notes": _text(TEXT_LENGTH_MAX),
        },
        "required": ["node_id", "node_type", "node_subtype"],
        "additionalProperties": False,
        "allOf": [*map(_subtypes_of, types), *map(_parameters_of, SPECIFICATIONS)],
    }


def _subtypes_of(node_type: str) -> Schema:
    subtypes = [each.subtype for each in SPECIFICATIONS if each.node_type == node_type]
    return {
        "if": {"properties": {"node_type": {"const": node_type}}},
        "then": {"properties": {"node_subtype": {"enum": subtypes}}},
    }


def _parameters_of(specification: Any) -> Schema:
    """Return the rule that a node of this subtype has parameters that fit it."""
    node_type, subtype = specification.node_type, specification.subtype
    parameters = {"$ref": f"#/$defs/{node_type}.{subtype}"}
    needs_some = any(not each.optional for each in specification.parameters)
    then: Schema = {"properties": {"parameters": parameters}}
    if needs_some:
        then["required"] = ["parameters"]
    else:
        then["properties"]["parameters"] = {"anyOf": [parameters, {"type": "null"}]}
    return {
        "if": {
            "properties": {"node_type": {"const": node_type}, "node_subtype": {"const": subtype}}
        },
        "then": then,
    }


def _connection() -> Schema:
    port = _optional(type=["string", "boolean"], maxLength=255)  # YAML reads `true` as one
    return {
        "type": "object",
        "properties": {
            "source_node_id": _name("Where items come from."),
            "target_node_id": _name("Where they go."),
            "source_port": {**port, "description": "By default `main`."},
            "target_port": {**port, "description": "By default `main`."},
            "connection_type": _optional(enum=[*CONTROL, *ATTACHED]),
            "connection_index": _optional(type="integer", minimum=0),
            "label": _text(),
            "conditions": _optional(
                type="object",
                properties={"condition": CONDITION, "else": {"const": True}},
                additionalProperties=False,
            ),
        },
        "required": ["source_node_id", "target_node_id"],
        "additionalProperties": False,
    }
