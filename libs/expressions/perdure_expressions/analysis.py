"""What an expression asks of its scope, found without evaluating it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final

from .limits import kind_of
from .methods import METHODS
from .parser import parse
from .syntax import ArrayLiteral, Binary, Literal, Member, Node, ObjectLiteral, Root, View

_DATA_NAMES: Final = frozenset(
    {"first", "last", "sum", "keys", "values", "entries", "search", "match", "format", "test"}
    | {"min", "max", "average", "round", "merge", "chunk"}
    | {"at", "with", "unique", "diff", "title", "find", "filter", "sort"}
)
"""Names of methods that are as often names of fields."""


@dataclass(frozen=True, slots=True)
class References:
    """What must be gathered before an expression is evaluated.

    `nodes` are the names in `$('Name')`, as written; `context` the names of context
    providers, where they are read by a fixed key (`uses_context` alone says: any).
    """

    nodes: frozenset[str] = frozenset()
    context: frozenset[str] = frozenset()
    uses_json: bool = False
    uses_input: bool = False
    uses_now: bool = False
    uses_vars: bool = False
    uses_execution: bool = False
    uses_context: bool = False
    uses_event: bool = False

    @staticmethod
    def union(parts: "Iterable[References]") -> "References":
        """What any of the parts asks for."""
        found = tuple(parts)
        return References(
            nodes=frozenset[str]().union(*(each.nodes for each in found)),
            context=frozenset[str]().union(*(each.context for each in found)),
            uses_json=any(each.uses_json for each in found),
            uses_input=any(each.uses_input for each in found),
            uses_now=any(each.uses_now for each in found),
            uses_vars=any(each.uses_vars for each in found),
            uses_execution=any(each.uses_execution for each in found),
            uses_context=any(each.uses_context for each in found),
            uses_event=any(each.uses_event for each in found),
        )


def walk(node: Any) -> Iterator[Any]:
    """Every node of a tree, without recursion; the order is of no meaning."""
    pending: list[Any] = [node]
    while pending:
        each = pending.pop()
        kind = kind_of(each)
        if kind is tuple:
            pending.extend(each)
        elif parts := _parts(kind):
            yield each
            pending.extend([getattr(each, part) for part in parts])


@cache
def _parts(kind: Any) -> tuple[str, ...]:
    """The names of what a kind of node consists of; none for what is no node."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


@dataclass(frozen=True, slots=True)
class Warning:
    """Something that is allowed and probably not meant, with its place in the source."""

    code: str
    message: str
    position: int


def lint(source: str) -> list[Warning]:
    """What is probably not meant in an expression without braces, in the order of the source.

    Raises:
        ExpressionError: when the expression does not compile.
    """
    node, _slots = parse(source)
    return lint_tree(node)


def lint_tree(node: Node) -> list[Warning]:
    """What is probably not meant in a tree, in the order of the source.

    Found are methods that are read but not called, and comparisons that never hold.
    """
    found: list[Warning] = []
    for each in walk(node):
        if isinstance(each, Member) and each.key in METHODS and str(each.key) not in _DATA_NAMES:
            message = f"'{each.key}' is read as a key of data: to call the method write ()."
            found.append(Warning("method_not_called", message, each.at))
        elif isinstance(each, Binary) and each.operator in ("==", "===", "!=", "!=="):
            sides = (each.left, each.right)
            if any(isinstance(side, Literal) and side.value != side.value for side in sides):
                message = "NaN equals nothing: write isNaN(…)."
                found.append(Warning("compared_with_nan", message, each.at))
            elif any(isinstance(side, ArrayLiteral | ObjectLiteral) for side in sides):
                message = "A new array or object equals nothing: compare its length or parts."
                found.append(Warning("compared_with_new_object", message, each.at))
    return sorted(found, key=lambda warning: warning.position)


def fixed_path(node: Node) -> tuple[str | int, ...] | None:
    """The keys of a pure path into `$json`, None for anything else."""
    keys: list[str | int] = []
    while isinstance(node, Member):
        keys.append(node.key)
        node = node.of
    return tuple(reversed(keys)) if isinstance(node, Root) and node.name == "$json" else None


def _is_context(node: Node) -> bool:
    return isinstance(node, Root) and node.name == "$context"


def references_of(node: Node) -> References:
    """What a tree asks for."""
    roots: set[str] = set()
    nodes: set[str] = set()
    context: set[str] = set()
    for each in walk(node):
        if isinstance(each, Root):
            roots.add(each.name)
        elif isinstance(each, View):
            if each.node is None:
                roots.add("$input")
            else:
                nodes.add(each.node)
        elif isinstance(each, Member) and _is_context(each.of):
            context.add(str(each.key))
    return References(
        nodes=frozenset(nodes),
        context=frozenset(context),
        uses_json="$json" in roots,
        uses_input=bool(roots & {"$input", "$itemIndex"}),
        uses_now=bool(roots & {"$now", "$today"}),
        uses_vars="$vars" in roots,
        uses_execution="$execution" in roots,
        uses_context="$context" in roots,
        uses_event="$event" in roots,
    )
