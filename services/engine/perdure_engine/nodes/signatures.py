"""Signatures with keys in PEM, as the node CRYPTO makes and checks them.

All three give the same signature for the same text and key: RSA with PKCS #1 v1.5 and
SHA-256 (RFC 8017; JWT's RS256), ECDSA on P-256 with SHA-256 and a nonce that follows from
text and key (RFC 6979; ES256), and Ed25519 (RFC 8032; EdDSA). ES256's signature is the two
numbers one after the other, as JWT has it (RFC 7518, 3.4).
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from .each import ItemFault

ALGORITHMS = ("ed25519", "es256", "rs256")

RSA_BITS_MIN = 2_048
RSA_BITS_MAX_PUBLIC = 4_096
RSA_BITS_MAX_PRIVATE = 3_072
"""Reading a private key checks that its numbers are prime: 84 ms with 3,072 bits, 196 ms with
4,096, which is longer than the engine's loop may stand still."""

KEYS_KEPT = 8
"""Keys that a process remembers, so that they are read once and not for every item."""

PEM_LENGTH_MAX = 2_700
"""Characters of a private key: RSA with 3,072 bits has some 2,500, with 4,096 some 3,270."""

RSA_PRIVATE = range(RSA_BITS_MIN, RSA_BITS_MAX_PRIVATE + 1)
RSA_PUBLIC = range(RSA_BITS_MIN, RSA_BITS_MAX_PUBLIC + 1)

P256_BYTES = 32
"""Bytes of each of the two numbers of a signature on P-256."""


def signed(algorithm: str, pem: str, data: bytes) -> bytes:
    """Return the signature of `data`.

    Raises:
        ItemFault: `invalid_key` where the key is none, or none of this algorithm.
    """
    key = _private(pem)
    match algorithm, key:
        case "ed25519", ed25519.Ed25519PrivateKey():
            return key.sign(data)
        case "es256", ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            made = key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))
            return b"".join(part.to_bytes(P256_BYTES) for part in decode_dss_signature(made))
        case "rs256", rsa.RSAPrivateKey() if key.key_size in RSA_PRIVATE:
            return key.sign(data, padding.PKCS1v15(), SHA256())
        case _:
            raise _other_key(algorithm)


def is_signed(algorithm: str, pem: str, data: bytes, signature: bytes) -> bool:
    """Return whether `signature` is that of `data`; the key is the public one.

    Raises:
        ItemFault: As `signed`.
    """
    key = _public(pem)
    try:
        match algorithm, key:
            case "ed25519", ed25519.Ed25519PublicKey():
                key.verify(signature, data)
            case "es256", ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
                if len(signature) != 2 * P256_BYTES:
                    return False
                r, s = signature[:P256_BYTES], signature[P256_BYTES:]
                der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
                key.verify(der, data, ec.ECDSA(SHA256()))
            case "rs256", rsa.RSAPublicKey() if key.key_size in RSA_PUBLIC:
                key.verify(signature, data, padding.PKCS1v15(), SHA256())
            case _:
                raise _other_key(algorithm)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=KEYS_KEPT)
def _private(pem: str) -> object:
    """Return a private key.

    Raises:
        ItemFault: `invalid_key`; a text that is too long is not even read.
    """
    if len(pem) > PEM_LENGTH_MAX:
        text = (
            f"`key` is too long; RSA keys to sign with have at most {RSA_BITS_MAX_PRIVATE:,} bits"
        )
        raise ItemFault("invalid_key", text)
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ItemFault("invalid_key", "`key` is no private key in PEM, without password") from None


@lru_cache(maxsize=KEYS_KEPT)
def _public(pem: str) -> object:
    """Return a public key.

    Raises:
        ItemFault: `invalid_key`.
    """
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ItemFault("invalid_key", "`key` is no public key in PEM") from None


def _other_key(algorithm: str) -> ItemFault:
    wanted = {
        "ed25519": "an Ed25519 key",
        "es256": "a key on the curve P-256",
        "rs256": f"an RSA key of {RSA_BITS_MIN:,} bits, at most {RSA_BITS_MAX_PUBLIC:,} to "
        f"verify and {RSA_BITS_MAX_PRIVATE:,} to sign",
    }
    return ItemFault("invalid_key", f"`key` must be {wanted[algorithm]} for {algorithm}")
