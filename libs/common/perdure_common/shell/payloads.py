"""Large values leave messages: a field above `PAYLOAD_BYTES_MIN` is kept under its hash instead.

The journal's row, and what is sent, then have a reference for the field: its name and the
SHA-256 of its JSON. References stand beside the body (in the row's meta, in a header), never in
it, so nothing that users send can be taken for one. Whoever reads the row gets the whole
message back, and need not know.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import msgspec

PAYLOAD_BYTES_MIN = 256 * 1024
"""From how many bytes of JSON on a field leaves its message."""

HEADER = "x-payloads"
"""The header of a record whose message has references: a JSON object, hash by field."""

Heavy: TypeAlias = Mapping[type, tuple[str, ...]]
"""Which fields of which messages may leave them."""

Refs: TypeAlias = tuple[tuple[str, str], ...]
"""References of one message: (field, hash)."""

M = TypeVar("M")

_encode = msgspec.json.Encoder().encode


class Payload(msgspec.Struct, frozen=True, gc=False):
    """A value that has left a message: its JSON, and the stream that names it."""

    tenant_id: str
    sha256: str
    stream: str
    text: str


class Light(NamedTuple):
    """A message's body without its large fields; `texts` are their JSON, in the order of `refs`."""

    body: bytes
    refs: Refs
    texts: tuple[str, ...]


class MissingPayload(LookupError):
    """A payload that a message names is not there."""


class PayloadStore(Protocol):
    """Where payloads are kept, by tenant and hash. Methods raise `Unreachable`.

    A payload is kept as long as a stream that names it has a row in the journal. What was put
    is kept for the grace of a sweep in any case: its stream may be written a moment later.
    """

    async def put(self, payloads: Sequence[Payload]) -> None:
        """Keep payloads, and that their streams name them; one that is there stays as it is."""
        ...

    async def get(self, tenant_id: str, hashes: Collection[str]) -> Mapping[str, str]:
        """Return the JSON of those payloads of a tenant that are there, by hash."""
        ...

    async def sweep(self, grace_s: float, most: int) -> int:
        """Forget up to `most` payloads that no stream names any more; return how many."""
        ...


def sha256_of(text: bytes) -> str:
    """Return the hash under which a JSON text is kept."""
    return hashlib.sha256(text).hexdigest()


def lighten(heavy: Heavy, message: Any, body: bytes) -> Light:
    """Return the message's body without its fields that are large, which `heavy` allows to leave.

    `body` is the whole one. The same message gives the same body and references, now and when it
    is made again.
    """
    refs: list[tuple[str, str]] = []
    texts: list[str] = []
    left: dict[str, object] = {}
    kind = cast("type[Any]", type(message))
    defaults = {field.name: field for field in msgspec.structs.fields(kind)}
    for name in heavy.get(kind, ()):
        text = _encode(getattr(message, name))
        if len(text) > PAYLOAD_BYTES_MIN:
            refs.append((name, sha256_of(text)))
            texts.append(text.decode())
            left[name] = _nothing(defaults[name])
    if not refs:
        return Light(body, (), ())
    return Light(_encode(msgspec.structs.replace(message, **left)), tuple(refs), tuple(texts))


def _nothing(field: Any) -> object:
    """Return what stands in a field that has left: its default, or null."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def whole(message: M, refs: Refs, texts: Mapping[str, str]) -> M:
    """Return a message with the fields that had left it.

    Raises:
        MissingPayload: One is not among `texts`.
    """
    fields: dict[str, Any] = {}
    for name, sha256 in refs:
        text = texts.get(sha256)
        if text is None:
            raise MissingPayload(
                f"the payload {sha256} of {type(message).__name__}.{name} is gone; restore the "
                "table payloads from a backup"
            )
        fields[name] = msgspec.json.decode(text)
    return cast("M", msgspec.structs.replace(cast("Any", message), **fields))


def header_of(refs: Refs) -> tuple[str, bytes]:
    """Return the header that carries references."""
    return HEADER, _encode(dict(refs))


def refs_in(value: bytes | None) -> Refs:
    """Return the references in a header's value, none if there is no such header.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: It is none of ours.
    """
    if value is None:
        return ()
    return tuple(msgspec.json.decode(value, type=dict[str, str]).items())
