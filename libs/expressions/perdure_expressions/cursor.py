"""Reading tokens one by one, with the parser's limits and its way to refuse."""

from .errors import ExpressionError
from .lexer import Token
from .limits import NESTING_MAX, NODES_MAX


class Cursor:
    """Reads tokens one by one. `slots` counts the arrow functions' arguments."""

    def __init__(self, tokens: list[Token], source: str) -> None:
        self.tokens = tokens
        self.source = source
        self.at: int = 0
        self.depth = 0
        self.nodes: int = 0
        self.slots: int = 0
        self.locals: dict[str, int] = {}

    def fail(self, message: str, at: int, code: str = "expression_syntax") -> ExpressionError:
        """An error at an offset of the source."""
        return ExpressionError(code, message, at, self.source)

    @property
    def now(self) -> Token:
        """The token that is read next."""
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        """The token behind it."""
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Read a token."""
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def sees(self, mark: str) -> bool:
        """Whether the next token is this mark."""
        return self.now.kind == "mark" and self.now.value == mark

    def accept(self, mark: str) -> bool:
        """Read the mark if it is next."""
        if self.sees(mark):
            self.at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        """Read the mark, or refuse."""
        if not self.accept(mark):
            raise self.fail(f"'{mark}' is missing here{self.instead()}.", self.now.at)

    def instead(self) -> str:
        """What stands in the place of what was expected."""
        if self.now.kind == "end":
            return ": the expression ends too early"
        return f", before '{self.now.value}'" if self.now.kind in ("mark", "name") else ""

    def enter(self) -> None:
        """Count one step of recursion."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise self.fail(
                "The expression is nested too deep: split it.", self.now.at, "expression_size"
            )

    def count(self) -> int:
        """Count a node; gives its offset."""
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise self.fail(
                "The expression has too many parts: split it.", self.now.at, "expression_size"
            )
        return self.now.at
