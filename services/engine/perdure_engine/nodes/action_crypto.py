"""ACTION CRYPTO: hashes, message codes, signatures and encodings of texts, and ids.

`hash` and `hmac` give a digest of the text's UTF-8 bytes; `hmac` and `sign` with a key.
`verify` gives true or false for a `signature` (of a webhook, say), comparing message codes
in constant time. `encode` and `decode` turn texts into base64, base64url or hex and back.
`id` gives a UUID that no other item, run or execution has.

An id is no secret: it follows from the execution's id, so that a replay gives it again.
Keys stand in the journal with the parameters that they are given by; prefer keys that can
do little.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perdure_common.ids import derived
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Scope

from .base import Fault, Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .each import AS, ItemFault, each, needs, put, text_of
from .signatures import ALGORITHMS as SIGNATURES
from .signatures import is_signed, signed

OPERATIONS = ("hash", "hmac", "sign", "verify", "encode", "decode", "id")
HASHES = ("sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "sha1", "md5")
HMACS = tuple(f"hmac_{name}" for name in ("sha256", "sha384", "sha512", "sha1"))
ENCODINGS = ("hex", "base64", "base64url")

BY_OPERATION: Mapping[str, tuple[str, ...]] = {
    "hash": HASHES,
    "hmac": HMACS,
    "sign": SIGNATURES,
    "verify": (*HMACS, *SIGNATURES),
}
"""The algorithms of each operation, the default first."""

SIGNATURES_MAX = 50
KEYS_MAX = 1
"""Signatures that one run makes or checks, and keys that it does so with."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done, how, and where the result goes."""

    operation: str
    compiled: Mapping[str, Compiled]
    algorithm: str
    encoding: str
    key_encoding: str
    into: str


