"""From tokens to a syntax tree: precedence climbing over a closed subset of JavaScript.

Names are resolved here: an arrow function's arguments to slots, functions to their full
names. What is not in the language is refused with a sentence that says what to write.
"""

from typing import Final

from .errors import nearest
from .lexer import Token, tokens_of
from .methods import FUNCTIONS, METHODS
from .primaries import REFUSED, Primaries
from .syntax import (
    Argument,
    Arrow,
    Binary,
    Choose,
    FunctionName,
    Index,
    Literal,
    Logical,
    Member,
    MethodCall,
    Node,
    Pattern,
    Spread,
    Unary,
)

_LOGICAL: Final = {"??": 1, "||": 2, "&&": 3}
_PRECEDENCE: Final = {
    **_LOGICAL,
    **{"|": 4, "^": 5, "&": 6, "==": 7, "!=": 7, "===": 7, "!==": 7},
    **{"<": 8, ">": 8, "<=": 8, ">=": 8, "in": 8, "<<": 9, ">>": 9, ">>>": 9},
    **{"+": 10, "-": 10, "*": 11, "/": 11, "%": 11, "**": 12},
}
_CHANGING: Final = {
    "push": "concat(x)",
    "unshift": "[x, ...list]",
    "pop": "slice(0, -1), or at(-1)",
    "shift": "slice(1), or at(0)",
    "splice": "slice, filter and concat",
    "fill": "map(() => x)",
}


