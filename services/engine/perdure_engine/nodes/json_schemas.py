"""JSON Schemas that authors write: judged when a workflow is read, held against values later.

Nothing is fetched (a `$ref` stays inside its schema), and patterns run in linear time: the
schema and the value may both come from somebody who means harm.
"""

import json
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, cast

import re2
from perdure_common.ids import canonical_json
from perdure_contracts.message import Json

from .base import Fault, Parameters

PROBLEMS_MAX = 10
"""Problems of one value that are told; a model mends what it is told of, and is asked again."""

REFUSED = ("patternProperties", "$dynamicRef", "$recursiveRef")
"""Keywords whose cost cannot be bounded here."""


@cache
def _library() -> Any:
    """Return the library, loaded when a schema is first met: most workflows have none."""
    import jsonschema

    return jsonschema


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> "re2.Compiled":
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern.encode(), options)


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    del schema
    if validator.is_type(value, "string") and not _compiled(pattern).search(value.encode()):
        yield _library().ValidationError(f"{value[:80]!r} does not match {pattern!r}")


@cache
def _checker() -> Any:
    library = _library()
    return library.validators.extend(library.Draft202012Validator, {"pattern": _pattern})


def schema_fault(schema: Json) -> str:
    """Return what is wrong with a schema by itself, empty if nothing is."""
    if not isinstance(schema, dict):
        return "a JSON Schema must be an object"
    library = _library()
    try:
        library.Draft202012Validator.check_schema(cast("dict[str, Any]", schema))
    except library.SchemaError as error:
        where = "/".join(str(step) for step in error.absolute_path)
        return f"it is no JSON Schema (2020-12): {error.message[:200]} at {where or 'its top'}"
    return _below(cast("dict[str, Any]", schema))


def _below(schema: Any) -> str:
    """Look at every keyword: what cannot be bounded or leads elsewhere is refused."""
    waiting: list[Any] = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(cast("list[Any]", each))
        if not isinstance(each, dict):
            continue
        fields = cast("dict[str, Any]", each)
        for name in REFUSED:
            if name in fields:
                return f"`{name}` is not supported"
        reference = fields.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return f"`$ref` {reference[:80]!r} leads out of the schema; begin it with #"
        pattern = fields.get("pattern")
        if isinstance(pattern, str):
            try:
                _compiled(pattern)
            except re2.error as error:
                return f"the pattern {pattern[:80]!r} cannot be used: {error}"
        waiting.extend(fields.values())
    return ""


def is_object_schema(schema: Json) -> bool:
    """Tell whether a schema says of its value that it is an object."""
    return isinstance(schema, dict) and cast("dict[str, Any]", schema).get("type") == "object"


@lru_cache(maxsize=256)
def _validator(text: bytes) -> Any:
    return _checker()(json.loads(text))


def problems_of(schema: Json, value: Json) -> list[dict[str, str]]:
    """Return where a value does not hold to a schema: `{path, message}`, the first ones."""
    found: list[dict[str, str]] = []
    try:
        for error in _validator(canonical_json(schema)).iter_errors(value):
            path = "/".join(str(step) for step in error.absolute_path)
            found.append({"path": path, "message": str(error.message)[:300]})
            if len(found) == PROBLEMS_MAX:
                break
    except (LookupError, ValueError, RecursionError) as error:  # a reference that leads nowhere
        found.append({"path": "", "message": f"the schema cannot be applied: {error}"[:300]})
    return found


def form_faults(parameters: Parameters, name: str = "form") -> Iterator[Fault]:
    """Find what is wrong with the schema of a form."""
    schema = parameters.get(name)
    if schema is None:
        return
    fault = schema_fault(schema)
    if not fault and not is_object_schema(schema):
        fault = "its `type` must be `object`"
    if fault:
        yield Fault("invalid_parameter", name, fault)
