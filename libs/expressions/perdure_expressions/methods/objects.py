"""Methods of objects, and the functions of Object, Array, and JSON."""

import json
from typing import Any, Final

from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value, kind_of
from perdure_expressions.methods.arrays import distinct
from perdure_expressions.output import json_text
from perdure_expressions.registry import (
    Arguments,
    argument,
    array,
    callback,
    function,
    method,
)
from perdure_expressions.values import (
    described,
    number,
    same,
    to_integer,
    to_text,
    truthy,
)


def entries_of(f: Frame, name: str, value: Value) -> dict[str, Value]:
    """The entries of an object, array or text, as Object's functions see them."""
    if kind_of(value) is dict:
        f.array(len(value))
        return value
    if kind_of(value) is list or kind_of(value) is str:
        f.object(2 * len(value))
        return {str(place): each for place, each in enumerate(value)}
    if value is None:
        raise ExpressionError(
            "expression_type", f"{name}() needs an object, but got null: add ?? {{}}."
        )
    return {}


@method("hasOwnProperty", dict, list)
@method("hasField", dict)
def has_own(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether there is such a key."""
    return to_text(f, argument(arguments, 0)) in entries_of(f, "hasOwnProperty", this)


@method("toString", dict)
def object_text(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """'[object Object]'."""
    return to_text(f, this)


@method("isEmpty", dict)
def is_empty(_f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Whether there are no entries."""
    return not this


@method("toJsonString", dict, list, str, int, float, bool)
def to_json_string(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """As JSON."""
    return json_text(f, this)


@function("Object.keys")
def keys(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The keys in their order."""
    found = entries_of(f, "Object.keys", argument(arguments, 0))
    f.array(len(found))
    return list(found)


@function("Object.values")
def values(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The values in their keys' order."""
    found = entries_of(f, "Object.values", argument(arguments, 0))
    f.array(len(found))
    return list(found.values())


@function("Object.entries")
def entries(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Pairs of key and value."""
    found = entries_of(f, "Object.entries", argument(arguments, 0))
    f.array(3 * len(found))
    f.hold(72 * len(found))
    return [[key, value] for key, value in found.items()]


@function("Object.fromEntries")
def from_entries(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """An object from pairs of key and value."""
    pairs = array("Object.fromEntries", argument(arguments, 0))
    f.object(len(pairs))
    made: dict[str, Value] = {}
    for pair in pairs:
        if kind_of(pair) is not list:
            raise ExpressionError(
                "expression_type",
                f"Object.fromEntries() needs pairs, but got {described(pair)}.",
            )
        key = to_text(f, pair[0] if pair else None)
        made[key] = pair[1] if len(pair) > 1 else None
    return made


@function("Object.assign")
def assign(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """A new object with the entries of all; later ones win."""
    made: dict[str, Value] = {}
    for each in arguments:
        if each is not None:
            found = entries_of(f, "Object.assign", each)
            f.object(len(found))
            made.update(found)
    return made


@function("Object.hasOwn")
def has_own_key(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the first argument has such a key."""
    found = entries_of(f, "Object.hasOwn", argument(arguments, 0))
    return to_text(f, argument(arguments, 1)) in found


@function("Object.is")
def is_same(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """As ===, but NaN is NaN."""
    left, right = argument(arguments, 0), argument(arguments, 1)
    numbers = kind_of(left) is float and kind_of(right) is float
    return same(f, left, right) or (numbers and left != left and right != right)


@function("Object.groupBy", callback=1)
def group_by(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """An object of arrays: the elements by what the function says of them."""
    key_of = callback("Object.groupBy", arguments, 1)
    made: dict[str, Value] = {}
    for place, each in enumerate(array("Object.groupBy", argument(arguments, 0))):
        f.object(1)
        made.setdefault(to_text(f, key_of(each, place)), []).append(each)
    return made


@function("Array.isArray")
def is_array(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Whether the argument is an array."""
    return kind_of(argument(arguments, 0)) is list


@function("Array.of")
def array_of(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The arguments."""
    f.array(len(arguments))
    return list(arguments)


@function("Array.from", callback=1)
def array_from(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """An array from an array, a text's characters, or `{length: n}`; mapped on the way."""
    source = argument(arguments, 0)
    kind = kind_of(source)
    if kind is list or kind is str:
        f.array(len(source))
        made: list[Value] = list(source)
    elif kind is dict:
        length = max(0, to_integer(f, source.get("length")))
        f.array(length)
        made = [source.get(str(place)) for place in range(length)]
    else:
        raise ExpressionError(
            "expression_type", f"Array.from() needs an array, but got {described(source)}."
        )
    if argument(arguments, 1) is None:
        return made
    each = callback("Array.from", arguments, 1)
    f.array(len(made))
    return [each(value, place) for place, value in enumerate(made)]


@function("new Set")
def new_set(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The distinct elements, as an array: `[...new Set(list)]`."""
    source = argument(arguments, 0)
    if source is None:
        return []
    return distinct(f, list(source) if kind_of(source) is str else array("new Set", source))


# --- JSON


@function("JSON.stringify")
def stringify(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """As JSON, indented by the third argument; a second one is not known."""
    if argument(arguments, 1) is not None:
        raise ExpressionError(
            "expression_type", "JSON.stringify() takes no replacer: give null, or use map."
        )
    indent = argument(arguments, 2)
    if kind_of(indent) is not str:
        counted = kind_of(indent) is int or kind_of(indent) is float
        indent = " " * max(0, min(10, to_integer(f, indent))) if counted else ""
    indent = indent[:10]
    return json_text(f, argument(arguments, 0), indent)


def _refuse_constant(_name: str) -> Any:
    raise ValueError


def _whole_number(digits: str) -> int | float:
    """A whole number of JSON text, as a double beyond 2^53."""
    return number(float(digits)) if len(digits) > 15 else int(digits)


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_int=_whole_number,
    parse_float=lambda digits: number(float(digits)),
)


@function("JSON.parse")
def parse(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The value of a JSON text."""
    text = to_text(f, argument(arguments, 0))
    marks = sum(map(text.count, ",[{:"))
    f.spend(1 + (len(text) >> 4) + 2 * marks)
    f.hold(len(text) * (1 if text.isascii() else 4) + 150 * marks)
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise ExpressionError(
            "expression_type", "JSON.parse() got a text that is not JSON: check it."
        ) from None


# --- choices


@function("$if")
def choose(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The second argument if the first holds, else the third."""
    return argument(arguments, 1 if truthy(argument(arguments, 0)) else 2)


@function("$ifEmpty")
def if_empty(_f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The first argument, or the second where that is null, '' or has nothing in it."""
    value = argument(arguments, 0)
    kind = kind_of(value)
    empty = value is None or ((kind is str or kind is list or kind is dict) and not value)
    return argument(arguments, 1) if empty else value
