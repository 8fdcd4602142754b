r"""Patterns that Python's own engine runs in linear time, and many matches of them at once.

RE2 answers one search at a time, which is dear where a text has thousands of matches. A few
characters one after the other, the last of them perhaps repeated without end, need no going
back: nothing stands behind the repetition that could fail. That covers `/\s+/g`, `/[^a-z]/g`,
`/, */g` and their like.
"""

import re
from dataclasses import dataclass
from typing import Final

from .regex_characters import Ranges
from .regex_syntax import Chars, Pattern, Repeat, Sequence

_COUNT_MAX: Final = 4
"""Characters that a failed attempt may read: each place of the text may begin one."""


@dataclass(frozen=True, slots=True)
class Simple:
    """Such a pattern, and the most characters that a failed attempt reads."""

    engine: re.Pattern[str]
    attempt: int

    def cost(self, length: int) -> int:
        """Units for all matches in a text of so many characters, but for each match."""
        return 20 + (length * (3 + self.attempt) >> 5)


def simple(pattern: Pattern) -> Simple | None:
    """The pattern for Python, if it is so simple and never matches nothing."""
    parts = pattern.parts if isinstance(pattern, Sequence) else (pattern,)
    written: list[str] = []
    least = attempt = 0
    choices = 1
    for place, part in enumerate(parts):
        low, high, lazy = 1, 1, False
        if isinstance(part, Repeat):
            part, low, high, lazy = part.body, part.low, part.high, part.lazy
        last = place == len(parts) - 1
        if not isinstance(part, Chars) or not part.ranges or low > _COUNT_MAX:
            return None
        if high > _COUNT_MAX or (high < 0 and not last):
            return None
        choices *= 1 if high < 0 else high - low + 1
        least += low
        attempt += low if high < 0 else high
        count = "" if low == high == 1 else f"{{{low},{'' if high < 0 else high}}}"
        written.append(f"{_class(part.ranges)}{count}{'?' if lazy and count else ''}")
    if not least or attempt * choices > _COUNT_MAX:
        return None
    return Simple(re.compile("".join(written)), attempt * choices)


def _class(ranges: Ranges) -> str:
    """A set of characters in Python's syntax."""
    parts = (f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
    return f"[{''.join(parts)}]"
