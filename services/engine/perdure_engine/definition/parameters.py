"""The parameters of a node against its subtype's declaration, and their compilation."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Constant, ExpressionError, compile_value
from perdure_engine.nodes.base import NodeSpecification, Parameter
from perdure_engine.nodes.conditions import is_condition

from .problems import listed, shown
from .reading import Reader

KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "list": (list,),
}
"""The Python types of each kind of parameter; a boolean is no number."""

NAMES: Mapping[str, str] = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "list": "a list",
}
"""How a message names each kind."""


def read_parameters(
    reader: Reader, specification: NodeSpecification
) -> tuple[dict[str, Json], dict[str, Compiled]]:
    """Return a node's parameters with their defaults, and the same compiled.

    `reader` reads the parameters object. What is wrong is noted there.
    """
    declared = specification.parameters_by_name
    values: dict[str, Json] = {}
    compiled: dict[str, Compiled] = {}
    for name, value in reader.values.items():
        if name in declared and value is not None:
            values[name] = value
        elif name in specification.later:
            reader.error(
                "parameter_not_supported",
                name,
                f"{specification.subtype} has `{name}`, but this version does not act on it; "
                "take it away",
            )
        elif name not in declared:
            reader.error(
                "unknown_parameter",
                str(name),
                f"{specification.subtype} has no such parameter; "
                f"{reader.found.did_you_mean(name, declared)}",
            )
    for name, parameter in declared.items():
        if name in values:
            compiled[name] = _read(reader, parameter, values[name])
        elif not parameter.optional:
            reader.error(
                "missing_parameter",
                name,
                f"{specification.subtype} needs `{name}`: {parameter.doc}",
            )
        elif parameter.default is not None:
            values[name] = parameter.default
            compiled[name] = Constant(parameter.default)
    for fault in specification.check(values):
        reader.error(fault.code, fault.path, fault.message)
    return values, compiled


def _read(reader: Reader, parameter: Parameter, value: Any) -> Compiled:
    name = parameter.name
    if not parameter.expressions:
        if _holds_expression(value):
            reader.error(
                "expression_not_allowed",
                name,
                f"`{name}` must be fixed, it is read before anything runs; "
                "write the value without {{ }}",
            )
            return Constant(None)
        _check_kind(reader, parameter, value)
        return Constant(value)
    if parameter.kind == "condition":
        if not is_condition(value):
            reader.error(
                "invalid_parameter",
                name,
                f"{shown(value)} is no condition; write one expression that gives true or "
                "false, such as {{ $json.total > 100 }}",
            )
    elif not (isinstance(value, str) and "{{" in value):
        _check_kind(reader, parameter, value)
    return compiled_at(reader, name, value)


def _check_kind(reader: Reader, parameter: Parameter, value: Any) -> None:
    name = parameter.name
    wanted = KINDS.get(parameter.kind)
    if wanted is not None and (
        not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)
    ):
        reader.error("invalid_parameter", name, f"{shown(value)} must be {NAMES[parameter.kind]}")
    elif parameter.choices and value not in parameter.choices:
        reader.error(
            "invalid_parameter", name, f"{shown(value)} is none of {listed(parameter.choices)}"
        )
    elif parameter.kind == "text" and not parameter.optional and not str(value).strip():
        reader.error("invalid_parameter", name, f"`{name}` is empty: {parameter.doc}")
    elif (parameter.least is not None and value < parameter.least) or (
        parameter.most is not None and value > parameter.most
    ):
        reader.error(
            "invalid_parameter",
            name,
            f"{value:g} must be from {parameter.least:g} to {parameter.most:g}",
        )


def compiled_at(reader: Reader, path: str, value: Json) -> Compiled:
    """Return `value` compiled; each expression that does not compile is noted at its place."""
    try:
        return compile_value(value, path)
    except ExpressionError as error:
        first = error
    errors_before = len(reader.found.problems)
    for below, text in _texts(path, value):
        try:
            compile_value(text, below)
        except ExpressionError as error:
            _refuse(reader, below, error)
    if len(reader.found.problems) == errors_before:  # no text by itself: the structure
        _refuse(reader, first.path or path, first)
    return Constant(None)


def _texts(path: str, value: Json) -> Iterator[tuple[str, str]]:
    """Yield every text in a value with its path; values are at most 110 levels deep."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in cast("dict[str, Json]", value).items():
            yield from _texts(f"{path}.{key}", each)
    elif isinstance(value, list):
        for at, each in enumerate(cast("list[Json]", value)):
            yield from _texts(f"{path}[{at}]", each)


def _refuse(reader: Reader, path: str, error: ExpressionError) -> None:
    place = "" if error.position is None else f" (at character {error.position + 1})"
    caret = f"\n{error.caret()}" if error.caret() else ""
    reader.error(error.code, path, f"{error.message}{place}{caret}")


def _holds_expression(value: Any) -> bool:
    """Tell whether a text anywhere in a value has `{{`; the depth was checked before."""
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any(map(_holds_expression, cast("dict[str, Any]", value).values()))
    return isinstance(value, list) and any(map(_holds_expression, cast("list[Any]", value)))
