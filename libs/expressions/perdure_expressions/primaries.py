"""What an operand can begin with: literals, names, `$json` and its kin, and brackets."""

from abc import ABC, abstractmethod
from typing import Final

from .cursor import Cursor
from .errors import ExpressionError, nearest
from .lexer import Token
from .limits import PATTERN_NODES
from .methods import CONSTANTS, FUNCTIONS
from .regex import compile_regex
from .syntax import (
    Argument,
    ArrayLiteral,
    Entry,
    FunctionCall,
    Literal,
    Local,
    Member,
    Node,
    ObjectLiteral,
    RegexLiteral,
    Root,
    Spread,
    TextLiteral,
    View,
)
from .values import number_text

ROOTS: Final = frozenset(
    {
        "$json",
        "$now",
        "$today",
        "$vars",
        "$execution",
        "$context",
        "$itemIndex",
        "$event",
        "$binary",
    }
)
VIEW_WORDS: Final = frozenset({"item", "first", "last", "all", "json", "isExecuted"})
_WORDS: Final = {"true": True, "false": False, "null": None}
_NUMBERS: Final = {"NaN": float("nan"), "Infinity": float("inf")}
_NAMESPACES: Final = frozenset(name.partition(".")[0] for name in (*FUNCTIONS, *CONSTANTS))
_CLASSES: Final = frozenset(name[4:] for name in FUNCTIONS if name.startswith("new "))
REFUSED: Final = {
    "this": "write $json for the current item",
    "function": "write an arrow function, such as x => x.name",
    "new": "of classes only new Date(…) and new Set(…) are known",
    "instanceof": "use typeof or Array.isArray()",
    "await": "an expression cannot wait",
    "delete": "build a new object that leaves the key out",
    "void": "write null",
    "let": "an expression has no statements",
    "const": "an expression has no statements",
    "var": "an expression has no statements",
    "return": "an expression has no statements; its value is the result",
    "if": "write test ? a : b",
    "for": "use map, filter or reduce",
    "while": "use map, filter or reduce",
    "class": "an expression has no statements",
    "async": "an expression cannot wait",
    "yield": "an expression cannot wait",
    "eval": "text is never evaluated",
    "Function": "text is never evaluated",
}


