"""What leaves an expression: plain JSON, printed text, and nothing that would hurt later."""

import math
from typing import Final

from .errors import ExpressionError
from .limits import DATA_DEPTH_MAX, ENTRY_BYTES, RESULT_NODES_MAX, ROOM, Frame, Value, kind_of
from .moment import Moment
from .regex import Regex
from .values import FLOAT_COST, joined, number_text, quoted, too_deep

_WRITE_COST: Final = 10
"""Units for writing one value as JSON."""


def settled(value: Value, f: Frame | None = None) -> Value:
    """A result as plain JSON: dates become text, lone surrogates U+FFFD.

    The value itself is given when nothing in it has to change. A frame pays for each value in it,
    and is not refused for that.

    Raises:
        ExpressionError: `not_a_number`, `expression_depth`, or `expression_output` when it
            is larger than a result may be (what appears twice counts twice).
    """
    kind = kind_of(value)
    if kind is bool or kind is int or value is None:
        return value
    if kind is str:
        if f is not None:
            f.fuel -= len(value) >> 6
            f.kept = len(value) * 4
        return _well_formed(value)
    settler = _Settler()
    try:
        return settler.settle(value, 0)
    finally:
        if f is not None:
            f.fuel -= settler.nodes + (settler.size >> 6)
            f.kept = settler.nodes * ENTRY_BYTES + settler.size * 4


class _Settler:
    """Walks one result; remembers the weight of each array and object it has seen."""

    def __init__(self) -> None:
        self.nodes = 0
        self.size = 0
        self.seen: dict[int, tuple[Value, int, int]] = {}
        self.kept: list[str] = []

    def settle(self, value: Value, depth: int) -> Value:
        """One value; its weight is added to `nodes` and `size`."""
        kind = kind_of(value)
        self.nodes += 1
        if kind is str:
            self.size += len(value)
            return value if value.isascii() else self.text(value)
        if kind is list or kind is dict:
            return self.container(value, depth)
        if kind is float and not math.isfinite(value):
            raise not_a_number(value)
        if kind is Moment:
            return value.iso()
        if kind is Regex:
            raise ExpressionError(
                "expression_output", "A regular expression is no result: call a method with it."
            )
        return value

    def text(self, value: str) -> str:
        """A text, looked through only once however often it appears."""
        known = self.seen.get(id(value))
        if known is None:
            self.seen[id(value)] = known = (_well_formed(value), 0, 0)
            self.kept.append(value)
        return known[0]

    def container(self, value: Value, depth: int) -> Value:
        """An array or object, walked only once however often it appears."""
        if depth > DATA_DEPTH_MAX:
            raise too_deep()
        known = self.seen.get(id(value))
        if known is None:
            nodes, size = self.nodes, self.size
            result = (
                self.array(value, depth) if kind_of(value) is list else self.object(value, depth)
            )
            self.seen[id(value)] = (result, self.nodes - nodes, self.size - size)
        else:
            result, nodes, size = known
            self.nodes += nodes
            self.size += size
        if self.nodes > RESULT_NODES_MAX or self.size > ROOM:
            raise ExpressionError(
                "expression_output",
                f"The result is larger than {RESULT_NODES_MAX} values or "
                f"{ROOM // 1024 // 1024} MB: give less, or use a code node.",
            )
        return result

    def array(self, value: list[Value], depth: int) -> Value:
        """An array; the same one if no element changed."""
        made = [self.settle(each, depth + 1) for each in value]
        changed = any(new is not old for new, old in zip(made, value, strict=True))
        return made if changed else value

    def object(self, value: dict[str, Value], depth: int) -> Value:
        """An object; the same one if no entry changed."""
        made: dict[str, Value] = {}
        changed = False
        for key, old in value.items():
            self.size += len(key)
            name, new = _well_formed(key), self.settle(old, depth + 1)
            changed = changed or new is not old or name is not key
            made[name] = new
        return made if changed else value


def _well_formed(text: str) -> str:
    """A text that can be stored: lone surrogates become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def not_a_number(value: float) -> ExpressionError:
    """The error for NaN and infinity as a result."""
    name = "NaN" if value != value else "Infinity"
    return ExpressionError(
        "not_a_number",
        f"The result is {name}, which is no JSON: check for missing or textual numbers, "
        "or for a division by zero.",
    )


def printed(f: Frame, value: Value) -> str:
    """A value as a template shows it: null is empty, arrays and objects are JSON.

    Raises:
        ExpressionError: `not_a_number` for NaN and infinity.
    """
    kind = kind_of(value)
    if kind is str:
        return value
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        if not math.isfinite(value):
            raise not_a_number(value)
        return number_text(value)
    if kind is Moment:
        return value.iso()
    if kind is Regex:
        return f"/{value.source}/{value.flags}"
    return json_text(f, value)


def json_text(f: Frame, value: Value, indent: str = "") -> str:
    """JSON.stringify: NaN and infinity are null, dates are text."""
    parts: list[str] = []
    _write(f, value, indent, "\n" if indent else "", parts, 0)
    return joined(f, parts)


def _write(f: Frame, value: Value, indent: str, line: str, parts: list[str], depth: int) -> None:
    """Append the JSON of one value; `line` is the line end with the outer indentation."""
    kind = kind_of(value)
    f.spend(_WRITE_COST)
    if kind is str:
        f.text(len(value), value.isascii())
        parts.append(quoted(value))
    elif kind is list or kind is dict:
        if depth > DATA_DEPTH_MAX:
            raise too_deep()
        _write_all(f, value, indent, line, parts, depth)
    elif value is None or (kind is float and not math.isfinite(value)) or kind is Regex:
        parts.append("{}" if kind is Regex else "null")
    elif kind is Moment:
        parts.append(f'"{value.iso()}"')
    elif kind is bool:
        parts.append("true" if value else "false")
    else:
        if kind is float:
            f.spend(FLOAT_COST)
        parts.append(number_text(value))


def _write_all(
    f: Frame, value: Value, indent: str, line: str, parts: list[str], depth: int
) -> None:
    """Append the JSON of an array or object."""
    is_list = kind_of(value) is list
    opener, closer = "[]" if is_list else "{}"
    if not value:
        parts.append(opener + closer)
        return
    inner = line + indent
    parts.append(opener)
    for place, each in enumerate(value):
        f.hold(16 + len(inner))
        parts.append(f",{inner}" if place else inner)
        if not is_list:
            f.text(len(each), each.isascii())
            parts.append(quoted(each) + (": " if indent else ":"))
        _write(f, each if is_list else value[each], indent, inner, parts, depth + 1)
    parts.append(line + closer)
