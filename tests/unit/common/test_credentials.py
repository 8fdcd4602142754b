"""Credentials are sealed: what is kept tells nothing, and is bound to where it belongs."""

import base64

import pytest
from perdure_common.credentials import CredentialError, Seal
from perdure_common.settings import KEY_BYTES, SettingError, credentials_keys

KEY, OTHER = bytes(range(KEY_BYTES)), bytes(KEY_BYTES)
FIELDS = {"token": "tok-very-secret"}


def code(error: pytest.ExceptionInfo[CredentialError]) -> str:
    assert "very-secret" not in str(error.value)
    return error.value.code


def test_what_was_sealed_is_opened_with_the_same_key() -> None:
    seal = Seal([KEY])
    key_id, nonce, secret = seal.close("t", "shop", FIELDS)
    assert b"very-secret" not in secret
    assert seal.open("t", "shop", key_id, nonce, secret) == FIELDS
    assert seal.close("t", "shop", FIELDS)[2] != secret, "no two seals are the same"


def test_an_old_key_still_opens_and_the_first_one_seals() -> None:
    key_id, nonce, secret = Seal([OTHER]).close("t", "shop", FIELDS)
    both = Seal([KEY, OTHER])
    assert both.open("t", "shop", key_id, nonce, secret) == FIELDS
    assert both.close("t", "shop", FIELDS)[0] != key_id


def test_a_row_that_was_put_elsewhere_is_not_opened_there() -> None:
    seal = Seal([KEY])
    key_id, nonce, secret = seal.close("t", "shop", FIELDS)
    for tenant, handle in (("t2", "shop"), ("t", "other")):
        with pytest.raises(CredentialError) as error:
            seal.open(tenant, handle, key_id, nonce, secret)
        assert code(error) == "credential_unreadable"
    with pytest.raises(CredentialError) as error:
        seal.open("t", "shop", key_id, nonce, secret[:-1] + b"x")
    assert code(error) == "credential_unreadable"


def test_a_key_that_is_gone_is_named() -> None:
    key_id, nonce, secret = Seal([KEY]).close("t", "shop", FIELDS)
    with pytest.raises(CredentialError, match=key_id) as error:
        Seal([OTHER]).open("t", "shop", key_id, nonce, secret)
    assert code(error) == "credential_unreadable"


@pytest.mark.parametrize(
    ("handle", "fields", "expected"),
    [
        ("Shop", FIELDS, "invalid_handle"),
        ("../x", FIELDS, "invalid_handle"),
        ("shop", {}, "no_fields"),
        ("shop", {"To ken": "x"}, "invalid_field"),
        ("shop", {"token": "x" * 70_000}, "secret_too_large"),
    ],
)
def test_what_cannot_be_a_credential_is_refused(
    handle: str, fields: dict[str, str], expected: str
) -> None:
    with pytest.raises(CredentialError) as error:
        Seal([KEY]).close("t", handle, fields)
    assert code(error) == expected


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(CredentialError) as error:
        Seal([]).close("t", "shop", FIELDS)
    assert code(error) == "credentials_off"


def test_keys_are_read_from_the_setting_and_never_repeated_in_an_error() -> None:
    text = base64.urlsafe_b64encode(KEY).decode()
    assert credentials_keys({"PERDURE_CREDENTIALS_KEY": text}) == (KEY,)
    assert credentials_keys({}) == ()
    with pytest.raises(SettingError) as error:
        credentials_keys({"PERDURE_CREDENTIALS_KEY": f"{text} {text[:20]}"})
    assert "entry 2" in str(error.value)
    assert text[:20] not in str(error.value)
