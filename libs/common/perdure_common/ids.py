"""Ids that follow from what they stand for: made again, they are the same."""

import hashlib
import json
import uuid
import zlib
from functools import lru_cache

NAMESPACE = uuid.UUID("6f2b1d0e-7a35-5c1e-9d53-0d0a4f6c9b11")
"""The namespace of every id that perdure derives; changing it changes all of them."""


# Ids are put together as text: they are made for every row and message, and an object of the
# standard library costs several times what the hash does. RFC 9562 sets the version's digit
# and two bits of the variant's.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived(*parts: object) -> str:
    """Return the UUID (version 5) that `parts` stand for, as text.

    The parts are joined with a separator that no part may hold as its own character, so
    that ("a", "bc") and ("ab", "c") differ.
    """
    text = "\x1f".join(map(str, parts))
    digest = hashlib.sha1(NAMESPACE.bytes + text.encode(), usedforsecurity=False).hexdigest()
    return (
        f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}"
        f"-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"
    )


def event_register(tenant_id: str, name: str, key: str) -> str:
    """Return the stream in which events of a name and key meet those that wait for them."""
    return derived("event register", tenant_id, name, key)


def variables_stream(tenant_id: str, workspace_id: str) -> str:
    """Return the stream of a workspace's variables."""
    return derived("variables", tenant_id, workspace_id)


def static_data_stream(workflow_id: str) -> str:
    """Return the stream of a workflow's static data: on the workflow's shard."""
    return f"{workflow_id}/static-data"


def time_ordered(milliseconds: int, *parts: object) -> str:
    """Return a UUID of version 8: 48 bits of time, then a hash of `parts`.

    Ids that were made close together stand close together in an index, and the same
    parts at the same instant give the same id. Layout: RFC 9562, section 5.8.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
    return (
        f"{_time_part(milliseconds)}{digest[1:4]}-{_VARIANT[digest[4]]}{digest[5:8]}-{digest[8:20]}"
    )


@lru_cache(64)
def _time_part(milliseconds: int) -> str:
    """Return what the ids of one instant begin with, the version's digit included."""
    time = f"{milliseconds & 0xFFFF_FFFF_FFFF:012x}"
    return f"{time[:8]}-{time[8:]}-8"


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of a JSON value: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: A number is NaN or infinite, which JSON does not have.
        TypeError: Something in it is no JSON value.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8", "surrogatepass")


def sha256_of_json(value: object) -> str:
    """Return the SHA-256 of a JSON value's canonical text, in hexadecimal.

    Two values have the same hash if they are the same, whatever the order of their keys and
    the spaces of the text they came from. Raises as `canonical_json`.
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()


def routing_key(stream: str) -> str:
    """Return the part of a stream's id that decides its shard: all before the first `/`."""
    return stream.partition("/")[0]


def partition_of(stream: str, partitions: int) -> int:
    """Return the partition of a stream: CRC-32 of its routing key modulo `partitions`."""
    return zlib.crc32(routing_key(stream).encode()) % partitions
