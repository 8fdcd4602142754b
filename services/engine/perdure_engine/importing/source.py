"""A node of n8n as its file has it, and what becomes of one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from .texts import is_expression, translated

MAIN = (("main",),)


class NotMapped(Exception):
    """A node has no counterpart, or not with these parameters; the text says why."""


@dataclass(frozen=True)
class Helper:
    """A node that follows another one to make of its items what n8n would have."""

    suffix: str
    node_type: str
    subtype: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """What becomes of a node: one of ours, and what follows it.

    `outputs` has the ports for each of n8n's outputs, `inputs` for each of its inputs (the last
    one stands for all after it). `notes` are what is not as it was.
    """

    node_type: str
    subtype: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    outputs: Sequence[Sequence[str]] = MAIN
    inputs: Sequence[str] = ("main",)
    behind: tuple[Helper, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A node of n8n: its parameters can be asked for by a path."""

    name: str
    kind: str
    version: float
    parameters: Mapping[str, Any]
    credentials: Mapping[str, Any]
    entry: Mapping[str, Any]
    attached: tuple[tuple[str, "Source"], ...] = ()
    """What an agent has there: the kind of each connection, and the node."""

    def raw(self, path: str, default: Any = None) -> Any:
        """Return a parameter as it stands, `default` where there is none."""
        found: Any = self.parameters
        for key in path.split("."):
            if not isinstance(found, dict) or key not in found:
                return default
            found = cast("dict[str, Any]", found)[key]
        if not isinstance(found, dict):
            return found
        located = cast("dict[str, Any]", found)
        return located.get("value", default) if located.get("__rl") else located

    def get(self, path: str, default: Any = None) -> Any:
        """Return a parameter with its texts as ours."""
        return translated(self.raw(path, default))

    def fixed(self, path: str, default: Any = None) -> Any:
        """Return a parameter that must be known beforehand.

        Raises:
            NotMapped: It is computed.
        """
        found = self.raw(path, default)
        if is_expression(found):
            raise NotMapped(f"`{path}` is an expression here, and must be fixed")
        return found

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of a list of objects; anything else counts as none."""
        found = self.raw(path)
        listed = cast("list[Any]", found) if isinstance(found, list) else []
        return [cast("dict[str, Any]", each) for each in listed if isinstance(each, dict)]

    def named(self, path: str) -> str:
        """Return what a list of n8n calls what is chosen, or its value."""
        found: Any = self.parameters
        for key in path.split("."):
            found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
        shown = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        return str(shown.get("cachedResultName") or self.get(path) or "")

    def handle(self) -> str | None:
        """Return the handle of the credential that the node uses, from the name it has there."""
        for each in self.credentials.values():
            name = cast("dict[str, Any]", each).get("name") if isinstance(each, dict) else each
            if isinstance(name, str) and name:
                return slug(name)
        return None

    def only(self, path: str, allowed: Iterable[Any]) -> Any:
        """Return a parameter that must have one of some values; the first is the default.

        Raises:
            NotMapped: It has another one.
        """
        values = tuple(allowed)
        found = self.fixed(path, values[0])
        if found not in values:
            raise NotMapped(f"`{path}: {str(found)[:80]}` has no counterpart")
        return found


def names_in(value: Any) -> list[str]:
    """Return names that stand in a text with commas, or in a list."""
    parts = cast("list[Any]", value) if isinstance(value, list) else str(value or "").split(",")
    return [str(each).strip() for each in parts if str(each).strip()]


def slug(text: str) -> str:
    """Return a name as an id: small letters, digits and lines."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:100] or "node"