class Primaries(Cursor, ABC):
    """The operands of the language. What they contain is read by the parser below."""

    @abstractmethod
    def expression(self) -> Node:
        """Read a whole expression."""

    @abstractmethod
    def arguments(self, callbacks: set[int | None], name: str) -> tuple[Argument, ...]:
        """Read arguments in parentheses."""

    def primary(self) -> Node:
        """A literal, a name, or something in brackets."""
        token = self.now
        at = self.count()
        if token.kind == "name":
            return self.name(self.take())
        if token.kind in ("number", "text"):
            return Literal(at, self.take().value)
        if token.kind == "template":
            return self.text_literal(self.take())
        if token.kind == "regex":
            self.take()
            source, flags = token.value
            self.nodes += PATTERN_NODES
            try:
                compile_regex(source, flags)
            except ExpressionError as error:
                raise self.fail(error.message, at + 1 + (error.position or 0), error.code) from None
            return RegexLiteral(at, source, flags)
        if self.accept("("):
            node = self.expression()
            self.expect(")")
            return node
        if self.sees("["):
            return self.array_literal()
        if self.sees("{"):
            return self.object_literal()
        if token.kind == "end":
            raise self.fail("The expression ends too early: a value is missing.", at)
        raise self.fail(f"A value is missing before '{token.value}'.", at)

    def text_literal(self, token: Token) -> Node:
        """A template literal; its parts are read from the tokens inside the token."""
        parts: list[Node] = []
        outer, place = self.tokens, self.at
        for inner in token.value[1::2]:
            self.tokens, self.at = inner, 0
            parts.append(self.expression())
            if self.now.kind != "end":
                raise self.fail(f"'{self.now.value}' is not expected in ${{…}}.", self.now.at)
        self.tokens, self.at = outer, place
        return TextLiteral(token.at, tuple(token.value[::2]), tuple(parts))

    def array_literal(self) -> Node:
        """`[a, ...b]`."""
        at = self.now.at
        self.expect("[")
        items: list[Node | Spread] = []
        while not self.sees("]"):
            items.append(self.spread() or self.expression())
            if not self.accept(","):
                break
        self.expect("]")
        return ArrayLiteral(at, tuple(items))

    def spread(self) -> Spread | None:
        """`...value`, if it is next."""
        at = self.now.at
        if not self.accept("..."):
            return None
        self.count()
        return Spread(at, self.expression())

    def object_literal(self) -> Node:
        """`{a: 1, b, [c]: 2, ...d}`."""
        at = self.now.at
        self.expect("{")
        entries: list[Entry | Spread] = []
        while not self.sees("}"):
            entries.append(self.spread() or self.entry())
            if not self.accept(","):
                break
        self.expect("}")
        return ObjectLiteral(at, tuple(entries))

    def entry(self) -> Entry:
        """`key: value`, `[key]: value`, or a name alone."""
        if self.accept("["):
            computed = self.expression()
            self.expect("]")
            self.expect(":")
            return Entry(computed, self.expression())
        token = self.take()
        if token.kind not in ("name", "text", "number"):
            raise self.fail("A key is missing: write {name: value}.", token.at)
        if token.kind == "name" and (self.sees(",") or self.sees("}")):
            self.count()
            return Entry(token.value, self.name(token))
        if self.sees("("):
            raise self.fail("An object has no methods here: write {name: value}.", self.now.at)
        self.expect(":")
        key = number_text(token.value) if token.kind == "number" else token.value
        return Entry(key, self.expression())

    # --- names

    def name(self, token: Token) -> Node:
        """What a name means: an argument, a root, a constant or a function."""
        name, at = token.value, token.at
        if name in self.locals:
            return Local(at, self.locals[name])
        if name in _WORDS:
            return Literal(at, _WORDS[name])
        if name == "undefined":  # a key that null does not have, so that typeof can tell
            return Member(at, Literal(at, None), name)
        if name in _NUMBERS:
            return Literal(at, _NUMBERS[name])
        if name in ROOTS:
            return Root(at, name)
        if name == "$input":
            return self.view(at, None)
        if name in ("$", "$node"):
            return self.other_node(name, at)
        if name == "new":
            return self.new(at)
        if name in REFUSED:
            raise self.fail(f"'{name}' is not in the language: {REFUSED[name]}.", at)
        if self.sees("=>"):
            raise self.fail(
                "An arrow function can only be an argument of a method: write list.map(x => …).",
                at,
            )
        return self.function(name, at)

    def function(self, name: str, at: int) -> Node:
        """`parseInt(…)`, `Math.max(…)` or `Math.PI`."""
        full = name
        if name in _NAMESPACES and self.accept("."):
            full = f"{name}.{self.take().value}"
        if full in CONSTANTS and not self.sees("("):
            return Literal(at, CONSTANTS[full])
        if full in FUNCTIONS:
            if not self.sees("("):
                raise self.fail(f"'{full}' is a function: call it, {full}(…).", at)
            return FunctionCall(at, full, self.arguments({FUNCTIONS[full].callback}, full))
        known = (*FUNCTIONS, *CONSTANTS, *ROOTS, *_WORDS, *self.locals, "$input", "undefined")
        hint = nearest(full, known) or (
            f" To read a field of the item, write $json.{name}." if full == name else ""
        )
        raise self.fail(f"'{full}' is not known.{hint}", at, "expression_unknown")

    def new(self, at: int) -> Node:
        """`new Date(…)` and the few other classes."""
        token = self.take()
        if token.kind != "name" or token.value not in _CLASSES:
            raise self.fail(f"'new' is not in the language: {REFUSED['new']}.", at)
        full = f"new {token.value}"
        if not self.sees("("):
            return FunctionCall(at, full, ())
        return FunctionCall(at, full, self.arguments(set(), full))

    def other_node(self, name: str, at: int) -> Node:
        """`$('Node')`, or the older `$node['Node']` and `$node.Node`."""
        closer = ")" if name == "$" else "]"
        if name == "$node" and self.accept("."):
            token = self.take()
            named = token.kind == "name"
        else:
            self.expect("(" if name == "$" else "[")
            token = self.take()
            if token.kind == "template" and len(token.value) == 1:
                token = Token("text", token.value[0], token.at)
            named = token.kind == "text"
            if named:
                self.expect(closer)
        if not named:
            raise self.fail(
                "The node must be named by a text, so that it is known before anything runs: "
                "write $('Its name').",
                token.at,
            )
        return self.view(at, token.value)

    def view(self, at: int, node: str | None) -> Node:
        """What is asked of `$input` or of a node's items."""
        subject = "$input" if node is None else f"$('{node}')"
        if not (self.accept(".") or self.accept("?.")):
            raise self.fail(f"Say which items: {subject}.item, .first(), .last() or .all().", at)
        token = self.take()
        word = token.value
        if token.kind != "name" or word not in VIEW_WORDS:
            hint = nearest(str(word), VIEW_WORDS)
            raise self.fail(
                f"{subject} has no '{word}', only item, first(), last(), all() and json.{hint}",
                token.at,
                "expression_unknown",
            )
        if self.sees("("):
            if word in ("item", "json", "isExecuted"):
                raise self.fail(f"'{word}' is no function: write {subject}.{word}.", token.at)
            self.expect("(")
            self.expect(")")
        elif word in ("first", "last", "all"):
            raise self.fail(f"'{word}' is a function: write {subject}.{word}().", token.at)
        return View(at, node, word)
