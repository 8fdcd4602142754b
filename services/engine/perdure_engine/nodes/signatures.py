"""Signatures with keys in PEM, as the node CRYPTO makes and checks them.

All three give the same signature for the same text and key: RSA with PKCS #1 v1.5 and
SHA-256 (RFC 8017; JWT's RS256), ECDSA on P-256 with SHA-256 and a nonce that follows from
text and key (RFC 6979; ES256), and Ed25519 (RFC 8032; EdDSA). ES256's signature is the two
numbers one after the other, as JWT has it (RFC 7518, 3.4).
"""

from typing import TypeAlias

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

RSA_BITS_MIN, RSA_BITS_MAX = 2_048, 4_096
P256_BYTES = 32
"""Bytes of each of the two numbers of a signature on P-256."""

Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Public: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def signed(algorithm: str, pem: str, data: bytes) -> bytes:
    """Return the signature of `data`.

    Raises:
        ItemFault: `invalid_key` where the key is none, or none of this algorithm.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ItemFault("invalid_key", "`key` is no private key in PEM, without password") from None
    match algorithm, key:
        case "ed25519", ed25519.Ed25519PrivateKey():
            return key.sign(data)
        case "es256", ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            made = key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))
            return b"".join(part.to_bytes(P256_BYTES) for part in decode_dss_signature(made))
        case "rs256", rsa.RSAPrivateKey() if RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            return key.sign(data, padding.PKCS1v15(), SHA256())
        case _:
            raise _other_key(algorithm)


def is_signed(algorithm: str, pem: str, data: bytes, signature: bytes) -> bool:
    """Return whether `signature` is that of `data`; the key is the public one.

    Raises:
        ItemFault: As `signed`.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ItemFault("invalid_key", "`key` is no public key in PEM") from None
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
            case "rs256", rsa.RSAPublicKey() if RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
                key.verify(signature, data, padding.PKCS1v15(), SHA256())
            case _:
                raise _other_key(algorithm)
    except InvalidSignature:
        return False
    return True


def _other_key(algorithm: str) -> ItemFault:
    wanted = {
        "ed25519": "an Ed25519 key",
        "es256": "a key on the curve P-256",
        "rs256": f"an RSA key of {RSA_BITS_MIN:,} to {RSA_BITS_MAX:,} bits",
    }
    return ItemFault("invalid_key", f"`key` must be {wanted[algorithm]} for {algorithm}")
