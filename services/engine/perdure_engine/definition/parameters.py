"""The parameters of a node against its subtype's declaration, and their compilation."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Constant, ExpressionError, compile_value
from perdure_engine.nodes.base import NodeSpecification, Parameter
from perdure_engine.nodes.conditions import is_condition

from .problems import listed, shown
from .reading import Reader

KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "code": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "list": (list,),
}
"""The Python types of each kind of parameter; a boolean is no number."""

NAMES: Mapping[str, str] = {
    "text": "a text",
    "code": "a text",
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


ROUNDS = Parameter(
    "max_iterations", "integer", "The most rounds of the cycle that is entered here.", least=1
)
"""What any node may have that is where a cycle is entered (rule 18)."""


def take_max_iterations(
    reader: Reader, specification: NodeSpecification
) -> tuple[Reader, int | None]:
    """Take `max_iterations` out of the parameters of a node whose subtype has none of its own.

    Whether a cycle is entered there is not known yet.
    """
    own = ROUNDS.name in specification.parameters_by_name or specification.place == "trigger"
    if own or ROUNDS.name not in reader.values or not specification.subtype:
        return reader, None
    value: Any = reader.values[ROUNDS.name]
    rest = {key: each for key, each in reader.values.items() if key != ROUNDS.name}
    if value is not None:
        _read(reader, ROUNDS, value)
    sound = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return replace(reader, values=rest), value if sound else None


def _read(reader: Reader, parameter: Parameter, value: Any) -> Compiled:
    name = parameter.name
    if not parameter.expressions:
        if parameter.kind == "code" or _is_fixed(reader, name, value):
            _check_kind(reader, name, parameter, value)
            return Constant(value)
        return Constant(None)
    _check_kind(reader, name, parameter, value)
    return compiled_at(reader, name, value)


def _is_fixed(reader: Reader, path: str, value: Any) -> bool:
    """Tell whether a value has no expression in it; one that has is noted."""
    if not _holds_expression(value):
        return True
    reader.error(
        "expression_not_allowed",
        path,
        f"`{path}` must be fixed, it is read before anything runs; "
        "write the value without {{ }}",
    )
    return False


def _check_kind(reader: Reader, path: str, parameter: Parameter, value: Any) -> None:
    """Note what is wrong with a value, and with what is in it; expressions give any kind."""
    if parameter.kind == "condition":
        if not is_condition(value):
            reader.error(
                "invalid_parameter",
                path,
                f"{shown(value)} is no condition; write one expression that gives true or "
                "false, such as {{ $json.total > 100 }}",
            )
    elif not (parameter.expressions and isinstance(value, str) and "{{" in value):
        fault = _fault(path, parameter, value)
        if fault:
            reader.error("invalid_parameter", path, fault)
        else:
            _check_below(reader, path, parameter, value)


def _fault(path: str, parameter: Parameter, value: Any) -> str:
    """Return what is wrong with a value by itself, empty if nothing is."""
    wanted = KINDS.get(parameter.kind)
    if wanted is not None and (
        not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)
    ):
        return f"{shown(value)} must be {NAMES[parameter.kind]}"
    if parameter.choices and value not in parameter.choices:
        return f"{shown(value)} is none of {listed(parameter.choices)}"
    if parameter.kind in ("text", "code") and not parameter.optional and not str(value).strip():
        return f"`{path}` is empty: {parameter.doc}"
    least = -math.inf if parameter.least is None else parameter.least
    most = math.inf if parameter.most is None else parameter.most
    if isinstance(value, int | float) and not least <= value <= most:
        return f"{value:g} must be {_bounds(least, most)}"
    if isinstance(value, list) and not least <= len(cast("list[Any]", value)) <= most:
        count = len(cast("list[Any]", value))
        return f"`{path}` has {count:,} entries, their number must be {_bounds(least, most)}"
    return ""


def _bounds(least: float, most: float) -> str:
    if most == math.inf:
        return f"{least:g} or more"
    return f"at most {most:g}" if least == -math.inf else f"from {least:g} to {most:g}"


def _check_below(reader: Reader, path: str, parameter: Parameter, value: Any) -> None:
    """Look at the entries of a list or an object whose declaration says what they are."""
    if isinstance(value, dict) and parameter.entries:
        _check_object(reader, path, parameter, cast("dict[str, Any]", value))
    elif isinstance(value, list):
        for at, each in enumerate(cast("list[Any]", value)):
            below = f"{path}[{at}]"
            if parameter.entries and not isinstance(each, dict):
                keys = ", ".join(entry.name for entry in parameter.entries)
                text = f"{shown(each)} must be an object: {{{keys}}}"
                reader.error("invalid_parameter", below, text)
            elif parameter.entries:
                _check_object(reader, below, parameter, cast("dict[str, Any]", each))
            elif parameter.of is not None:
                single = replace(
                    parameter, kind=parameter.of, of=None, optional=False, least=None, most=None
                )
                _check_kind(reader, below, single, each)


def _check_object(
    reader: Reader, path: str, parameter: Parameter, values: Mapping[str, Any]
) -> None:
    known = {entry.name: entry for entry in parameter.entries}
    for key in values:
        if key not in known:
            reader.error(
                "unknown_parameter",
                f"{path}.{key}",
                f"no such key; {reader.found.did_you_mean(key, known)}",
            )
    for name, entry in known.items():
        value, below = values.get(name), f"{path}.{name}"
        if value is None:
            if not entry.optional:
                reader.error("missing_parameter", below, f"`{name}` is missing: {entry.doc}")
        elif entry.expressions or not parameter.expressions or _is_fixed(reader, below, value):
            _check_kind(reader, below, entry, value)


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
