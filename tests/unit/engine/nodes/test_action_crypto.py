"""ACTION CRYPTO: against published test vectors, and what is refused."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from nodes_for_tests import failures, jsons, made, refused, run

FOX = "The quick brown fox jumps over the lazy dog"


def computed(value: Any, **parameters: Any) -> Any:
    node = made("ACTION.CRYPTO", value="{{ $json.v }}", **{"as": "r", **parameters})
    outcome = run(node, {"v": value})
    return jsons(outcome)[0]["r"] if outcome.ports["main"] else failures(outcome)[0][1]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"operation": "hash"}, "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592"),
        ({"operation": "hash", "algorithm": "sha1"}, "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"),
        ({"operation": "hash", "algorithm": "md5"}, "9e107d9d372bb6826bd81d3542a419d6"),
        (
            {"operation": "hmac", "key": "key"},
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
        ),
        (
            {
                "operation": "hmac",
                "key": "a2V5",
                "key_encoding": "base64",
                "algorithm": "hmac_sha1",
            },
            "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9",
        ),
        (
            {"operation": "encode"},
            "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw==",
        ),
    ],
)
def test_digests_are_those_of_the_published_examples(parameters: Any, expected: str) -> None:
    assert computed(FOX, **parameters) == expected


@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "ü€😀?>", FOX])
def test_what_is_encoded_is_decoded_again(text: str, encoding: str) -> None:
    there = computed(text, operation="encode", encoding=encoding)
    assert computed(there, operation="decode", encoding=encoding) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("abc", "hex"),
        ("zz", "hex"),
        ("a", "base64"),
        ("a-b_", "base64"),
        ("/w==", "base64"),
        ("ü", "base64"),
    ],
)
def test_what_is_no_encoding_of_a_text_fails_its_item(text: str, encoding: str) -> None:
    assert computed(text, operation="decode", encoding=encoding) == "invalid_encoding"


@pytest.mark.parametrize("value", [None, 1, {"a": 1}])
def test_only_texts_are_hashed(value: Any) -> None:
    assert computed(value, operation="hash") == "invalid_input"


def pems(key: Any) -> tuple[str, str]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


KEYS = {
    "ed25519": pems(ed25519.Ed25519PrivateKey.generate()),
    "es256": pems(ec.generate_private_key(ec.SECP256R1())),
    "rs256": pems(rsa.generate_private_key(65_537, 2_048)),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_signature_is_always_the_same_and_fits_only_its_text_and_key(algorithm: str) -> None:
    private, public = KEYS[algorithm]
    made_of = {"operation": "sign", "algorithm": algorithm, "key": private, "encoding": "base64url"}
    signature = computed(FOX, **made_of)
    assert signature == computed(FOX, **made_of)

    def verified(text: str, signature: str) -> Any:
        return computed(
            text, operation="verify", algorithm=algorithm, key=public, signature=signature,
            encoding="base64url",
        )  # fmt: skip

    assert verified(FOX, signature) is True
    assert verified(FOX + ".", signature) is False
    assert verified(FOX, signature[:-4] + "AAAA") is False
    assert verified(FOX, "") is False
    assert verified(FOX, "not a signature!") is False


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_key_of_another_kind_is_refused(algorithm: str) -> None:
    others = [private for name, (private, _) in KEYS.items() if name != algorithm]
    small = pems(rsa.generate_private_key(65_537, 1_024))[0]
    for key in [*others, small, "no key", KEYS[algorithm][1]]:
        assert computed(FOX, operation="sign", algorithm=algorithm, key=key) == "invalid_key"
    public_too = computed(
        FOX, operation="verify", algorithm=algorithm, key=KEYS[algorithm][0], signature="aa"
    )
    assert public_too == "invalid_key"


def test_a_webhooks_code_is_verified() -> None:
    code = computed(FOX, operation="hmac", key="secret")
    for signature, expected in ((code, True), (code[:-1] + "0", code[-1] == "0"), ("zz", False)):
        found = computed(FOX, operation="verify", key="secret", signature=signature)
        assert found is expected


def test_ids_differ_for_every_item_and_run_and_come_again_in_a_replay() -> None:
    node = made("ACTION.CRYPTO", operation="id")
    first = [item["id"] for item in jsons(run(node, {}, {}, seed="run 1"))]
    assert first == [item["id"] for item in jsons(run(node, {}, {}, seed="run 1"))]
    other = [item["id"] for item in jsons(run(node, {}, {}, seed="run 2"))]
    assert len({*first, *other}) == 4


def test_one_run_signs_so_many_and_no_more() -> None:
    private, _ = KEYS["ed25519"]
    node = made("ACTION.CRYPTO", operation="sign", value="x", key=private)
    outcome = run(node, *range(52))
    assert failures(outcome) == [(50, "too_many_items"), (51, "too_many_items")]


def test_one_run_signs_with_one_key() -> None:
    first, second = KEYS["ed25519"][0], pems(ed25519.Ed25519PrivateKey.generate())[0]
    node = made("ACTION.CRYPTO", operation="sign", value="x", key="{{ $json }}")
    outcome = run(node, first, first, second)
    assert failures(outcome) == [(2, "too_many_items")]


def test_a_key_that_would_take_long_to_read_is_not_read() -> None:
    large = rsa.generate_private_key(65_537, 4_096)
    private, public = pems(large)
    sign = {"operation": "sign", "algorithm": "rs256", "key": private}
    assert computed(FOX, **sign) == "invalid_key"
    signature = large.sign(FOX.encode(), padding.PKCS1v15(), SHA256()).hex()
    verify = {"operation": "verify", "algorithm": "rs256", "key": public, "signature": signature}
    assert computed(FOX, **verify) is True
    middle = pems(rsa.generate_private_key(65_537, 3_072))[0]
    assert len(computed(FOX, operation="sign", algorithm="rs256", key=middle)) == 2 * 384


def test_each_operation_says_what_it_needs() -> None:
    assert refused("ACTION.CRYPTO", operation="hash") == [("missing_parameter", "value")]
    assert refused("ACTION.CRYPTO", operation="hmac", value="x") == [("missing_parameter", "key")]
    assert refused("ACTION.CRYPTO", operation="hash", value="x", algorithm="ed25519") == [
        ("invalid_parameter", "algorithm")
    ]
    assert refused("ACTION.CRYPTO", operation="id", algorithm="sha1") == [
        ("invalid_parameter", "algorithm")
    ]
