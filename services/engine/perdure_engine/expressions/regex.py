"""Regular expressions in linear time."""

from dataclasses import dataclass

from .errors import ExpressionError


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled regular expression."""

    source: str
    flags: str


def compile_regex(source: str, flags: str) -> Regex:
    """Compile a pattern.

    Raises:
        ExpressionError: `expression_syntax` when the pattern is refused.
    """
    raise ExpressionError(
        "expression_syntax", "Regular expressions are not supported: use includes or split."
    )
