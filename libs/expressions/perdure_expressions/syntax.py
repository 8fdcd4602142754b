"""The syntax tree of an expression. Every node knows the offset (`at`) where it stands."""

from dataclasses import dataclass
from typing import TypeAlias

from .limits import Value


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, text, boolean or null."""

    at: int
    value: Value


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """`[a, ...b]`."""

    at: int
    items: tuple["Node | Spread", ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """`...value` in an array, an object or arguments."""

    at: int
    value: "Node"


@dataclass(frozen=True, slots=True)
class Entry:
    """`key: value` in an object; the key of `[key]: value` is a node."""

    key: "str | Node"
    value: "Node"


@dataclass(frozen=True, slots=True)
class ObjectLiteral:
    """`{a: 1, b, [c]: 2, ...d}`."""

    at: int
    entries: tuple[Entry | Spread, ...]


@dataclass(frozen=True, slots=True)
class TextLiteral:
    """A template literal: `texts` has one more element than `parts`."""

    at: int
    texts: tuple[str, ...]
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class RegexLiteral:
    """`/source/flags`."""

    at: int
    source: str
    flags: str


@dataclass(frozen=True, slots=True)
class Root:
    """`$json`, `$vars` and the other names that the scope gives."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class View:
    """`$input` or `$('Node')` (its name; None is the input) with what is asked of it."""

    at: int
    node: str | None
    ask: str


@dataclass(frozen=True, slots=True)
class Local:
    """An arrow function's argument, by its slot in the frame."""

    at: int
    slot: int


@dataclass(frozen=True, slots=True)
class Member:
    """`of.key`, or `of[key]` with a literal key: a text or a whole number."""

    at: int
    of: "Node"
    key: str | int


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]` with a key that is computed."""

    at: int
    of: "Node"
    key: "Node"


@dataclass(frozen=True, slots=True)
class MethodCall:
    """`of.name(arguments)`; `lenient` (after `?.`) gives null where `of` is null."""

    at: int
    of: "Node"
    name: str
    arguments: tuple["Argument", ...]
    lenient: bool


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """`name(arguments)`, with `name` such as `parseInt`, `Math.max` or `new Date`."""

    at: int
    name: str
    arguments: tuple["Argument", ...]


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A known function handed over by its name, as in `.filter(Boolean)`."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`! - + ~ typeof` before an operand."""

    at: int
    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator that evaluates both its operands."""

    at: int
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Logical:
    """`&&`, `||` or `??`."""

    at: int
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Choose:
    """`a ? b : c ? d : e`: cases of test and value, and the value if none holds."""

    at: int
    cases: tuple[tuple["Node", "Node"], ...]
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parameter: a slot, or parts that are taken out of an object or an array.

    A part is (key, pattern).
    """

    slot: int = -1
    parts: tuple[tuple[str | int, "Pattern"], ...] = ()


@dataclass(frozen=True, slots=True)
class Arrow:
    """`(a, [b, c], {d}) => body`."""

    at: int
    parameters: tuple[Pattern, ...]
    body: "Node"


Node: TypeAlias = (
    Literal
    | ArrayLiteral
    | ObjectLiteral
    | TextLiteral
    | RegexLiteral
    | Root
    | View
    | Local
    | Member
    | Index
    | MethodCall
    | FunctionCall
    | Unary
    | Binary
    | Logical
    | Choose
)
Argument: TypeAlias = Node | Spread | Arrow | FunctionName
