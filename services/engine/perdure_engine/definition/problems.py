"""What can be wrong with a definition: a typed problem with its place and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal

TEXT_BYTES_MAX = 64 * 1024
"""The longest text that `told` makes of problems: it travels in a refusal."""

LISTED_MAX = 20
"""How many names a message lists."""

HINTS_MAX = 100
NAMES_COMPARED_MAX = 300
"""How many problems name the nearest known word, and among how many words it is sought."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a warning.

    `path` leads to it from the top of the definition: `nodes[3].parameters.condition`.
    `node_id` is the node it concerns, if one. `message` says what is wrong and what to do.
    """

    code: str
    severity: Literal["error", "warning"]
    path: str
    message: str
    node_id: str | None = None

    def __str__(self) -> str:
        """The problem in one line, its place first."""
        node = f" (node {self.node_id!r})" if self.node_id is not None else ""
        return f"{self.path or 'definition'}{node}: {self.message} [{self.code}]"


class InvalidDefinition(ValueError):
    """A definition cannot be used; `problems` has every error that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(told(problems))
        self.problems = tuple(problems)


@dataclass
class Found:
    """The problems found so far. `hints_left` bounds the work of looking for near names."""

    problems: list[Problem] = field(default_factory=list)
    hints_left: int = HINTS_MAX

    def error(self, code: str, path: str, message: str, node_id: str | None = None) -> None:
        """Note an error."""
        self.problems.append(Problem(code, "error", path, message, node_id))

    def warning(self, code: str, path: str, message: str, node_id: str | None = None) -> None:
        """Note a warning."""
        self.problems.append(Problem(code, "warning", path, message, node_id))

    def did_you_mean(self, name: object, known: Iterable[str]) -> str:
        """Return `did you mean 'x'?` where a known name is near, else what is known.

        Only the first problems of a definition get that help, so that one with a hundred
        thousand problems is refused as fast as any other.
        """
        self.hints_left -= 1
        if self.hints_left < 0:
            return "check its spelling"
        names = list(islice(known, NAMES_COMPARED_MAX))
        by_lower = {each.lower(): each for each in names}
        near = get_close_matches(str(name)[:100].lower(), by_lower, n=1, cutoff=0.6)
        return f"did you mean {by_lower[near[0]]!r}?" if near else f"known are: {listed(names)}"

    @property
    def has_errors(self) -> bool:
        """Whether one of the problems is an error."""
        return any(problem.severity == "error" for problem in self.problems)


def told(problems: Sequence[Problem]) -> str:
    """Return the problems as text, a line each, at most 64 KB; the rest is counted."""
    kept: list[str] = []
    room = TEXT_BYTES_MAX - 100  # for the last line, which counts the rest
    for at, problem in enumerate(problems):
        line = str(problem)
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            kept.append(f"and {len(problems) - at} more")
            break
        kept.append(line)
    return "\n".join(kept)


def listed(names: Sequence[str]) -> str:
    """Return names with commas between, the first 20 of many."""
    more = f" and {len(names) - LISTED_MAX} more" if len(names) > LISTED_MAX else ""
    return (", ".join(names[:LISTED_MAX]) or "none") + more


def shown(value: Any) -> str:
    """Return a value as a message may show it: short."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
