"""What an expression says when it is wrong: one exception, typed, with a place to point at."""

from collections.abc import Iterable
from difflib import get_close_matches


class ExpressionError(Exception):
    """An expression was refused, or failed while it was evaluated.

    Codes when compiling: `expression_syntax` (not in the language), `expression_unknown`
    (a name or method that does not exist), `expression_size` (source, nodes or nesting
    over the limit). Codes when evaluating: `expression_type` (a value of the wrong type),
    `expression_range` (an argument out of range), `expression_fuel` (too much work),
    `expression_output` (too much memory, or a result that cannot leave),
    `expression_depth` (data nested too deep), `not_a_number` (NaN or Infinity as a result).

    Attributes:
        code: snake_case, for programs.
        message: a sentence that says what is wrong and what to do.
        position: offset of the offending character in `source`, None when unknown.
        source: the expression, without braces; of a template the whole text.
        path: where in a structure of parameters it stands, such as `values.total`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        position: int | None = None,
        source: str | None = None,
        path: str = "",
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.position = position
        self.source = source
        self.path = path

    def __str__(self) -> str:
        """The message, with where it stands."""
        where = f"{self.path}: " if self.path else ""
        place = "" if self.position is None else f" (at character {self.position + 1})"
        return f"{where}{self.message}{place}"

    def caret(self) -> str:
        """The offending line with a caret below it; empty when the place is not known."""
        if self.source is None or self.position is None:
            return ""
        start = self.source.rfind("\n", 0, self.position) + 1
        end = self.source.find("\n", self.position)
        line = self.source[start : len(self.source) if end < 0 else end]
        column = self.position - start
        left = max(0, column - 60)
        return f"{line[left : column + 40]}\n{' ' * (column - left)}^"


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that names the nearest known word, such as ` Did you mean 'map'?`, or ''."""
    by_lower = {word.lower(): word for word in known}
    close = get_close_matches(name[:64].lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
