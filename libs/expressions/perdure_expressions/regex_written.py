"""A pattern's tree in RE2's syntax, and what RE2 would understand otherwise."""

from typing import Final

from .errors import ExpressionError
from .regex_characters import written
from .regex_syntax import (
    BEGIN,
    BOUNDARY,
    END,
    NOT_BOUNDARY,
    Chars,
    Choice,
    Group,
    Mark,
    Pattern,
    Repeat,
    Sequence,
)

_MARKS: Final = {BEGIN: "\\A", END: "\\z", BOUNDARY: "\\b", NOT_BOUNDARY: "\\B"}
_LINE_MARKS: Final = {BEGIN: "(?m:^)", END: "(?m:$)"}


class Writer:
    """Writes one pattern; afterwards its attributes tell what there is to know about it."""

    def __init__(self, lines: bool) -> None:
        self.lines = lines
        self.marks = False
        self.tells_ends = False
        self.unlike = ""

    def text(self, pattern: Pattern, rounds: bool = False, sure: bool = True) -> str:
        """The pattern for RE2.

        `rounds` tells that it is repeated, `sure` that each round must go through it: JavaScript
        forgets a group that a round goes past, RE2 does not.

        Raises:
            ExpressionError: `expression_syntax` for a repetition that RE2 reads otherwise.
        """
        if isinstance(pattern, Chars):
            held = [
                any(first <= code <= last for first, last in pattern.ranges) for code in (10, 13)
            ]
            self.tells_ends |= held[0] != held[1]
            return written(pattern.ranges)
        if isinstance(pattern, Mark):
            self.marks |= pattern.kind in (BEGIN, END)
            return _LINE_MARKS.get(pattern.kind if self.lines else "", _MARKS[pattern.kind])
        if isinstance(pattern, Sequence):
            return "".join(self.text(part, rounds, sure) for part in pattern.parts)
        if isinstance(pattern, Choice):
            branches = [self.text(branch, rounds, False) for branch in pattern.branches]
            return f"(?:{'|'.join(branches)})"
        if isinstance(pattern, Group):
            if rounds and not sure:
                self.unlike = "stands in a repetition that can go past it"
            return f"({self.text(pattern.body, rounds, sure)})"
        return self.repeat(pattern, rounds, sure)

    def repeat(self, pattern: Repeat, rounds: bool, sure: bool) -> str:
        """A repetition; what can be empty in it is the difficulty."""
        body, low, high = pattern.body, pattern.low, pattern.high
        if can_be_empty(body) and low != high:
            fuller = _nonempty(body) if (low, high, pattern.lazy) == (0, 1, False) else None
            if fuller is not None:
                body = fuller
            elif not _empty_last(body):
                raise ExpressionError(
                    "expression_syntax",
                    "A repetition may not prefer to match nothing: make what it repeats longer.",
                    0,
                )
            elif _has_groups(body):
                self.unlike = "stands in a repetition of what can be empty"
        again = rounds or high < 0 or high > 1
        inner = self.text(body, again, not rounds or (sure and low > 0))
        count = {(0, -1): "*", (1, -1): "+", (0, 1): "?"}.get((low, high))
        count = count or (f"{{{low},}}" if high < 0 else f"{{{low},{high}}}")
        return f"(?:{inner}){count}{'?' if pattern.lazy else ''}"


def can_be_empty(pattern: Pattern) -> bool:
    """Whether a pattern matches without a character."""
    if isinstance(pattern, Chars):
        return False
    if isinstance(pattern, Mark):
        return True
    if isinstance(pattern, Sequence):
        return all(map(can_be_empty, pattern.parts))
    if isinstance(pattern, Choice):
        return any(map(can_be_empty, pattern.branches))
    return (isinstance(pattern, Repeat) and pattern.low == 0) or can_be_empty(pattern.body)


def _empty_last(pattern: Pattern) -> bool:
    """Whether matching nothing is what a pattern tries last, if at all."""
    if not can_be_empty(pattern) or isinstance(pattern, Mark | Chars):
        return True
    if isinstance(pattern, Sequence):
        return all(map(_empty_last, pattern.parts))
    if isinstance(pattern, Choice):
        *others, last = pattern.branches
        return not any(map(can_be_empty, others)) and _empty_last(last)
    return not (isinstance(pattern, Repeat) and pattern.lazy) and _empty_last(pattern.body)


def _nonempty(pattern: Pattern) -> Pattern | None:
    """A pattern that matches the same but nothing, where that is easily said."""
    if isinstance(pattern, Group):
        body = _nonempty(pattern.body)
        return None if body is None else Group(body)
    if isinstance(pattern, Repeat) and not pattern.lazy and not can_be_empty(pattern.body):
        return Repeat(pattern.body, 1, pattern.high, False)
    return None


def _has_groups(pattern: Pattern) -> bool:
    """Whether anything in a pattern is kept."""
    if isinstance(pattern, Sequence):
        return any(map(_has_groups, pattern.parts))
    if isinstance(pattern, Choice):
        return any(map(_has_groups, pattern.branches))
    return isinstance(pattern, Group) or (isinstance(pattern, Repeat) and _has_groups(pattern.body))
