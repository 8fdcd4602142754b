"""Ids that follow from what they stand for: made again, they are the same."""

import hashlib
import json
import uuid
import zlib

NAMESPACE = uuid.UUID("6f2b1d0e-7a35-5c1e-9d53-0d0a4f6c9b11")
"""The namespace of every id that perdure derives; changing it changes all of them."""


def derived(*parts: object) -> str:
    """Return the UUID (version 5) that `parts` stand for, as text.

    The parts are joined with a separator that no part may hold as its own character, so
    that ("a", "bc") and ("ab", "c") differ.
    """
    hashed = _SHA1.copy()
    hashed.update("\x1f".join([str(part) for part in parts]).encode())
    h = hashed.hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def time_ordered(milliseconds: int, *parts: object) -> str:
    """Return a UUID of version 8: 48 bits of time, then a hash of `parts`.

    Ids that were made close together stand close together in an index, and the same
    parts at the same instant give the same id. Layout: RFC 9562, section 5.8.
    """
    h = hashlib.sha256("\x1f".join([str(part) for part in parts]).encode()).hexdigest()
    t = f"{milliseconds & (2**48 - 1):012x}"
    return f"{t[:8]}-{t[8:]}-8{h[1:4]}-{_VARIANT[h[4]]}{h[5:8]}-{h[8:20]}"


# Ids are made for every row and message: text is put together without an object in between.
_SHA1 = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}
"""The digit that holds the variant (RFC 9562: the bits 10), by the digit that was hashed."""


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
