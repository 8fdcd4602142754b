"""Sets of characters as ranges, and which letters JavaScript takes for the same with the flag i."""

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""First and last characters, sorted, without overlaps."""

LAST: Final = 0x10FFFF
EVERY: Final[Ranges] = ((0, LAST),)
LINE_ENDS: Final[Ranges] = ((10, 10), (13, 13), (0x2028, 0x2029))
_FOLDED_MAX: Final = 0x1E943
"""The last character that has another case."""


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in order, joined where they touch."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def inverted(ranges: Ranges) -> Ranges:
    """All other characters."""
    found: list[tuple[int, int]] = []
    low = 0
    for first, last in ranges:
        if first > low:
            found.append((low, first - 1))
        low = last + 1
    if low <= LAST:
        found.append((low, LAST))
    return tuple(found)


_DIGIT: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final[Ranges] = (
    *((9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
CLASSES: Final[dict[str, Ranges]] = {
    **{"d": _DIGIT, "w": _WORD, "s": _SPACE},
    **{"D": inverted(_DIGIT), "W": inverted(_WORD), "S": inverted(_SPACE)},
}
NOT_LINE_ENDS: Final = inverted(LINE_ENDS)


def _canonical(code: int, unicode: bool) -> int:
    """ECMA-262, Canonicalize: what a character counts as with the flag i.

    With the flag u that is simple case folding, without it the upper-case letter, unless that
    would make an ASCII letter of another one.
    """
    char = chr(code)
    if unicode:
        folded = char.casefold()
        folded = folded if len(folded) == 1 else char.lower()
        return ord(folded) if len(folded) == 1 else code
    large = char.upper()
    if len(large) != 1 or code > 0xFFFF or (code >= 128 and ord(large) < 128):
        return code
    return ord(large)


@lru_cache(maxsize=2)
def _families(unicode: bool) -> dict[int, tuple[int, ...]]:
    """For each character that has other cases: all of them, itself among them."""
    by_form: dict[int, list[int]] = {}
    for code in range(_FOLDED_MAX + 1):
        form = _canonical(code, unicode)
        if form != code:
            by_form.setdefault(form, [form]).append(code)
    return {code: tuple(codes) for codes in by_form.values() for code in codes}


@lru_cache(maxsize=2)
def _cased(unicode: bool) -> list[int]:
    """The characters that have other cases, in order."""
    return sorted(_families(unicode))


@lru_cache(maxsize=1_024)
def folded(ranges: Ranges, unicode: bool) -> Ranges:
    """Ranges with the other cases of their letters."""
    families, cased = _families(unicode), _cased(unicode)
    more = [
        (each, each)
        for first, last in ranges
        for code in cased[bisect_right(cased, first - 1) : bisect_right(cased, last)]
        for each in families[code]
    ]
    return merged([*ranges, *more])


def written(ranges: Ranges) -> str:
    """The ranges in RE2's syntax."""
    if not ranges:
        return "[^\\x00-\\x{10FFFF}]"
    parts = "".join(
        f"\\x{{{first:x}}}" if first == last else f"\\x{{{first:x}}}-\\x{{{last:x}}}"
        for first, last in ranges
    )
    return parts if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else f"[{parts}]"
