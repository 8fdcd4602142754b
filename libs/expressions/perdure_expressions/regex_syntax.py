"""From a pattern as JavaScript writes it to a tree. What is refused is refused here."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from .errors import ExpressionError
from .regex_characters import CLASSES, EVERY, LAST, NOT_LINE_ENDS, Ranges, folded, inverted, merged

GROUP_DEPTH_MAX: Final = 30
GROUPS_MAX: Final = 50
SIZE_MAX: Final = 1_000
"""Characters and marks of one pattern; a counted repetition counts as written out."""
_CONTROLS: Final = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_QUANTIFIERS: Final = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}
BEGIN, END, BOUNDARY, NOT_BOUNDARY = "^", "$", "b", "B"


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between characters: `^`, `$`, `b` or `B`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts behind each other."""

    parts: tuple["Pattern", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The first branch that leads to a match."""

    branches: tuple["Pattern", ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A part whose text is kept."""

    body: "Pattern"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part so many times; `high` is -1 for without end."""

    body: "Pattern"
    low: int
    high: int
    lazy: bool


Pattern: TypeAlias = Chars | Mark | Sequence | Choice | Group | Repeat


class PatternParser:
    """Recursive descent over one pattern."""

    def __init__(self, source: str, flags: str) -> None:
        self.source = source
        self.flags = flags
        self.at = 0
        self.depth = 0
        self.groups = 0
        self.names: dict[str, int] = {}

    def fail(self, message: str) -> ExpressionError:
        """A refusal at the current place."""
        return ExpressionError("expression_syntax", message, self.at)

    def sees(self, text: str) -> bool:
        """Whether the pattern goes on with a text."""
        return self.source.startswith(text, self.at)

    def accept(self, text: str) -> bool:
        """Read a text if it is next."""
        if self.sees(text):
            self.at += len(text)
            return True
        return False

    def whole(self) -> Pattern:
        """The pattern, and nothing behind it."""
        body, _size = self.alternatives()
        if self.at < len(self.source):
            raise self.fail("')' closes nothing in the pattern: write \\).")
        return body

    def checked(self, size: int) -> int:
        """Refuse patterns that are too large."""
        if size > SIZE_MAX:
            raise self.fail("The pattern is too large: use smaller counts.")
        return size

    def alternatives(self) -> tuple[Pattern, int]:
        """`a|b`, with its size."""
        self.depth += 1
        if self.depth > GROUP_DEPTH_MAX:
            raise self.fail("The pattern's groups are nested too deep.")
        branches = [self.sequence()]
        while self.accept("|"):
            branches.append(self.sequence())
        self.depth -= 1
        size = self.checked(sum(size for _, size in branches) + len(branches) - 1)
        if len(branches) == 1:
            return branches[0]
        return Choice(tuple(branch for branch, _ in branches)), size

    def sequence(self) -> tuple[Pattern, int]:
        """Pieces behind each other."""
        parts: list[Pattern] = []
        total = 0
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            part, size = self.quantified()
            parts.append(part)
            total = self.checked(total + size)
        return (parts[0] if len(parts) == 1 else Sequence(tuple(parts))), total

    def quantified(self) -> tuple[Pattern, int]:
        """A piece with `*`, `+`, `?` or `{n,m}` behind it."""
        piece, size = self.piece()
        count = self.quantifier()
        if count is None:
            return piece, size
        if isinstance(piece, Mark):
            raise self.fail("Nothing can be repeated before this quantifier.")
        low, high = count
        lazy = self.accept("?")
        if self.quantifier() is not None:
            raise self.fail("A quantifier cannot be repeated: put the piece in (?:…).")
        return Repeat(piece, low, high, lazy), self.checked(max(low, high, 1) * size + 1)

    def quantifier(self) -> tuple[int, int] | None:
        """How often; -1 for without end."""
        char = self.source[self.at : self.at + 1]
        if char in _QUANTIFIERS:
            self.at += 1
            return _QUANTIFIERS[char]
        end = self.source.find("}", self.at, self.at + 12)
        if char != "{" or end < 0:
            return None
        low, comma, high = self.source[self.at + 1 : end].partition(",")
        if not (low.isdecimal() and (low + high).isascii() and (high == "" or high.isdecimal())):
            return None
        self.at = end + 1
        first = int(low)
        last = (int(high) if high else -1) if comma else first
        if 0 <= last < first:
            raise self.fail("The counts of the quantifier are in the wrong order.")
        return self.checked(first), self.checked(last)

    def piece(self) -> tuple[Pattern, int]:
        """A character, a class, a group or a mark, with its size."""
        char = self.source[self.at]
        self.at += 1
        if char == "(":
            return self.group()
        if char == "[":
            return self.characters(), 1
        if char == ".":
            return Chars(EVERY if "s" in self.flags else NOT_LINE_ENDS), 1
        if char in "^$":
            return Mark(char), 1
        if char in "*+?":
            raise self.fail(f"Nothing stands before '{char}' that could be repeated.")
        if char == "\\":
            for kind in (BOUNDARY, NOT_BOUNDARY):
                if self.accept(kind):
                    return Mark(kind), 1
            return self.one(self.escape()), 1
        return self.one(((ord(char), ord(char)),)), 1

    def one(self, ranges: Ranges) -> Chars:
        """One character of a set, in either case with the flag i."""
        return Chars(folded(ranges, "u" in self.flags) if "i" in self.flags else ranges)

    def group(self) -> tuple[Pattern, int]:
        """What stands in parentheses."""
        capturing = not self.accept("?:")
        if capturing:
            self.groups += 1
            if self.groups > GROUPS_MAX:
                raise self.fail("The pattern has too many groups: use (?:…).")
            if self.sees("?"):
                self.name()
        body, size = self.alternatives()
        if not self.accept(")"):
            raise self.fail("'(' is never closed in the pattern: add ')'.")
        return (Group(body) if capturing else body), size + capturing

    def name(self) -> None:
        """`?<name>` at the beginning of a group."""
        end = self.source.find(">", self.at)
        name = self.source[self.at + 2 : end] if self.sees("?<") and end > 0 else ""
        if not name.isidentifier() or not name.isascii() or name in self.names:
            raise self.fail("Look-around is not supported: match more, and use a group.")
        self.names[name] = self.groups
        self.at = end + 1

    def escape(self) -> Ranges:
        """What stands behind a backslash."""
        char = self.source[self.at : self.at + 1]
        self.at += 1
        if char in CLASSES:
            return CLASSES[char]
        if char == "0" and self.source[self.at : self.at + 1].isdecimal():
            raise self.fail("Octal escapes are not in the language: write \\xNN.")
        if char in _CONTROLS:
            code = _CONTROLS[char]
        elif char and char in "xu":
            code = self.coded(char)
        elif char == "c" and self.source[self.at : self.at + 1].isalpha():
            code = ord(self.source[self.at]) % 32
            self.at += 1
        elif char == "" or char.isdecimal() or char in "kc":
            raise self.fail("Back-references are not supported in patterns.")
        elif char in "pP":
            raise self.fail("Classes of Unicode properties are not supported: list the ranges.")
        else:
            code = ord(char)
        return ((code, code),)

    def coded(self, char: str) -> int:
        """The character of a hexadecimal escape; a surrogate pair is one character."""
        code = self.hexadecimal(char)
        if 0xD800 <= code < 0xDC00 and self.sees("\\u"):
            before = self.at
            self.at += 2
            low = self.hexadecimal("u")
            if 0xDC00 <= low < 0xE000:
                return 0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00
            self.at = before
        return code

    def hexadecimal(self, char: str) -> int:
        """The number of a hexadecimal escape, behind its `x` or `u`."""
        length = 2 if char == "x" else 4
        digits, after = self.source[self.at : self.at + length], self.at + length
        if char == "u" and self.sees("{"):
            end = self.source.find("}", self.at, self.at + 9)
            digits, after = self.source[self.at + 1 : max(end, 0)], end + 1
            length = len(digits)
        plain = len(digits) == length and all(each in "0123456789abcdefABCDEF" for each in digits)
        if not digits or not plain or int(digits, 16) > LAST:
            raise self.fail("The escape is not complete: write \\xNN or \\uNNNN.")
        self.at = after
        return int(digits, 16)

    def characters(self) -> Chars:
        """What stands in square brackets."""
        negated = self.accept("^")
        ranges: list[tuple[int, int]] = []
        while not self.accept("]"):
            low = self.member()
            if self.sees("-") and not self.sees("-]"):
                self.at += 1
                high = self.member()
                if _single(low) and _single(high):
                    if low[0][0] > high[0][0]:
                        raise self.fail("The range in the class is in the wrong order.")
                    ranges.append((low[0][0], high[0][0]))
                    continue
                ranges += [*high, (45, 45)]
            ranges += low
        found = self.one(merged(ranges)).ranges
        return Chars(inverted(found) if negated else found)

    def member(self) -> Ranges:
        """One character or class inside square brackets."""
        if self.at >= len(self.source):
            raise self.fail("'[' is never closed in the pattern: add ']'.")
        char = self.source[self.at]
        self.at += 1
        if char != "\\":
            return ((ord(char), ord(char)),)
        if self.accept("b"):
            return ((8, 8),)
        if self.accept("-"):
            return ((45, 45),)
        return self.escape()


def _single(ranges: Ranges) -> bool:
    """Whether the ranges are one character."""
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]
