"""Regular expressions in time linear in the text, by RE2.

JavaScript's pattern is parsed by us and written anew for RE2, whose syntax and whose flags mean
other things in places. What RE2 cannot do, or does otherwise, is refused: look-around and
back-references when it is compiled, groups that JavaScript would clear in each round of a
repetition when they are read. Characters are whole characters, as with the flag u.

RE2 works on bytes, so a text that is searched is a `Subject`: offsets count bytes of UTF-8.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import re2

from .errors import ExpressionError
from .limits import Frame
from .regex_cost import Cost, cost_of
from .regex_simple import Simple, simple
from .regex_syntax import PatternParser
from .regex_written import Writer, can_be_empty

_MEMORY: Final = 4 * 1024 * 1024
"""Bytes that RE2 may keep for one pattern."""
_SEARCH_COST: Final = 35
"""Units for one search, besides the text it reads."""
_NEXT_COST: Final = 20
"""Units for one of many searches in the same text."""
_READ_SHIFT: Final = 5
"""32 bytes in a unit, where each state is made once."""
_STATES_SHIFT: Final = 4
"""16 instructions for each byte in a unit, where each byte may make a state."""


class Subject:
    """A text that is searched: its bytes, and pieces of it."""

    __slots__ = ("counted", "data", "f", "plain", "searched", "text")

    def __init__(self, f: Frame, text: str) -> None:
        self.f = f
        self.text = text
        self.plain = text.isascii()
        f.spend(1 + (len(text) >> 6))
        f.hold(len(text) if self.plain else 3 * len(text))
        self.data = text.encode("utf-8", "surrogatepass")
        self.searched = self.data
        self.counted = (0, 0)

    def piece(self, low: int, high: int) -> str:
        """The text between two offsets; what it takes is paid for."""
        self.f.text(high - low, self.plain)
        if self.plain:
            return self.text[low:high]
        return self.data[low:high].decode("utf-8", "surrogatepass")

    def behind(self, offset: int) -> int:
        """The offset of the next character."""
        data, offset = self.data, offset + 1
        while offset < len(data) and data[offset] & 0xC0 == 0x80:
            offset += 1
        return offset

    def units(self, offset: int) -> int:
        """An offset in UTF-16 units."""
        if self.plain:
            return offset
        known, units = self.counted
        if offset < known:
            known = units = 0
        self.f.spend(2 + (offset - known >> 6))
        between = self.data[known:offset].decode("utf-8", "surrogatepass")
        units += len(between.encode("utf-16-le", "surrogatepass")) // 2
        self.counted = (offset, units)
        return units


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled regular expression.

    `unlike` says what is wrong with reading its groups, '' if nothing is; `marks_lines` tells
    that `^` or `$` stand for the ends of lines, `tells_ends` that it tells a
    carriage return from a line feed.
    """

    source: str
    flags: str
    engine: "re2.Compiled"
    names: dict[str, int]
    cost: Cost
    unlike: str
    marks_lines: bool
    tells_ends: bool
    size: int
    groups: int
    can_be_empty: bool
    simple: Simple | None

    @property
    def everywhere(self) -> bool:
        """Whether it has the flag `g`."""
        return "g" in self.flags

    def subject(self, f: Frame, text: str) -> Subject:
        """A text to be searched.

        Raises:
            ExpressionError: `expression_type` for a text whose lines cannot be told.
        """
        subject = Subject(f, text)
        if self.marks_lines and "\r" in text:
            if self.tells_ends:
                raise ExpressionError(
                    "expression_type",
                    "The text has \\r in it, which ends a line for ^ and $ of the flag m: "
                    "replace it before, with .replaceAll('\\r\\n', '\\n').",
                )
            f.hold(len(subject.data))
            subject.searched = subject.data.replace(b"\r", b"\n")
        return subject

    def search(self, subject: Subject, start: int) -> list[tuple[int, int]] | None:
        """The leftmost match from `start` on: begin and end of each group, (-1, -1) for none.

        Raises:
            ExpressionError: `expression_fuel`.
        """
        self.pay(subject, _SEARCH_COST, start)
        return self.told(subject, self.engine.search(subject.searched, start), start)

    def matches(self, subject: Subject) -> Iterator[list[tuple[int, int]]]:
        """All matches from left to right, as `search` gives them.

        Raises:
            ExpressionError: `expression_fuel`.
        """
        length, at = len(subject.data), 0
        if not self.can_be_empty:
            self.pay(subject, _NEXT_COST, 0)
            for match in self.engine.finditer(subject.searched):
                spans = self.told(subject, match, at)
                assert spans is not None
                yield spans
                at = spans[0][1]
                self.pay(subject, _NEXT_COST, at)
            self.told(subject, None, at)
            return
        while at <= length and (found := self.search(subject, at)) is not None:
            yield found
            low, high = found[0]
            at = high if high > low else subject.behind(high)

    def pay(self, subject: Subject, units: int, start: int) -> None:
        """Pay for a search from `start` on, as far as its cost is known before."""
        dear = self.cost.reads_on or not self.cost.few_states
        subject.f.spend(units + (self.reading(len(subject.data) - start) if dear else 0))

    def told(
        self, subject: Subject, match: "re2.Found | None", start: int
    ) -> list[tuple[int, int]] | None:
        """The spans of what was found; what is known only now is paid for."""
        f = subject.f
        dear = self.cost.reads_on or not self.cost.few_states
        if match is None:
            f.spend(0 if dear else self.reading(len(subject.data) - start))
            return None
        low, high = match.span()
        f.spend(0 if dear else self.reading(high - start))
        if not self.groups:
            return [(low, high)]
        f.spend((high - low) * self.size >> _STATES_SHIFT)
        return [match.span(group) for group in range(self.groups + 1)]

    def reading(self, length: int) -> int:
        """Units for reading so many bytes."""
        if self.cost.few_states:
            return length >> _READ_SHIFT
        return length * self.size >> _STATES_SHIFT


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
    parser = PatternParser(source, flags)
    pattern = parser.whole()
    lines = "m" in flags
    writer = Writer(lines)
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        engine = re2.compile(writer.text(pattern).encode(), options)
    except re2.error:
        raise ExpressionError(
            "expression_syntax", "The pattern is too large: use smaller counts.", 0
        ) from None
    return Regex(
        source,
        flags,
        engine,
        parser.names,
        cost_of(pattern, lines),
        writer.unlike,
        lines and writer.marks,
        writer.tells_ends,
        engine.programsize,
        engine.groups,
        can_be_empty(pattern),
        simple(pattern),
    )
