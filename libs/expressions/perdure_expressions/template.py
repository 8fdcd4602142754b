"""The engine's door: expressions, texts with `{{ … }}`, and whole structures of parameters.

A text that is exactly one `{{ … }}` gives its value with its type. Otherwise the parts are
joined as text: null is empty, arrays and objects are JSON, the rest as JavaScript prints it.
To write two braces as text, write `{{ '{{' }}`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final

from perdure_contracts.message import Json

from .access import fast_path
from .analysis import References, Warning, fixed_path, lint_tree, references_of
from .calls import placed
from .compiler import Compiler
from .errors import ExpressionError
from .lexer import Lexer
from .limits import (
    DICT_BYTES,
    ENTRY_BYTES,
    FUEL,
    PARTS_MAX,
    ROOM,
    SOURCE_MAX,
    TEMPLATE_MAX,
    VALUE_DEPTH_MAX,
    Frame,
    Value,
    kind_of,
)
from .output import not_a_number, printed, settled
from .parser import parse_tokens
from .scope import Scope
from .syntax import Node
from .values import joined

OPENER: Final = "{{"
CLOSER: Final = "}}"
BASE_COST: Final = 30
SHORT_COST: Final = 10
"""Units of work for one evaluation, whatever it does, and for one of a path into `$json`."""


class Compiled(ABC):
    """Something that was compiled once and is evaluated with a scope, many times.

    Attributes:
        references: what it asks of the scope.
        slots: places it needs in a frame.
        cost: units of work that it takes at least.
        held: bytes that it creates at least.
    """

    references: References
    slots: int
    cost: int = BASE_COST
    held: int = 0
    is_constant: bool = False

    @abstractmethod
    def run(self, f: Frame) -> Value:
        """Evaluate in a frame that others pay into too; the result is not settled yet."""

    @abstractmethod
    def expressions(self) -> "Iterator[Expression]":
        """Every expression in it, in the order of the text; at most as deep as parameters are."""

    def evaluate(self, scope: Scope) -> Json:
        """The result as plain JSON. Parts of the scope's data may be in it: do not change it.

        Raises:
            ExpressionError: see there for the codes.
        """
        frame = Frame(scope, self.slots)
        meter = scope.meter
        if meter is not None:
            meter.check()
        try:
            return settled(self.run(frame), frame)
        except RecursionError:
            raise ExpressionError(
                "expression_depth", "The expression or its data is nested too deep: split it."
            ) from None
        finally:
            if meter is not None:
                meter.work -= self.cost + FUEL - frame.fuel
                meter.held -= self.held + min(frame.kept, ROOM - frame.room)


class Constant(Compiled):
    """A value without expressions in it."""

    is_constant = True

    def __init__(self, value: Json) -> None:
        self.value = value
        self.references = References()
        self.slots = 0

    def run(self, f: Frame) -> Value:
        """The value."""
        return self.value

    def expressions(self) -> "Iterator[Expression]":
        """None."""
        return iter(())

    def evaluate(self, scope: Scope) -> Json:
        """The value."""
        return self.value


class Expression(Compiled):
    """One expression. `source` is the text in which positions count."""

    def __init__(self, source: str, node: Node, slots: int) -> None:
        self.source = source
        self.node = node
        self.slots = slots
        self.references = references_of(node)
        self.path = ""
        self._fast: Callable[[Scope], Value] | None = None
        keys = fixed_path(node)
        if keys is not None:
            self._fast = fast_path(keys)
        try:
            compiler = Compiler()
            self._run = compiler.compile(node)
            self.cost = BASE_COST + compiler.weight
        except ExpressionError as error:
            raise self.told(error) from None

    def told(self, error: ExpressionError) -> ExpressionError:
        """An error with the source that its position counts in."""
        if error.source is None:
            error.source = self.source
        error.path = error.path or self.path
        return placed(error, self.node.at)

    def expressions(self) -> "Iterator[Expression]":
        """Itself."""
        yield self

    def doubts(self) -> list[Warning]:
        """What is probably not meant in it; positions count in `source`."""
        return lint_tree(self.node)

    def check(self, value: float) -> None:
        """Refuse a number that cannot leave, and say where it comes from."""
        if not math.isfinite(value):
            raise self.told(not_a_number(value))

    def run(self, f: Frame) -> Value:
        """Evaluate in a frame."""
        try:
            return self._run(f)
        except ExpressionError as error:
            raise self.told(error) from None

    def evaluate(self, scope: Scope) -> Json:
        """The result; a path into `$json` takes a short way."""
        try:
            if self._fast is None:
                return super().evaluate(scope)
            meter = scope.meter
            if meter is not None:
                meter.check()
                meter.work -= SHORT_COST
            value = self._fast(scope)
            if kind_of(value) is float and not math.isfinite(value):
                raise not_a_number(value)
            return value
        except ExpressionError as error:
            raise self.told(error) from None


class Template(Compiled):
    """A text with expressions in it: `texts` has one more element than `parts`."""

    def __init__(self, texts: list[str], parts: list[Expression]) -> None:
        self.texts = texts
        self.parts = parts
        self.slots = max(part.slots for part in parts)
        self.cost = BASE_COST + sum(part.cost for part in parts)
        self.references = References.union(part.references for part in parts)

    def expressions(self) -> Iterator[Expression]:
        """Its parts."""
        return iter(self.parts)

    def run(self, f: Frame) -> Value:
        """The joined text."""
        found = [self.texts[0]]
        for part, text in zip(self.parts, self.texts[1:], strict=True):
            try:
                found.append(printed(f, part.run(f)))
            except ExpressionError as error:
                raise part.told(error) from None
            found.append(text)
        return joined(f, found)


class Structure(Compiled):
    """An array or object of parameters, some of which are expressions."""

    def __init__(self, value: Json, parts: dict[str | int, Compiled]) -> None:
        self.value = value
        self.parts = parts
        self.slots = max(part.slots for part in parts.values())
        self.cost = BASE_COST + (len(value) >> 3) + sum(part.cost for part in parts.values())
        self.held = DICT_BYTES + ENTRY_BYTES * len(value)
        self.held += sum(part.held for part in parts.values())
        self.references = References.union(part.references for part in parts.values())

    def expressions(self) -> Iterator[Expression]:
        """Those of all its entries."""
        for part in self.parts.values():
            yield from part.expressions()

    def run(self, f: Frame) -> Value:
        """A copy with the expressions' values in their places."""
        copied = self.value.copy()
        for key, part in self.parts.items():
            value = part.run(f)
            if isinstance(part, Expression) and kind_of(value) is float:
                part.check(value)
            copied[key] = value
        return copied


