"""What searching with a pattern costs at most, found out once when it is compiled.

RE2 is linear in what it reads, with two reservations that a limit on work has to know. It keeps
the sets of places where a match may stand (states of a DFA) once it has made them; a pattern
with too many of them makes new ones at each character. And behind a match it may read on, in
the hope of a better one: `/a.*b|a/g` reads to the end of the line for each `a`. Both are found
by making the states ourselves, as far as that goes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

from .regex_characters import CLASSES, LAST, Ranges
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

WORK_MAX: Final = 6_000
"""Steps that are spent on one pattern; one that needs more counts as having too many states."""
_CHAR, _SPLIT, _JUMP, _MARK, _MATCH = range(5)

Instruction: TypeAlias = tuple[int, int, int]
Holding: TypeAlias = tuple[bool, bool, bool]
"""Whether `^`, `$` and `\\b` hold at a place."""
Expected: TypeAlias = tuple[bool | None, bool | None]
"""Whether the next character ends a line, and whether it belongs to a word; None: either."""
State: TypeAlias = tuple[tuple[int, ...], bool, bool, Expected]
"""Places in order of preference, whether a match may still begin, whether one was found."""
_LINE_END: Final[Ranges] = ((10, 10),)


@dataclass(frozen=True, slots=True)
class Cost:
    """`few_states`: each state is made once. `reads_on`: without bound, behind a match."""

    few_states: bool
    reads_on: bool


class _TooMuch(Exception):
    """The work that may be spent on a pattern is used up."""


def cost_of(pattern: Pattern, lines: bool) -> Cost:
    """What a pattern costs; `lines` tells whether it has the flag m."""
    try:
        forward = _Machine(pattern, lines, backwards=False)
        reads_on = forward.reads_on()
        _Machine(pattern, lines, backwards=True).states_backwards()
    except _TooMuch:
        return Cost(few_states=False, reads_on=True)
    return Cost(few_states=True, reads_on=reads_on)


class _Machine:
    """The program of a pattern, and the states that it can be in."""

    def __init__(self, pattern: Pattern, lines: bool, backwards: bool) -> None:
        self.backwards = backwards
        self.code: list[Instruction] = []
        self.sets: list[Ranges] = []
        self.kinds: set[str] = set()
        self.work = 0
        self.emit(pattern)
        self.code.append((_MATCH, 0, 0))
        self.lines = lines and bool(self.kinds & {BEGIN, END})
        self.words = bool(self.kinds & {BOUNDARY, NOT_BOUNDARY})
        sets = (*self.sets, *([_LINE_END] if self.lines else []))
        self.line_end = 1 << len(self.sets) if self.lines else 0
        self.word = 1 << len(sets) if self.words else 0
        self.letters = _letters([*sets, *([CLASSES["w"]] if self.words else [])])
        both = (False, True)
        self.holdings: list[Holding] = list(
            product(
                both if self.lines else (False,),
                both if self.lines else (False,),
                both if self.words else (False,),
            )
        )

    def pay(self, steps: int) -> None:
        """Count work."""
        self.work += steps
        if self.work > WORK_MAX:
            raise _TooMuch

    def emit(self, pattern: Pattern) -> None:
        """Append the instructions of a pattern."""
        code = self.code
        self.pay(1)
        if isinstance(pattern, Chars):
            if pattern.ranges not in self.sets:
                self.sets.append(pattern.ranges)
            code.append((_CHAR, self.sets.index(pattern.ranges), 0))
        elif isinstance(pattern, Mark):
            self.kinds.add(pattern.kind)
            code.append((_MARK, ord(pattern.kind), 0))
        elif isinstance(pattern, Group):
            self.emit(pattern.body)
        elif isinstance(pattern, Sequence):
            for part in reversed(pattern.parts) if self.backwards else pattern.parts:
                self.emit(part)
        elif isinstance(pattern, Choice):
            self.choice(pattern)
        else:
            self.repeat(pattern)

    def choice(self, pattern: Choice) -> None:
        """Branches, the first preferred."""
        code = self.code
        ends: list[int] = []
        for branch in pattern.branches[:-1]:
            split = len(code)
            code.append((_SPLIT, split + 1, 0))
            self.emit(branch)
            ends.append(len(code))
            code.append((_JUMP, 0, 0))
            code[split] = (_SPLIT, split + 1, len(code))
        self.emit(pattern.branches[-1])
        for end in ends:
            code[end] = (_JUMP, len(code), 0)

    def repeat(self, pattern: Repeat) -> None:
        """The body written out, and a loop where there is no end."""
        code = self.code
        for _ in range(pattern.low):
            self.emit(pattern.body)
        splits: list[int] = []
        for _ in range(1 if pattern.high < 0 else pattern.high - pattern.low):
            splits.append(len(code))
            code.append((_SPLIT, 0, 0))
            self.emit(pattern.body)
        if pattern.high < 0:
            code.append((_JUMP, splits[0], 0))
        for split in splits:
            on, out = split + 1, len(code)
            code[split] = (_SPLIT, out, on) if pattern.lazy else (_SPLIT, on, out)

    def follow(self, starts: Iterator[int], holding: Holding) -> tuple[tuple[int, ...], bool]:
        """The characters' places behind some places, in order, and whether a match is among them.

        What comes behind the match is left out.
        """
        code, seen = self.code, set[int]()
        places: list[int] = []
        for start in starts:
            pending = [start]
            while pending:
                place = pending.pop()
                if place in seen:
                    continue
                seen.add(place)
                self.pay(1)
                kind, first, second = code[place]
                if kind == _CHAR:
                    places.append(place)
                elif kind == _MATCH:
                    if not self.backwards:
                        return tuple(places), True
                elif kind == _SPLIT:
                    pending += (second, first)
                elif kind == _JUMP:
                    pending.append(first)
                elif _holds(chr(first), holding):
                    pending.append(place + 1)
        return tuple(places), False

    def expected(self, holding: Holding, word: bool) -> Expected:
        """What must come next where a mark holds or not; `word` is about what came before."""
        _begin, end, boundary = holding
        return end if self.lines else None, word is not boundary if self.words else None

    def begins(self) -> set[State]:
        """The states before the first character, wherever the search begins."""
        found: set[State] = set()
        for _, end, boundary in self.holdings:
            for begin, word in product((False, True), (False, True)):
                holding = (begin, end, boundary)
                places, matched = self.follow(iter([0]), holding)
                found.add((places, not matched, matched, self.expected(holding, word)))
        return found

    def fits(self, state: State, letter: int, holding: Holding) -> bool:
        """Whether a character can come in a state, and the marks hold like that behind it."""
        ends, word = state[3]
        ends_line, in_word = bool(letter & self.line_end), bool(letter & self.word)
        behind = holding[0] == ends_line if self.lines else True
        return behind and ends in (None, ends_line) and word in (None, in_word)

    def step(self, state: State, letter: int, holding: Holding) -> tuple[State, bool]:
        """The state behind a character, and whether it was a match."""
        places, open_, matched, _ = state
        self.pay(len(places) + 1)
        moved = (place + 1 for place in places if letter >> self.code[place][1] & 1)
        starts = (*moved, 0) if open_ else tuple(moved)
        after, found = self.follow(iter(starts), holding)
        expected = self.expected(holding, bool(letter & self.word))
        return (after, open_ and not found, matched or found, expected), found

    def reads_on(self) -> bool:
        """Whether anything is read without bound behind a match."""
        seen = self.begins()
        pending = list(seen)
        silent: dict[State, set[State]] = {}
        while pending:
            state = pending.pop()
            for letter in self.letters:
                for holding in self.holdings:
                    if not self.fits(state, letter, holding):
                        continue
                    after, found = self.step(state, letter, holding)
                    if state[2] and not found and after[0]:
                        silent.setdefault(state, set()).add(after)
                    if after not in seen and (after[0] or after[1]):
                        seen.add(after)
                        pending.append(after)
        return _has_cycle(silent)

    def states_backwards(self) -> None:
        """Make all states of the search for a match's beginning."""
        starts = {self.follow(iter([0]), holding)[0] for holding in self.holdings}
        pending = [frozenset(places) for places in starts]
        seen = set(pending)
        while pending:
            places = pending.pop()
            for letter in self.letters:
                moved = [place + 1 for place in places if letter >> self.code[place][1] & 1]
                for holding in self.holdings:
                    after = frozenset(self.follow(iter(moved), holding)[0])
                    if after not in seen:
                        seen.add(after)
                        pending.append(after)


