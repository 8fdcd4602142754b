"""Whether a text says only what it was told: its numbers, names and addresses have a source.

Two uses: the faithfulness of explanations is measured with it, and the prose of a language
model is refused by it. A claim is what could mislead if it were made up: a number (in digits
or in words), an address, an identifier, a capitalised word. Plain lower-case words are none.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,15}://[^\s\"'<>)\]}]{1,2048}")
_TOKEN = re.compile(r"[^\s\"'`()\[\]{}<>,;!?=]{1,300}")
_NUMBER = re.compile(r"[-+]?\d[\d_,]*(?:\.\d+)?%?")
_PARTS = re.compile(r"[._:/@\-]+")
_SLOT = re.compile(
    r"\{(?:number|reason|what|message|refused|strategy|due|delay_s|resolution_s)(?::[^{}]{0,9})?\}"
)
"""A slot of explain_templates.py; messages of others may hold any other brace."""
_ENDS = ".:*\N{HORIZONTAL ELLIPSIS}-"

_NUMBER_WORDS: Final = {
    word: value
    for value, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
            *("seventeen", "eighteen", "nineteen", "twenty"),
        )
    )
} | {
    **{"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80},
    **{"ninety": 90, "hundred": 100, "thousand": 1000, "million": 10**6, "dozen": 12},
    **{"twice": 2, "thrice": 3, "half": 0.5},
}
_PRONOUNS: Final = frozenset({"one"})
"""Number words that mostly are none."""

_BEGINNINGS = """
    a about after again all also although an and another any as at because before but by can
    check correct create either every first for free from further grant however i if in
    instead it its later limits lower look mend no node not nothing now of on once one only
    or other otherwise people please raise read recovered recovery recognised renew rephrase
    retried retry see short shorten since so some something soon still that the their then
    there therefore these they this those to try unless until what when where which while
    with without workers workflow execution yes you your we wait waiting
"""
BEGINNINGS: Final = frozenset(_BEGINNINGS.split())
"""Words that may begin a sentence with a capital letter and name nothing."""


@dataclass(frozen=True)
class Claims:
    """What a text claims: numbers as they are written, names and addresses in lower case."""

    numbers: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.names)


class Sources:
    """What may be claimed: the words and numbers of texts, looked into one after another.

    Nearly all that a text claims stands in the first of its sources; the others are not opened.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._closed = list(texts)[::-1]
        self._words: set[str] = set()
        self._numbers: set[Decimal] = set()
        self._rounded: dict[int, frozenset[Decimal]] = {}

    def _open(self) -> bool:
        """Look into one more text; False if there is none."""
        if not self._closed:
            return False
        words, numbers = _told_by(self._closed.pop())
        self._words |= words
        self._numbers |= numbers
        return True

    def knows_name(self, name: str) -> bool:
        """Return whether a name or address occurs."""
        while name not in self._words:
            if not self._open():
                return False
        return True

    def knows_number(self, number: str) -> bool:
        """Return whether a number occurs, in the accuracy in which it is written."""
        value = _value(number)
        if value is None:
            return False
        while value not in self._numbers:
            if not self._open():
                return value in self._in_accuracy(_places(number))
        return True

    def _in_accuracy(self, places: int) -> frozenset[Decimal]:
        """Return all numbers with so many places, once everything was looked into."""
        found = self._rounded.get(places)
        if found is None:
            found = self._rounded[places] = frozenset(_rounded(self._numbers, places))
        return found


@lru_cache(1_000)  # most texts of an explanation are a template's, word for word
def claims_of(text: str) -> Claims:
    """Return the numbers, names and addresses in a text."""
    numbers: list[str] = []
    names = [address.rstrip(_ENDS).lower() for address in _ADDRESS.findall(text)]
    begins = True
    for match in _TOKEN.finditer(_ADDRESS.sub(" ", text)):
        raw = match[0]
        word = raw.strip(_ENDS)
        if word:
            more_numbers, more_names = _judged(word, begins)
            numbers.extend(more_numbers)
            names.extend(more_names)
        begins = raw[-1] in ".:!?" or match.string[match.end() : match.end() + 1] in ("!", "?")
    return Claims(tuple(numbers), tuple(names))


def unsupported(text: str, sources: Sources) -> tuple[str, ...]:
    """Return the claims of a text that have no source."""
    claims = claims_of(text)
    wrong = [number for number in claims.numbers if not sources.knows_number(number)]
    return (*wrong, *(name for name in claims.names if not sources.knows_name(name)))


def faithfulness(texts: Iterable[str], sources: Sources) -> float:
    """Return the share of the claims of texts that have a source; 1 where nothing is claimed."""
    total = wrong = 0
    for text in texts:
        total += len(claims_of(text))
        wrong += len(unsupported(text, sources))
    return round(1.0 - wrong / total, 4) if total else 1.0


def is_complete(texts: Iterable[str]) -> bool:
    """Return whether every text is there, and none has a slot that was left empty."""
    return all(text.strip() and _SLOT.search(text) is None for text in texts)


@lru_cache(10_000)  # the words of all explanations are few
def _judged(word: str, begins: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the numbers and the names that a word claims."""
    lower = word.lower()
    if _NUMBER.fullmatch(word):
        return (word,), ()
    if spoken := [part for part in lower.split("-") if part in _NUMBER_WORDS]:
        return tuple(str(_NUMBER_WORDS[each]) for each in spoken if each not in _PRONOUNS), ()
    if _looks_named(word) or (word[:1].isupper() and not (begins and lower in BEGINNINGS)):
        return (), (lower,)
    return (), ()


def _looks_named(word: str) -> bool:
    inside = word[1:]
    if any(char.isdigit() or char in "_:/@" for char in word) or "." in inside:
        return True
    return any(char.isupper() for char in inside)


@lru_cache(2_000)  # most of what an explanation is made from are the words of a rule
def _told_by(text: str) -> tuple[frozenset[str], frozenset[Decimal]]:
    """Return the words and the numbers in a text."""
    words = {address.rstrip(_ENDS).lower() for address in _ADDRESS.findall(text)}
    numbers: set[Decimal] = set()
    for token in _TOKEN.findall(text):
        more_words, more_numbers = _said_by(token)
        words.update(more_words)
        numbers.update(more_numbers)
    return frozenset(words), frozenset(numbers)


@lru_cache(10_000)
def _said_by(token: str) -> tuple[tuple[str, ...], tuple[Decimal, ...]]:
    """Return the words and the numbers in a token: what may be claimed because of it."""
    word = token.strip(_ENDS).lower()
    values = (_value(number) for number in _NUMBER.findall(token))
    words = (word, *(part for part in _PARTS.split(word) if part))
    return words, tuple(value for value in values if value is not None)


def _rounded(numbers: Iterable[Decimal], places: int) -> Iterator[Decimal]:
    """Yield numbers with so many places; not those that have more digits than can be counted."""
    for number in numbers:
        with suppress(InvalidOperation):
            yield round(number, places)


@lru_cache(1_000)
def _places(number: str) -> int:
    """Return how many digits a number has behind its point."""
    return len(number.rstrip("%").partition(".")[2])


@lru_cache(10_000)
def _value(number: str) -> Decimal | None:
    try:
        return Decimal(number.rstrip("%").replace(",", "").replace("_", ""))
    except InvalidOperation:
        return None