def compile_expression(source: str) -> Expression:
    """Compile an expression without braces.

    Raises:
        ExpressionError: `expression_syntax`, `expression_unknown` or `expression_size`.
    """
    lexer = Lexer(source, 0, len(source), SOURCE_MAX)
    node, slots = parse_tokens(lexer.tokens(""), source)
    return Expression(source, node, slots)


def compile_template(text: str, path: str = "") -> Expression | Template | Constant:
    """Compile a text; positions of errors count in the whole text.

    Gives a `Constant` without `{{`, an `Expression` when the text is exactly one, else a
    `Template`. `path` is named in errors.

    Raises:
        ExpressionError: as `compile_expression`.
    """
    if OPENER not in text:
        return Constant(text)
    try:
        return _compile_template(text, path)
    except ExpressionError as error:
        error.path = error.path or path
        raise


def _compile_template(text: str, path: str) -> Expression | Template:
    """A text that has braces."""
    if len(text) > TEMPLATE_MAX:
        raise ExpressionError(
            "expression_size", f"A text with {OPENER} may have {TEMPLATE_MAX} characters: split it."
        )
    texts: list[str] = []
    parts: list[Expression] = []
    at = 0
    while (start := text.find(OPENER, at)) >= 0:
        texts.append(text[at:start])
        if len(parts) >= PARTS_MAX:
            raise ExpressionError(
                "expression_size",
                f"A text may have {PARTS_MAX} expressions in it: split it.",
                start,
                text,
            )
        begin = start + len(OPENER)
        lexer = Lexer(text, begin, len(text), begin + SOURCE_MAX)
        node, slots = parse_tokens(lexer.tokens(CLOSER), text)
        part = Expression(text, node, slots)
        part.path = path
        parts.append(part)
        at = lexer.at
    texts.append(text[at:])
    if len(parts) == 1 and texts == ["", ""]:
        return parts[0]
    return Template(texts, parts)


def compile_value(value: Json, path: str = "") -> Compiled:
    """Compile parameters: every text in arrays and objects, at any depth; keys are plain.

    Raises:
        ExpressionError: as `compile_expression`, with `path` such as `values.total`.
    """
    return _compile_value(value, path, 0)


def _compile_value(value: Json, path: str, depth: int) -> Compiled:
    """One level of parameters."""
    if kind_of(value) is str:
        return compile_template(value, path)
    kind = kind_of(value)
    if kind is not list and kind is not dict:
        return Constant(value)
    if depth > VALUE_DEPTH_MAX:
        raise ExpressionError(
            "expression_size",
            f"Parameters are nested deeper than {VALUE_DEPTH_MAX} levels: make them flatter.",
            path=path,
        )
    entries = enumerate(value) if kind is list else value.items()
    parts: dict[str | int, Compiled] = {}
    for key, each in entries:
        below = f"{path}[{key}]" if kind is list else f"{path}.{key}" if path else str(key)
        part = _compile_value(each, below, depth + 1)
        if not part.is_constant:
            parts[key] = part
    return Structure(value, parts) if parts else Constant(value)