def _holds(kind: str, holding: Holding) -> bool:
    """Whether a mark holds."""
    begin, end, boundary = holding
    if kind == BEGIN:
        return begin
    if kind == END:
        return end
    return boundary is (kind == BOUNDARY)


def _letters(sets: list[Ranges]) -> list[int]:
    """The kinds of characters that the sets tell apart, each as a mask of the sets it is in."""
    pairs = (pair for ranges in sets for pair in ranges)
    edges = sorted({edge for first, last in pairs for edge in (first, last + 1)})
    found: dict[int, None] = {}
    for edge in [0, *(edge for edge in edges if edge <= LAST)]:
        mask = 0
        for place, ranges in enumerate(sets):
            if any(first <= edge <= last for first, last in ranges):
                mask |= 1 << place
        found[mask] = None
    return list(found)


def _has_cycle(edges: dict[State, set[State]]) -> bool:
    """Whether one can go round."""
    done: set[State] = set()
    for start in edges:
        path: dict[State, Iterator[State]] = {} if start in done else {start: iter(edges[start])}
        while path:
            state = next(reversed(path))
            after = next(path[state], None)
            if after is None:
                del path[state]
                done.add(state)
            elif after in path:
                return True
            elif after not in done:
                path[after] = iter(edges.get(after, ()))
    return False
