"""The two kinds of message: a command asks, an event tells.

A message is a frozen dataclass with a name. The name travels in `ce_type`, the fields
are the body. One definition serves three readers: pydantic makes the schemas from it
and checks what comes from outside, msgspec decodes it on the hot path, and the cores
match on it.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
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
        made.__init__ = _quick_init(made)
        NAMES[made] = name
        TYPES[name] = made
        return made

    return make


def _quick_init(cls: type[Any]) -> Callable[..., None]:
    """Return an `__init__` for a frozen dataclass that does what its own does, three times faster.

    The one that `dataclass` writes sets each field through `object.__setattr__`, which is most of
    what a message costs. This one is the object of a class with the same slots while it sets
    them plainly, and only then becomes the frozen message.
    """
    draft = type("Draft", (), {"__slots__": cls.__slots__})
    known: dict[str, Any] = {"_cls": cls, "_draft": draft, "_set": object.__setattr__}
    parameters: list[str] = []
    lines = ["_set(self, '__class__', _draft)"]
    for field in fields(cls):
        name, default = field.name, f"_default_{field.name}"
        if field.default is not MISSING:
            known[default] = field.default
            parameters.append(f"{name}={default}")
        elif field.default_factory is not MISSING:
            known[default] = field.default_factory
            known["_missing"] = MISSING
            parameters.append(f"{name}=_missing")
            lines.append(f"if {name} is _missing: {name} = {default}()")
        else:
            parameters.append(name)
        lines.append(f"self.{name} = {name}")
    lines.append("self.__class__ = _cls")
    body = "\n    ".join(lines)
    signature = ", ".join(["self", *(["*"] if parameters else []), *parameters])
    exec(f"def __init__({signature}):\n    {body}", known)
    return known["__init__"]


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
