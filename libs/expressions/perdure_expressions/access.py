"""Reading from data: `.key` and `[key]`, the roots of the scope, and other nodes' items."""

from collections.abc import Callable
from typing import Final, TypeAlias

from .errors import ExpressionError
from .limits import Frame, Value, kind_of
from .moment import Moment
from .registry import PROPERTIES
from .scope import NodeView, Scope
from .values import to_text, units, whole

Run: TypeAlias = Callable[[Frame], Value]
"""A compiled node."""


_NOTHING: Final = type(None)


def member(f: Frame, of: Value, key: str | int) -> Value:
    """`of.key`: null where there is none, and of null. Keys are data, never attributes."""
    kind = kind_of(of)
    if kind is dict:
        return of.get(key if type(key) is str else str(key))
    if kind is list:
        return _element(of, key)
    if kind is str:
        return _character(f, of, key)
    readers = PROPERTIES.get(kind)
    reader = None if readers is None or type(key) is not str else readers.get(key)
    return None if reader is None else reader(f, of)


def _element(of: list[Value], key: str | int) -> Value:
    """An element by its index, or the length."""
    if type(key) is int:
        return of[key] if 0 <= key < len(of) else None
    if key == "length":
        return len(of)
    index = index_of(key)
    return of[index] if 0 <= index < len(of) else None


def _character(f: Frame, of: str, key: str | int) -> Value:
    """A UTF-16 unit by its index, or the length."""
    if key == "length":
        if of.isascii():
            return len(of)
        f.text(len(of))
        return len(of.encode("utf-16-le", "surrogatepass")) // 2
    coded = units(f, of)
    index = key if type(key) is int else index_of(key)
    return whole(f, coded[index]) if 0 <= index < len(coded) else None


def index_of(key: str | int) -> int:
    """A text that is an index, as that index; -1 otherwise."""
    text = str(key)
    plain = text.isdecimal() and text.isascii() and len(text) < 16
    return int(text) if plain and (text == "0" or text[0] != "0") else -1


def computed(f: Frame, of: Value, key: Value) -> Value:
    """`of[key]` with any key: what is no index becomes text."""
    if type(key) is not str and type(key) is not int:
        if of is None:
            return None
        key = to_text(f, key)
    return member(f, of, key)


def given(value: Value) -> Value:
    """A part of the scope, computed now if it is a function."""
    return value() if callable(value) else value


def current_moment(scope: Scope) -> Moment:
    """`$now`.

    Raises:
        ExpressionError: `expression_type` where the scope has no time.
    """
    now = given(scope.now)
    if now is None:
        raise ExpressionError("expression_type", "$now is not available here: remove it.")
    return Moment(now)


def today(scope: Scope) -> Moment:
    """`$today`: the day's beginning, at the offset of `$now`."""
    return Moment(current_moment(scope).at.replace(hour=0, minute=0, second=0, microsecond=0))


def event(scope: Scope) -> Value:
    """`$event`: the trigger event whose filter this is."""
    found: Value = scope.event
    if found is None:
        raise ExpressionError(
            "expression_type", "$event is there in a trigger's `filter` only: use $execution."
        )
    return found


ROOT_READERS: dict[str, Callable[[Scope], Value]] = {
    "$json": lambda scope: scope.json,
    "$binary": lambda scope: scope.binary,
    "$vars": lambda scope: given(scope.vars),
    "$execution": lambda scope: given(scope.execution),
    "$context": lambda scope: given(scope.context),
    "$event": event,
    "$itemIndex": lambda scope: given(scope.input).index,
    "$now": current_moment,
    "$today": today,
}


def view_reader(node: str | None, ask: str) -> Run:
    """A closure for `$input.item`, `$('Node').first()` and the like."""

    def find(f: Frame) -> NodeView | None:
        return given(f.scope.input) if node is None else f.scope.node(node)

    def executed(f: Frame) -> Value:
        return find(f) is not None

    def everything(f: Frame) -> Value:
        found = find(f)
        items = () if found is None else found.items
        f.array(len(items))
        for _ in items:
            f.object(1)
        return [{"json": each} for each in items]

    def one(f: Frame) -> Value:
        found = find(f)
        if found is None or not found.items:
            return None
        if ask == "first":
            return {"json": found.items[0]}
        if ask == "last":
            return {"json": found.items[-1]}
        index = found.index
        if index is None or not 0 <= index < len(found.items):
            return None
        return found.items[index] if ask == "json" else {"json": found.items[index]}

    return {"isExecuted": executed, "all": everything}.get(ask, one)


def path_reader(base: Run, keys: tuple[str | int, ...]) -> Run:
    """A closure that reads key after key."""
    if all(type(key) is str for key in keys):

        def names(f: Frame) -> Value:
            value = base(f)
            for key in keys:
                value = value.get(key) if kind_of(value) is dict else member(f, value, key)
            return value

        return names

    def mixed(f: Frame) -> Value:
        value = base(f)
        for key in keys:
            value = member(f, value, key)
        return value

    return mixed


def fast_path(keys: tuple[str | int, ...]) -> Callable[[Scope], Value]:
    """`$json.a.b` without a frame, as long as it meets only objects and arrays."""

    def read(scope: Scope) -> Value:
        value: Value = scope.json
        for key in keys:
            kind = kind_of(value)
            if kind is dict:
                value = value.get(key if type(key) is str else str(key))
            elif kind is list:
                value = _element(value, key)
            elif kind is _NOTHING:
                return None
            else:
                value = member(Frame(scope), value, key)
        return value

    return read
