"""Regular expressions in time linear in the text: threads over a small program, no backtracking.

What needs more is refused when it is compiled: back-references and look-around. Characters
are whole characters, as with JavaScript's flag `u`. A group inside a repetition keeps what
it matched last. (The method: Thompson 1968; with captures, Pike's `sam`.)
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from .errors import ExpressionError
from .limits import Frame
from .regex_parser import (
    BEGIN,
    BOUNDARY,
    CHAR,
    END,
    JUMP,
    MATCH,
    NOT_BOUNDARY,
    SAVE,
    SPLIT,
    Program,
    parse_pattern,
)

_STEP_COST: Final = 4
"""Units of fuel for each thread at each character, and for each instruction followed."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled regular expression."""

    source: str
    flags: str
    program: Program

    @property
    def everywhere(self) -> bool:
        """Whether it has the flag `g`."""
        return "g" in self.flags

    def search(self, f: Frame, text: str, start: int) -> list[int] | None:
        """The leftmost match from `start` on: begin and end of each group, -1 for none.

        Raises:
            ExpressionError: `expression_fuel`.
        """
        program = self.program
        if program.prefix:
            f.spend(1 + (len(text) - start >> 6))
            start = text.find(program.prefix, start)
            if start < 0:
                return None
        return _Search(f, program, text).run(start)


class _Search:
    """One search: the threads, each a place in the program with its captures."""

    def __init__(self, f: Frame, program: Program, text: str) -> None:
        self.f = f
        self.program = program
        self.text = text
        self.seen: list[int] = [-1] * len(program.code)

    def run(self, start: int) -> list[int] | None:
        """Move all threads along the text, the preferred ones first."""
        code, text, f = self.program.code, self.text, self.f
        blank = (-1,) * self.program.saves
        found: tuple[int, ...] | None = None
        threads: list[tuple[int, tuple[int, ...]]] = []
        f.hold(8 * len(code))
        for at in range(start, len(text) + 1):
            if found is None and not threads and self.cannot_begin(at):
                f.spend(1)
                continue
            if found is None:
                self.follow(threads, 0, blank, at)
            if not threads:
                if found is None:
                    continue
                break
            f.spend(_STEP_COST * len(threads))
            following: list[tuple[int, tuple[int, ...]]] = []
            for place, captures in threads:
                instruction = code[place]
                if instruction[0] == MATCH:
                    found = captures
                    break
                if at < len(text) and instruction[1].holds(text[at]):
                    self.follow(following, place + 1, captures, at + 1)
            threads = following
        return None if found is None else list(found)

    def cannot_begin(self, at: int) -> bool:
        """Whether no match can begin with the character at an offset."""
        first = self.program.first
        return bool(first) and (
            at == len(self.text) or not any(each.holds(self.text[at]) for each in first)
        )

    def follow(
        self,
        threads: list[tuple[int, tuple[int, ...]]],
        place: int,
        captures: tuple[int, ...],
        at: int,
    ) -> None:
        """Add the threads that a place leads to without reading a character."""
        code, seen = self.program.code, self.seen
        pending = [(place, captures)]
        while pending:
            place, captures = pending.pop()
            if seen[place] == at:
                continue
            seen[place] = at
            self.f.spend(_STEP_COST)
            instruction = code[place]
            kind = instruction[0]
            if kind == JUMP:
                pending.append((instruction[1], captures))
            elif kind == SPLIT:
                pending.append((instruction[2], captures))
                pending.append((instruction[1], captures))
            elif kind == SAVE:
                slot = instruction[1]
                changed = (*captures[:slot], at, *captures[slot + 1 :])
                pending.append((place + 1, changed))
            elif kind in (CHAR, MATCH):
                threads.append((place, captures))
            elif self.holds(kind, at):
                pending.append((place + 1, captures))

    def holds(self, kind: int, at: int) -> bool:
        """Whether an assertion holds before the character `at`."""
        text = self.text
        if kind == BEGIN:
            return at == 0 or (self.program.lines and text[at - 1] in "\n\r\u2028\u2029")
        if kind == END:
            return at == len(text) or (self.program.lines and text[at] in "\n\r\u2028\u2029")
        before = at > 0 and _is_word(text[at - 1])
        after = at < len(text) and _is_word(text[at])
        assert kind in (BOUNDARY, NOT_BOUNDARY)
        return (before != after) is (kind == BOUNDARY)


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


@lru_cache(maxsize=256)
def compile_regex(source: str, flags: str) -> Regex:
    """Compile a pattern.

    Raises:
        ExpressionError: `expression_syntax` when the pattern or a flag is refused, with the
            position in the pattern.
    """
    for flag in flags:
        if flag not in "gimsu" or flags.count(flag) > 1:
            raise ExpressionError(
                "expression_syntax", f"The flag '{flag}' is not known: use g, i, m, s and u.", 0
            )
    return Regex(source, flags, parse_pattern(source, flags))
