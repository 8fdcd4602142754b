"""The two kinds of message: a command asks, an event tells.

A message is written down as a dataclass is, and has a name. The name travels in `ce_type`, the
fields are the body; those that have their default value are left out of it. One definition
serves three readers: pydantic makes the schemas from it (`SHAPES`), msgspec encodes and decodes
it, and the cores match on it.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias, TypeVar, dataclass_transform, get_origin

import msgspec

T = TypeVar("T")

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""

NAMES: dict[type, str] = {}
TYPES: dict[str, type[Any]] = {}
SHAPES: dict[str, type[Any]] = {}
"""The dataclass that a message was written down as, by its name; schemas are made from it."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(name: str) -> Callable[[type[T]], type[T]]:
    """Make the class a message called `name`, such as `recovery.given-up.v1`.

    It becomes a frozen struct of msgspec, which is made and encoded faster than a
    dataclass. `dataclasses.fields` and `replace` work on it all the same.

    Raises:
        ValueError: Another class has the name already.
    """

    def make(cls: type[T]) -> type[T]:
        if name in TYPES:
            raise ValueError(f"two messages are called {name!r}; give one another name")
        shape = dataclass(frozen=True, kw_only=True)(cls)
        made: Any = msgspec.defstruct(
            cls.__name__,
            [_field(field) for field in fields(shape)],  # pyright: ignore[reportArgumentType]
            namespace={
                "__doc__": cls.__doc__,
                "__qualname__": cls.__qualname__,
                "__dataclass_fields__": shape.__dataclass_fields__,  # pyright: ignore
            },
            module=cls.__module__,
            frozen=True,
            kw_only=True,
            omit_defaults=True,
            gc=False,  # there are no cycles among messages
        )
        NAMES[made] = name
        TYPES[name] = made
        SHAPES[name] = shape
        return made

    return make


def _field(field: Any) -> tuple[str, Any, Any] | tuple[str, Any]:
    """Return a field of a dataclass as `msgspec.defstruct` takes it."""
    if field.default is not MISSING:
        return field.name, field.type, field.default
    if field.default_factory is not MISSING:
        # msgspec leaves an empty `dict` out, but not what an alias such as `dict[str, int]` makes.
        factory = get_origin(field.default_factory) or field.default_factory
        return field.name, field.type, msgspec.field(default_factory=factory)
    return field.name, field.type


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
    tracestate: str | None = None
