"""The parameters of a trigger node, being read: what is wrong is collected, never passed over."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

KEY_LENGTH_MAX = 255
"""The length of `trigger_index.index_key`, in characters."""

WORDS_MAX = 50
"""How many entries a filter may list; each of at most `KEY_LENGTH_MAX` characters."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a definition cannot be deployed; `reason` names the node and what to do."""

    code: str
    reason: str


@dataclass
class Parameters:
    """The parameters of one trigger node, being read; what is wrong is collected."""

    node_id: str
    subtype: str
    values: Mapping[str, Any]
    problems: list[Problem] = field(default_factory=list[Problem])

    def refuse(self, code: str, reason: str) -> None:
        """Note a problem of this node."""
        self.problems.append(Problem(code, f"node {self.node_id!r} ({self.subtype}): {reason}"))

    def known(self, *names: str) -> None:
        """Refuse every parameter that is not among `names`; `filter` is read for all of them."""
        for name in self.values:
            if name != "filter" and name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {listed_names(names)}"
                self.refuse("unknown_parameter", f"there is no parameter {name!r}; {hint}")

    def text(self, name: str, example: str) -> str:
        """Return a parameter that must be there, as text; "" when it was refused."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            self.refuse("invalid_parameter", f"`{name}` must be a text, such as {example!r}")
        elif len(value) > KEY_LENGTH_MAX or "{{" in value or not value.isprintable():
            self.refuse(
                "invalid_parameter",
                f"`{name}` must be fixed text of at most {KEY_LENGTH_MAX} characters",
            )
        else:
            return value.strip()
        return ""

    def words(self, name: str, example: str) -> list[str]:
        """Return a parameter that lists texts; one text alone is a list of one."""
        value = self.values.get(name)
        if value is None:
            return []
        listed = cast("list[Any]", [value] if isinstance(value, str) else value)
        if (
            isinstance(value, str | list)
            and 0 < len(listed) <= WORDS_MAX
            and all(is_word(word) for word in listed)
        ):
            return [str(word) for word in listed]
        self.refuse(
            "invalid_parameter",
            f"`{name}` must be a list of 1 to {WORDS_MAX} texts, such as [{example}]",
        )
        return []


def is_word(value: object) -> TypeGuard[str]:
    """Return whether a value is a text that can stand in a key."""
    return isinstance(value, str) and 0 < len(value) <= KEY_LENGTH_MAX and value.isprintable()


def listed_names(names: Mapping[str, object] | tuple[str, ...]) -> str:
    """Return names as a sentence lists them."""
    return ", ".join(names) or "no parameters"
