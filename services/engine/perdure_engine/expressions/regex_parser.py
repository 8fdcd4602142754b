"""From a pattern to the program that `regex` runs."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

from .errors import ExpressionError

CHAR, SPLIT, JUMP, SAVE, MATCH, BEGIN, END, BOUNDARY, NOT_BOUNDARY = range(9)
PROGRAM_MAX: Final = 1_000
"""Instructions of one pattern; a counted repetition is written out."""
GROUP_DEPTH_MAX: Final = 30
GROUPS_MAX: Final = 50

Instruction: TypeAlias = tuple[Any, ...]
Ranges: TypeAlias = tuple[tuple[int, int], ...]

_DIGIT: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final[Ranges] = (
    *((9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_LINE_ENDS: Final[Ranges] = ((10, 10), (13, 13), (0x2028, 0x2029))
_LAST: Final = 0x10FFFF
_CONTROLS: Final = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_QUANTIFIERS: Final = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}


def _inverted(ranges: Ranges) -> Ranges:
    """All other characters."""
    found: list[tuple[int, int]] = []
    low = 0
    for first, last in sorted(ranges):
        if first > low:
            found.append((low, first - 1))
        low = max(low, last + 1)
    if low <= _LAST:
        found.append((low, _LAST))
    return tuple(found)


_CLASSES: Final[dict[str, Ranges]] = {
    **{"d": _DIGIT, "w": _WORD, "s": _SPACE},
    **{"D": _inverted(_DIGIT), "W": _inverted(_WORD), "S": _inverted(_SPACE)},
}


class Characters:
    """A set of characters, with a table for the first 256."""

    __slots__ = ("folded", "ranges", "table")

    def __init__(self, ranges: Ranges, folded: bool) -> None:
        self.ranges = ranges
        self.folded = folded
        table = bytearray(256)
        for first, last in ranges:
            if first < 256:
                end = min(last, 255) + 1
                table[first:end] = b"\1" * (end - first)
        if folded:
            for code in range(65, 256):
                table[code] = table[code] or self.decide(chr(code))
        self.table = bytes(table)

    def holds(self, char: str) -> bool:
        """Whether a character is in the set."""
        code = ord(char)
        return bool(self.table[code]) if code < 256 else self.decide(char)

    def decide(self, char: str) -> bool:
        """As `holds`, by the ranges."""
        forms = {char, char.lower(), char.upper()} if self.folded else (char,)
        codes = [ord(form) for form in forms if len(form) == 1]
        return any(first <= code <= last for code in codes for first, last in self.ranges)


@lru_cache(maxsize=1_024)
def characters_of(ranges: Ranges, folded: bool) -> Characters:
    """A set of characters, made once."""
    return Characters(ranges, folded)


@dataclass
class Program:
    """Instructions, what they capture, and how a match begins.

    `prefix` is a text that every match begins with ('' if unknown), `first` the sets of which
    one holds its first character (empty if unknown, or if a match may be empty).
    """

    code: list[Instruction] = field(default_factory=list[Instruction])
    saves: int = 2
    names: dict[str, int] = field(default_factory=dict[str, int])
    lines: bool = False
    prefix: str = ""
    first: tuple["Characters", ...] = ()


def parse_pattern(source: str, flags: str) -> Program:
    """The program of a pattern.

    Raises:
        ExpressionError: `expression_syntax`, with the position in the pattern.
    """
    return _PatternParser(source, flags).whole()


class _PatternParser:
    """Recursive descent; each method gives the instructions of what it read, from 0."""

    def __init__(self, source: str, flags: str) -> None:
        self.source = source
        self.flags = flags
        self.at = 0
        self.depth = 0
        self.program = Program(lines="m" in flags)

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

    def whole(self) -> Program:
        """The pattern, and nothing behind it."""
        body = self.alternatives()
        if self.at < len(self.source):
            raise self.fail("')' closes nothing in the pattern: write \\).")
        self.program.code = [(SAVE, 0), *_moved(body, 1), (SAVE, 1), (MATCH,)]
        prefix: list[str] = []
        for instruction in body:
            if instruction[0] != CHAR or self.folded:
                break
            ranges: Ranges = instruction[1].ranges
            if len(ranges) != 1 or ranges[0][0] != ranges[0][1]:
                break
            prefix.append(chr(ranges[0][0]))
        self.program.prefix = "".join(prefix)
        self.program.first = _first(self.program.code)
        return self.program

    @property
    def folded(self) -> bool:
        """Whether letters match in either case."""
        return "i" in self.flags

    def checked(self, code: list[Instruction]) -> list[Instruction]:
        """Refuse programs that are too long."""
        if len(code) > PROGRAM_MAX:
            raise self.fail("The pattern is too large: use smaller counts.")
        return code

    def alternatives(self) -> list[Instruction]:
        """`a|b`."""
        self.depth += 1
        if self.depth > GROUP_DEPTH_MAX:
            raise self.fail("The pattern's groups are nested too deep.")
        branches = [self.sequence()]
        while self.accept("|"):
            branches.append(self.sequence())
        self.depth -= 1
        code = branches.pop()
        while branches:
            branch = branches.pop()
            after = len(branch) + 2
            code = self.checked(
                [
                    (SPLIT, 1, after),
                    *_moved(branch, 1),
                    (JUMP, after + len(code)),
                    *_moved(code, after),
                ]
            )
        return code

    def sequence(self) -> list[Instruction]:
        """Pieces behind each other."""
        code: list[Instruction] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            code += _moved(self.quantified(), len(code))
            self.checked(code)
        return code

    def quantified(self) -> list[Instruction]:
        """A piece with `*`, `+`, `?` or `{n,m}` behind it."""
        start = self.at
        piece = self.piece()
        count = self.quantifier()
        if count is None:
            return piece
        if self.source[start] in "^$" or self.source[start : start + 2] in ("\\b", "\\B"):
            raise self.fail("Nothing can be repeated before this quantifier.")
        low, high = count
        lazy = self.accept("?")
        if self.quantifier() is not None:
            raise self.fail("A quantifier cannot be repeated: put the piece in (?:…).")
        if max(low, high) * len(piece) > PROGRAM_MAX:
            raise self.fail("The pattern is too large: use smaller counts.")
        code: list[Instruction] = []
        for _ in range(low):
            code += _moved(piece, len(code))
        if high < 0:
            begin = len(code)
            loop = [*_moved(piece, 1), (JUMP, 0)]
            code += _moved([_split(1, len(loop) + 1, lazy), *loop], begin)
        else:
            size = len(piece) + 1
            end = len(code) + (high - low) * size
            for _ in range(high - low):
                here = len(code)
                code += [_split(here + 1, end, lazy), *_moved(piece, here + 1)]
        return self.checked(code)

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
        if not (low.isdecimal() and low.isascii() and (high == "" or high.isdecimal())):
            return None
        self.at = end + 1
        first = int(low)
        last = (int(high) if high else -1) if comma else first
        if 0 <= last < first:
            raise self.fail("The counts of the quantifier are in the wrong order.")
        return first, last

    def piece(self) -> list[Instruction]:
        """A character, a class, a group or an assertion."""
        char = self.source[self.at]
        self.at += 1
        if char == "(":
            return self.group()
        if char == "[":
            return [(CHAR, self.characters())]
        if char == ".":
            every: Ranges = ((0, _LAST),)
            return [self.one(every if "s" in self.flags else _inverted(_LINE_ENDS))]
        if char in "^$":
            return [(BEGIN if char == "^" else END,)]
        if char in "*+?":
            raise self.fail(f"Nothing stands before '{char}' that could be repeated.")
        if char == "\\":
            if self.accept("b"):
                return [(BOUNDARY,)]
            if self.accept("B"):
                return [(NOT_BOUNDARY,)]
            return [self.one(self.escape())]
        return [self.one(((ord(char), ord(char)),))]

    def one(self, ranges: Ranges) -> Instruction:
        """The instruction that reads one character."""
        return (CHAR, characters_of(ranges, self.folded))

    def group(self) -> list[Instruction]:
        """What stands in parentheses."""
        name = ""
        capturing = not self.accept("?:")
        if capturing and self.sees("?"):
            end = self.source.find(">", self.at)
            name = self.source[self.at + 2 : end] if self.sees("?<") and end > 0 else ""
            if not name.isidentifier() or not name.isascii() or name in self.program.names:
                raise self.fail("Look-around is not supported: match more, and use a group.")
            self.at = end + 1
        slot = self.program.saves
        if capturing:
            self.program.saves += 2
            if slot > 2 * GROUPS_MAX:
                raise self.fail("The pattern has too many groups: use (?:…).")
            if name:
                self.program.names[name] = slot // 2
        body = self.alternatives()
        if not self.accept(")"):
            raise self.fail("'(' is never closed in the pattern: add ')'.")
        return [(SAVE, slot), *_moved(body, 1), (SAVE, slot + 1)] if capturing else body

    def escape(self) -> Ranges:
        """What stands behind a backslash."""
        char = self.source[self.at : self.at + 1]
        self.at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            code = _CONTROLS[char]
        elif char and char in "xu":
            code = self.coded(char)
        elif char == "" or char.isdecimal() or char == "k":
            raise self.fail("Back-references are not supported in patterns.")
        elif char in "pP":
            raise self.fail("Classes of Unicode properties are not supported: list the ranges.")
        else:
            code = ord(char)
        return ((code, code),)

    def coded(self, char: str) -> int:
        """The character of a hexadecimal escape."""
        length = 2 if char == "x" else 4
        digits, after = self.source[self.at : self.at + length], self.at + length
        if char == "u" and self.sees("{"):
            end = self.source.find("}", self.at, self.at + 9)
            digits, after = self.source[self.at + 1 : max(end, 0)], end + 1
            length = len(digits)
        plain = len(digits) == length and all(each in "0123456789abcdefABCDEF" for each in digits)
        if not digits or not plain or int(digits, 16) > _LAST:
            raise self.fail("The escape is not complete: write \\xNN or \\uNNNN.")
        self.at = after
        return int(digits, 16)

    def characters(self) -> Characters:
        """What stands in square brackets."""
        inverted = self.accept("^")
        ranges: list[tuple[int, int]] = []
        while not self.accept("]"):
            low = self.member()
            if self.sees("-") and not self.sees("-]"):
                self.at += 1
                high = self.member()
                first, last = _only(low), _only(high)
                if first is not None and last is not None:
                    if first > last:
                        raise self.fail("The range in the class is in the wrong order.")
                    ranges.append((first, last))
                    continue
                ranges += [*high, (45, 45)]
            ranges += low
        made = characters_of(tuple(ranges), self.folded)
        if not inverted:
            return made
        if self.folded:
            ranges += [
                (ord(form), ord(form))
                for low, high in ranges
                for code in range(low, min(high, low + 1_000) + 1)
                for form in (chr(code).lower(), chr(code).upper())
                if len(form) == 1
            ]
        return characters_of(_inverted(tuple(ranges)), False)

    def member(self) -> Ranges:
        """One character or class inside square brackets."""
        if self.at >= len(self.source):
            raise self.fail("'[' is never closed in the pattern: add ']'.")
        char = self.source[self.at]
        self.at += 1
        if char != "\\":
            return ((ord(char), ord(char)),)
        return ((8, 8),) if self.accept("b") else self.escape()


def _first(code: list[Instruction]) -> tuple[Characters, ...]:
    """The sets that a match can begin with; none where an assertion or the end may come first."""
    found: list[Characters] = []
    pending, seen = [0], set[int]()
    while pending:
        place = pending.pop()
        if place in seen:
            continue
        seen.add(place)
        instruction = code[place]
        kind = instruction[0]
        if kind == CHAR:
            found.append(instruction[1])
        elif kind == SAVE:
            pending.append(place + 1)
        elif kind in (SPLIT, JUMP):
            pending.extend(instruction[1:])
        else:
            return ()
        if len(found) > 4:
            return ()
    return tuple(found)


def _only(ranges: Ranges) -> int | None:
    """The character, if the ranges are just one."""
    return ranges[0][0] if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else None


def _split(inside: int, behind: int, lazy: bool) -> Instruction:
    """Try one more, or go on: greedy tries first."""
    return (SPLIT, behind, inside) if lazy else (SPLIT, inside, behind)


def _moved(code: list[Instruction], by: int) -> list[Instruction]:
    """The instructions with their targets moved."""
    if not by:
        return list(code)
    return [
        (each[0], *(target + by for target in each[1:])) if each[0] in (SPLIT, JUMP) else each
        for each in code
    ]
