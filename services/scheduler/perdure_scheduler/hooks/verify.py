"""Whether a request comes from who it says: judged on its bytes, in constant time. Pure.

Libraries for this exist, and were left: `standardwebhooks` raises on binary bodies and on junk
before a good signature, `slack_sdk` on a timestamp that is none. Here whatever cannot be read is
no match. Sources: the Standard Webhooks specification (signature scheme v1), GitHub's "Validating
webhook deliveries", Slack's "Verifying requests from Slack" (v0), RFC 6750 and RFC 7617.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from perdure_scheduler.hook_settings import FIELDS, PREVIOUS

TOLERANCE_S = 300
"""How far a signed time may be from ours, in seconds, both ends included."""

DIGITS_MAX = 15
SIGNATURES_MAX = 32
"""How many signatures of a request are looked at."""

Headers: TypeAlias = Mapping[bytes, Sequence[bytes]]
"""Values by name in lower case, in their order."""

Settings: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = Mapping[str, str]

SECURITY_HEADERS: Mapping[str, tuple[bytes, ...]] = {
    "standard": (b"webhook-id", b"webhook-timestamp", b"webhook-signature"),
    "github": (b"x-hub-signature-256", b"x-github-delivery", b"x-github-event"),
    "slack": (b"x-slack-signature", b"x-slack-request-timestamp"),
    "hmac": (),
    "bearer": (b"authorization",),
    "basic": (b"authorization",),
    "none": (),
}


class SecretMissing(LookupError):
    """A secret that is configured cannot be had: nothing can be verified."""


def security_headers(settings: Settings) -> tuple[bytes, ...]:
    """Return the headers that decide, none of which may be there twice."""
    auth = str(settings["auth"])
    names = [*SECURITY_HEADERS[auth]]
    if auth == "hmac":
        names.append(settings["signature_header"].encode())
        if "timestamp_header" in settings:
            names.append(settings["timestamp_header"].encode())
    if "delivery_header" in settings:
        names.append(settings["delivery_header"].encode())
    return tuple(names)


def verified(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    """Return whether a request proves that it comes from who knows the secret.

    `fields` are those of the credential, `now_s` is the clock in whole seconds.

    Raises:
        SecretMissing: The credential has no usable secret.
    """
    return _CHECKS[str(settings["auth"])](settings, fields, headers, body, now_s)


def secrets_in(fields: Fields, name: str) -> tuple[str, ...]:
    """Return the live secrets of a credential: the present one, and the one before it.

    Raises:
        SecretMissing: There is no present one.
    """
    present = fields.get(name)
    if not present:
        raise SecretMissing(f"the credential has no `{name}`")
    previous = fields.get(PREVIOUS + name)
    return (present, previous) if previous else (present,)


def lacking(settings: Settings, fields: Fields) -> str:
    """Return the first field that a credential must have and does not; empty if none."""
    return next((name for name in FIELDS[str(settings["auth"])] if not fields.get(name)), "")


def one(headers: Headers, name: bytes) -> bytes:
    """Return a header's first value, empty if it is not there."""
    values = headers.get(name)
    return values[0] if values else b""


def is_timely(stamp: bytes, now_s: int) -> bool:
    """Return whether a time in whole seconds is within `TOLERANCE_S` of now."""
    if not stamp.isdigit() or len(stamp) > DIGITS_MAX:
        return False
    return abs(now_s - int(stamp)) <= TOLERANCE_S


def _same(given: Iterable[bytes], right: Iterable[bytes]) -> bool:
    """Return whether one of `given` is one of `right`; all are compared, whatever is found."""
    expected = tuple(right)
    found = False
    for each in given:
        for other in expected:
            found |= hmac.compare_digest(each, other)
    return found


def _standard(
    settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int
) -> bool:
    del settings
    keys = [standard_key(secret) for secret in secrets_in(fields, "secret")]
    message_id, stamp = one(headers, b"webhook-id"), one(headers, b"webhook-timestamp")
    if not message_id or not is_timely(stamp, now_s):
        return False
    signed = b"%b.%b.%b" % (message_id, stamp, body)
    right = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    given: list[bytes] = []
    for word in one(headers, b"webhook-signature").split(b" ")[:SIGNATURES_MAX]:
        version, comma, signature = word.partition(b",")
        if comma and version == b"v1":
            given.append(signature)
    return _same(given, right)


def standard_key(secret: str) -> bytes:
    """Return the key of a secret as Standard Webhooks writes it: `whsec_` and base64.

    Raises:
        SecretMissing: It is no such secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise SecretMissing("`secret` must be `whsec_` and base64, as the sender shows it")
    return key


def _github(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    del settings, now_s  # GitHub signs no time
    secrets = secrets_in(fields, "secret")
    given = one(headers, b"x-hub-signature-256")
    right = [b"sha256=" + _hex(secret.encode(), body) for secret in secrets]
    return _same((given,), right)


def _slack(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    del settings
    secrets = secrets_in(fields, "secret")
    stamp = one(headers, b"x-slack-request-timestamp")
    if not is_timely(stamp, now_s):
        return False
    signed = b"v0:%b:%b" % (stamp, body)
    right = [b"v0=" + _hex(secret.encode(), signed) for secret in secrets]
    return _same((one(headers, b"x-slack-signature"),), right)


def _hmac(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    secrets = secrets_in(fields, "secret")
    signed = body
    stamped = settings.get("timestamp_header")
    if stamped:
        stamp = one(headers, stamped.encode())
        if not is_timely(stamp, now_s):
            return False
        signed = b"%b.%b" % (stamp, body)
    prefix = settings.get("prefix", "").encode()
    given = one(headers, settings["signature_header"].encode())
    digests = [hmac.digest(secret.encode(), signed, settings["algorithm"]) for secret in secrets]
    if settings["encoding"] == "base64":
        return _same((given,), [prefix + base64.b64encode(digest) for digest in digests])
    # Hexadecimal digits are written in either case.
    right = [prefix + digest.hex().encode() for digest in digests]
    return _same((given[: len(prefix)] + given[len(prefix) :].lower(),), right)


def _bearer(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    del settings, body, now_s
    right = secrets_in(fields, "token")
    return _same_text(_authorization(headers, b"bearer"), (token.encode() for token in right))


def _basic(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    del settings, body, now_s
    (user, *_), passwords = secrets_in(fields, "username"), secrets_in(fields, "password")
    try:
        given = base64.b64decode(_authorization(headers, b"basic"), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    return _same_text(given, (f"{user}:{password}".encode() for password in passwords))


def _authorization(headers: Headers, scheme: bytes) -> bytes:
    said, _, rest = one(headers, b"authorization").partition(b" ")
    return rest.strip(b" ") if said.lower() == scheme else b""


def _same_text(given: bytes, right: Iterable[bytes]) -> bool:
    """Compare hashes: texts of unlike length would be told apart by the time it takes."""
    return _same(
        (hashlib.sha256(given).digest(),), (hashlib.sha256(each).digest() for each in right)
    ) and bool(given)


def _none(settings: Settings, fields: Fields, headers: Headers, body: bytes, now_s: int) -> bool:
    del settings, fields, headers, body, now_s  # the author wrote that everybody may
    return True


def _hex(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256").hex().encode()


_CHECKS: Mapping[str, Callable[[Settings, Fields, Headers, bytes, int], bool]] = {
    "standard": _standard,
    "github": _github,
    "slack": _slack,
    "hmac": _hmac,
    "bearer": _bearer,
    "basic": _basic,
    "none": _none,
}