class Parser(Primaries):
    """Reads one expression from tokens: operators, what is read from values, functions."""

    # --- operators

    def whole(self) -> Node:
        """The expression, and nothing behind it."""
        if self.now.kind == "end":
            raise self.fail("The expression is empty: write a value, such as $json.name.", 0)
        node = self.expression()
        token = self.now
        if token.kind != "end":
            raise self.fail(self.surplus(token), token.at)
        return node

    def surplus(self, token: Token) -> str:
        """Why what follows a complete expression is refused."""
        if token.value == "=>":
            return "An arrow function can only be an argument of a method: write list.map(x => …)."
        if token.value == ";":
            return "An expression has no statements: remove ';'."
        if token.value == "instanceof":
            return "'instanceof' is not in the language: use typeof or Array.isArray()."
        if token.kind == "mark" and token.value.endswith("=") and token.value not in _PRECEDENCE:
            return f"'{token.value}' assigns, and an expression cannot: to compare, write ===."
        if token.value in ("++", "--"):
            return f"'{token.value}' assigns, and an expression cannot: write + 1 or - 1."
        return f"'{token.value}' is not expected here: an operator or the end should follow."

    def expression(self) -> Node:
        """A chain of `test ? value : …`, or what stands in for it."""
        self.enter()
        at = self.now.at
        node = self.binary(1)
        cases: list[tuple[Node, Node]] = []
        while self.accept("?"):
            self.count()
            value = self.expression()
            self.expect(":")
            cases.append((node, value))
            node = self.binary(1)
        self.depth -= 1
        return Choose(at, tuple(cases), node) if cases else node

    def operator(self) -> str:
        """The binary operator that is next, or ''."""
        token = self.now
        binary = token.kind == "mark" or (token.kind == "name" and token.value == "in")
        return token.value if binary and token.value in _PRECEDENCE else ""

    def binary(self, lowest: int) -> Node:
        """Operands joined by operators that bind at least as tightly as `lowest`."""
        self.enter()
        opened = self.sees("(")
        left = self.unary()
        while (operator := self.operator()) and _PRECEDENCE[operator] >= lowest:
            at = self.count()
            if operator == "**" and isinstance(left, Unary) and not opened:
                raise self.fail("Write (-a) ** b or -(a ** b): '-a ** b' is ambiguous.", at)
            self.take()
            binds = _PRECEDENCE[operator]
            right = self.binary(binds if operator == "**" else binds + 1)
            if operator in _LOGICAL:
                left = Logical(at, operator, left, right)
            else:
                left = Binary(at, operator, left, right)
            opened = False
        self.depth -= 1
        return left

    def unary(self) -> Node:
        """An operand with the operators before it."""
        token = self.now
        marked = token.kind == "mark" and token.value in ("!", "-", "+", "~")
        if not marked and not (token.kind == "name" and token.value == "typeof"):
            return self.postfix()
        self.enter()
        at = self.count()
        self.take()
        operand = self.unary()
        self.depth -= 1
        if token.value == "-" and isinstance(operand, Literal) and type(operand.value) is float:
            return Literal(at, -operand.value)
        if token.value == "-" and isinstance(operand, Literal) and type(operand.value) is int:
            return Unary(at, "-", operand)
        return Unary(at, token.value, operand)

    # --- what is read from a value

    def postfix(self) -> Node:
        """A value with its `.name`, `[key]` and `(…)`."""
        node = self.primary()
        lenient = False
        while self.now.kind == "mark":
            mark = self.now.value
            at = self.now.at
            if mark == "?.":
                self.take()
                lenient = True
                if self.sees("["):
                    node = self.indexed(node)
                elif self.sees("("):
                    raise self.fail("Data cannot be called: name a method before '('.", at)
                else:
                    node = self.named(node, lenient)
            elif mark == ".":
                self.take()
                node = self.named(node, lenient)
            elif mark == "[":
                node = self.indexed(node)
            elif mark == "(":
                raise self.fail("Data cannot be called: name a method before '('.", at)
            else:
                break
        if self.now.kind == "template":
            raise self.fail("A template literal cannot be tagged: add an operator.", self.now.at)
        return node

    def named(self, node: Node, lenient: bool) -> Node:
        """`.name` or `.name(…)` behind a value."""
        at = self.count()
        token = self.take()
        if token.kind != "name":
            raise self.fail("A name is missing behind '.': write .name or ['name'].", at)
        if self.sees("?.") and self.ahead().kind == "mark" and self.ahead().value == "(":
            self.take()
        if not self.sees("("):
            return Member(at, node, token.value)
        if token.value not in METHODS:
            raise self.fail(self.no_method(token.value), at, "expression_unknown")
        allowed = {each.callback for each in METHODS[token.value].values()} - {None}
        arguments = self.arguments(allowed, token.value)
        return MethodCall(at, node, token.value, arguments, lenient)

    def no_method(self, name: str) -> str:
        """Why a method is not known, and which is meant."""
        if name in _CHANGING:
            return f"{name}() would change data: use {_CHANGING[name]}."
        return f"There is no method '{name}'.{nearest(name, METHODS)}"

    def indexed(self, node: Node) -> Node:
        """`[key]` behind a value."""
        at = self.count()
        self.expect("[")
        key = self.expression()
        self.expect("]")
        if isinstance(key, Literal):
            if type(key.value) is str:
                return Member(at, node, key.value)
            if type(key.value) is int and key.value >= 0:
                return Member(at, node, key.value)
        return Index(at, node, key)

    def arguments(self, callbacks: set[int | None], name: str) -> tuple[Argument, ...]:
        """`(a, ...b, x => y)`; functions only at the places in `callbacks`."""
        self.expect("(")
        found: list[Argument] = []
        while not self.sees(")"):
            argument = self.argument()
            if isinstance(argument, Arrow | FunctionName) and len(found) not in callbacks:
                raise self.fail(f"{name}() takes no function here: give a value.", argument.at)
            found.append(argument)
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(found)

    def argument(self) -> Argument:
        """One argument: a value, a spread, an arrow function or a function's name."""
        at = self.now.at
        if self.accept("..."):
            self.count()
            return Spread(at, self.expression())
        if self.arrow_follows():
            return self.arrow()
        return self.function_name() or self.expression()

    def function_name(self) -> FunctionName | None:
        """A function that is handed over by its name, such as `Boolean` or `Math.abs`."""
        token, length = self.now, 1
        if token.kind != "name" or token.value in self.locals:
            return None
        name = token.value
        if self.ahead().value == "." and self.ahead(2).kind == "name":
            name, length = f"{name}.{self.ahead(2).value}", 3
        after = self.ahead(length)
        if name not in FUNCTIONS or after.kind != "mark" or after.value not in (",", ")"):
            return None
        self.at += length
        self.count()
        return FunctionName(token.at, name)

    # --- arrow functions

    def arrow_follows(self) -> bool:
        """Whether an arrow function begins here."""
        token = self.now
        if token.kind == "name":
            return self.ahead().kind == "mark" and self.ahead().value == "=>"
        if not self.sees("("):
            return False
        open_count = 0
        for index in range(self.at, len(self.tokens)):
            each = self.tokens[index]
            if each.kind != "mark":
                continue
            if each.value in ("(", "[", "{"):
                open_count += 1
            elif each.value in (")", "]", "}"):
                open_count -= 1
                if open_count == 0:
                    return self.tokens[index + 1].value == "=>"
        return False

    def arrow(self) -> Arrow:
        """`x => body` or `(x, y) => body`."""
        self.enter()
        at = self.count()
        outer = self.locals
        self.locals = dict(outer)
        parameters: list[Pattern] = []
        if self.now.kind == "name":
            parameters.append(self.pattern())
        else:
            self.expect("(")
            while not self.sees(")"):
                parameters.append(self.pattern())
                if not self.accept(","):
                    break
            self.expect(")")
        self.expect("=>")
        if self.sees("{"):
            raise self.fail(
                "An arrow function has no statements: write x => value, or x => ({…}).",
                self.now.at,
            )
        body = self.expression()
        self.locals = outer
        self.depth -= 1
        return Arrow(at, tuple(parameters), body)

    def pattern(self) -> Pattern:
        """A parameter: a name, `{a, b: c}` or `[a, b]`."""
        self.enter()
        self.count()
        parts: list[tuple[str | int, Pattern]] = []
        if self.accept("{"):
            while not self.sees("}"):
                key = self.take()
                if key.kind not in ("name", "text"):
                    raise self.fail("A key is missing: write ({name}) => name.", key.at)
                if self.accept(":"):
                    parts.append((key.value, self.pattern()))
                else:
                    parts.append((key.value, self.declared(key)))
                if not self.accept(","):
                    break
            self.expect("}")
        elif self.accept("["):
            place = 0
            while not self.sees("]"):
                if not self.sees(","):
                    parts.append((place, self.pattern()))
                place += 1
                if not self.accept(","):
                    break
            self.expect("]")
        else:
            self.depth -= 1
            return self.declared(self.take())
        self.depth -= 1
        return Pattern(parts=tuple(parts))

    def declared(self, token: Token) -> Pattern:
        """A name that becomes an argument's."""
        if token.kind != "name" or token.value.startswith("$") or token.value in REFUSED:
            raise self.fail("The parameter needs a plain name, such as x.", token.at)
        self.locals[token.value] = self.slots
        self.slots += 1
        return Pattern(slot=self.slots - 1)


def parse(source: str) -> tuple[Node, int]:
    """The tree of an expression without braces, and how many slots its functions need.

    Raises:
        ExpressionError: at compile time's codes, with the position.
    """
    return parse_tokens(tokens_of(source), source)


def parse_tokens(tokens: list[Token], source: str) -> tuple[Node, int]:
    """As `parse`, from the tokens of a part of `source`."""
    parser = Parser(tokens, source)
    return parser.whole(), parser.slots