def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Compute for each item."""
    keys: set[str] = set()

    def make(index: int, json: Json, scope: Scope) -> Json:
        if plan.operation == "id":
            return put(json, plan.into, derived("id", inputs.seed, index))
        if plan.algorithm in SIGNATURES and index >= SIGNATURES_MAX:
            text = f"one run signs or verifies at most {SIGNATURES_MAX} items; split them"
            raise ItemFault("too_many_items", text)
        if plan.algorithm in SIGNATURES:
            keys.add(text_of(plan.compiled["key"], scope, "key"))
            if len(keys) > KEYS_MAX:
                text = f"one run uses at most {KEYS_MAX} keys, as reading them takes long"
                raise ItemFault("too_many_items", text)
        text = text_of(plan.compiled["value"], scope, "value")
        return put(json, plan.into, _computed(plan, text, scope), scope)

    return each(inputs, scope_of, make)


def _computed(plan: Plan, text: str, scope: Scope) -> Json:
    data = _bytes(text)
    match plan.operation:
        case "hash":
            return _encoded(hashlib.new(plan.algorithm, data).digest(), plan.encoding)
        case "hmac":
            return _encoded(_code(plan, data, scope), plan.encoding)
        case "sign":
            pem = text_of(plan.compiled["key"], scope, "key")
            return _encoded(signed(plan.algorithm, pem, data), plan.encoding)
        case "verify":
            return _verified(plan, data, scope)
        case "encode":
            return _encoded(data, plan.encoding)
        case _:
            try:
                return _decoded(text, plan.encoding, "value").decode()
            except UnicodeDecodeError:
                text = "what is encoded is no text in UTF-8"
                raise ItemFault("invalid_encoding", text) from None


def _verified(plan: Plan, data: bytes, scope: Scope) -> bool:
    """Tell whether the signature is right; one that cannot be read is not."""
    try:
        signature = _decoded(
            text_of(plan.compiled["signature"], scope, "signature"), plan.encoding, "signature"
        )
    except ItemFault as fault:
        if fault.code == "invalid_encoding":
            return False
        raise
    if plan.algorithm in HMACS:
        return hmac.compare_digest(_code(plan, data, scope), signature)
    pem = text_of(plan.compiled["key"], scope, "key")
    return is_signed(plan.algorithm, pem, data, signature)


def _code(plan: Plan, data: bytes, scope: Scope) -> bytes:
    text = text_of(plan.compiled["key"], scope, "key")
    key = _bytes(text) if plan.key_encoding == "text" else _decoded(text, plan.key_encoding, "key")
    return hmac.digest(key, data, plan.algorithm.removeprefix("hmac_"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a character cannot be stored either


def _encoded(data: bytes, encoding: str) -> str:
    match encoding:
        case "base64":
            return base64.b64encode(data).decode()
        case "base64url":
            return base64.urlsafe_b64encode(data).decode().rstrip("=")
        case _:
            return data.hex()


def _decoded(text: str, encoding: str, name: str) -> bytes:
    """Return the bytes that a text stands for; missing padding and spaces around are fine.

    Raises:
        ItemFault: `invalid_encoding`.
    """
    plain = text.strip()
    try:
        if encoding == "hex":
            return bytes.fromhex(plain)
        padded = plain.rstrip("=") + "=" * (-len(plain.rstrip("=")) % 4)
        altchars = b"-_" if encoding == "base64url" else None
        return base64.b64decode(padded.encode("ascii"), altchars, validate=True)
    except (ValueError, binascii.Error):
        raise ItemFault("invalid_encoding", f"`{name}` is no {encoding}") from None


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    operation: Any = parameters["operation"]
    default = BY_OPERATION.get(operation, ("",))[0]
    usual = "base64" if operation in ("encode", "decode") else "hex"
    return Plan(
        operation=operation,
        compiled=compiled,
        algorithm=parameters.get("algorithm") or default,
        encoding=parameters.get("encoding") or usual,
        key_encoding=parameters.get("key_encoding", "text"),
        into=parameters.get("as") or operation,
    )


def _check(parameters: Parameters) -> Iterable[Fault]:
    wanted = {name: ["value"] for name in OPERATIONS if name != "id"}
    wanted["hmac"] = wanted["sign"] = ["value", "key"]
    wanted["verify"] = ["value", "key", "signature"]
    yield from needs(parameters, wanted)
    operation: Any = parameters.get("operation")
    algorithm: Any = parameters.get("algorithm")
    known = BY_OPERATION.get(operation) if isinstance(operation, str) else None
    if known is None and algorithm is not None and operation in OPERATIONS:
        yield Fault("invalid_parameter", "algorithm", f"`{operation}` has no `algorithm`")
    elif known is not None and algorithm is not None and algorithm not in known:
        text = f"`{operation}` knows {', '.join(known)}"
        yield Fault("invalid_parameter", "algorithm", text)


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="CRYPTO",
    summary="Hashes, signs, verifies, encodes; gives ids.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("operation", "text", "What to do.", optional=False, choices=OPERATIONS),
        Parameter("value", "text", "The text; `id` needs none.", expressions=True),
        Parameter(
            "algorithm",
            "text",
            "How; by default sha256, hmac_sha256 or ed25519.",
            choices=(*HASHES, *HMACS, *SIGNATURES),
        ),
        Parameter(
            "key",
            "text",
            "The key: a text for message codes, PEM for signatures (private to sign, public to "
            "verify).",
            expressions=True,
        ),
        Parameter(
            "key_encoding",
            "text",
            "How the key of a message code is written.",
            default="text",
            choices=("text", *ENCODINGS),
        ),
        Parameter("signature", "text", "What `verify` checks.", expressions=True),
        Parameter(
            "encoding",
            "text",
            "How bytes are written; by default hex, of `encode` and `decode` base64.",
            choices=ENCODINGS,
        ),
        Parameter("as", "text", f"{AS.doc} By default the operation's name."),
    ),
    run=run,
    prepare=_prepare,
    check=_check,
    seeded=True,
    example={
        "operation": "verify",
        "value": "{{ $json.raw_body }}",
        "key": "{{ $vars.webhook_secret }}",
        "signature": "{{ $json.headers['x-hub-signature-256'].replace('sha256=', '') }}",
        "as": "is_genuine",
    },
    errors=(
        "invalid_input",
        "input_too_large",
        "invalid_encoding",
        "invalid_key",
        "too_many_items",
    ),
)
