"""Filters of triggers: each is a text or a list of texts, and an event must fit all of them."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from .base import Fault, Parameters

WORDS_MAX = 50
WORD_LENGTH_MAX = 255
"""How many entries a filter may list, and the characters of each."""


def filter_faults(parameters: Parameters, examples: Mapping[str, str]) -> Iterable[Fault]:
    """Yield what is wrong with the filters of a node; `examples` has their names."""
    for name, example in examples.items():
        if name in parameters and not _words(parameters[name]):
            yield Fault(
                "invalid_parameter",
                name,
                f"`{name}` must be a list of 1 to {WORDS_MAX} texts, such as [{example}]",
            )


def _words(value: Any) -> bool:
    words = cast("list[Any]", value) if isinstance(value, list) else [value]
    return 0 < len(words) <= WORDS_MAX and all(
        isinstance(word, str) and 0 < len(word) <= WORD_LENGTH_MAX for word in words
    )
