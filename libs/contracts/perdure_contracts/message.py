"""The two kinds of message: a command asks, an event tells.

A message is a frozen dataclass with a name. The name travels in `ce_type`, the fields
are the body. One definition serves three readers: pydantic makes the schemas from it
and checks what comes from outside, msgspec decodes it on the hot path, and the cores
match on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, dataclass_transform

T = TypeVar("T")

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""

NAMES: dict[type, str] = {}
TYPES: dict[str, type[Any]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(name: str) -> Callable[[type[T]], type[T]]:
    """Make the class a message called `name`, such as `recovery.given-up.v1`.

    Raises:
        ValueError: Another class has the name already.
    """

    def make(cls: type[T]) -> type[T]:
        if name in TYPES:
            raise ValueError(f"two messages are called {name!r}; give one another name")
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        NAMES[made] = name
        TYPES[name] = made
        return made

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What travels around a message: who said it, when, about what, for whom.

    `id` and `source` together are unique. `tenant_id` is trusted only from perdure's own
    services; for outsiders the shell sets it from the topic. `topic` is where the record
    was read. `cause_id` is the id of the message that led to this one.
    """

    id: str
    source: str
    type: str
    tenant_id: str
    topic: str
    subject: str | None = None
    time: str | None = None
    traceparent: str | None = None
