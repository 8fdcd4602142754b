"""Who sent a request: the vectors of the specifications, and everything that is nearly right."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from perdure_scheduler.hooks.verify import (
    TOLERANCE_S,
    SecretMissing,
    is_timely,
    security_headers,
    verified,
)

Headers = Mapping[bytes, list[bytes]]

NOW = 1_700_000_000
SECRET = {"secret": "s3cret"}
WHSEC = {"secret": "whsec_" + base64.b64encode(b"k" * 24).decode()}
GENERIC: dict[str, Any] = {
    "auth": "hmac",
    "signature_header": "x-signature",
    "algorithm": "sha256",
    "encoding": "hex",
    "prefix": "",
}


def headers(**values: bytes) -> Headers:
    return {name.replace("_", "-").encode(): [value] for name, value in values.items()}


def standard(body: bytes, *, key: bytes = b"k" * 24, at: int = NOW, id: bytes = b"m1") -> Headers:
    stamp = b"%d" % at
    signed = hmac.digest(key, b"%b.%b.%b" % (id, stamp, body), "sha256")
    signature = b"v1," + base64.b64encode(signed)
    return headers(webhook_id=id, webhook_timestamp=stamp, webhook_signature=signature)


def slack(body: bytes, *, secret: bytes = b"s3cret", at: int = NOW) -> Headers:
    stamp = b"%d" % at
    signature = b"v0=" + hmac.digest(secret, b"v0:%b:%b" % (stamp, body), "sha256").hex().encode()
    return headers(x_slack_request_timestamp=stamp, x_slack_signature=signature)


def github(body: bytes, secret: bytes = b"s3cret") -> Headers:
    digest = hmac.digest(secret, body, "sha256").hex().encode()
    return headers(x_hub_signature_256=b"sha256=" + digest)


SIGNED: dict[str, tuple[Any, Any]] = {
    "standard": (standard, WHSEC),
    "slack": (slack, SECRET),
    "github": (github, SECRET),
}


def test_the_example_of_standard_webhooks_verifies() -> None:
    fields = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    said = headers(
        webhook_id=b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        webhook_timestamp=b"1614265330",
        webhook_signature=b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )
    body = b'{"test": 2432232314}'
    assert verified({"auth": "standard"}, fields, said, body, 1614265330)
    assert not verified({"auth": "standard"}, fields, said, body + b" ", 1614265330)
    assert not verified({"auth": "standard"}, fields, said, body, 1614265330 + 301)


def test_the_example_of_github_verifies() -> None:
    fields = {"secret": "It's a Secret to Everybody"}
    given = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    said = headers(x_hub_signature_256=given)
    assert verified({"auth": "github"}, fields, said, b"Hello, World!", NOW)
    assert not verified({"auth": "github"}, fields, said, b"Hello, World", NOW)


def test_the_example_of_slack_verifies() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    said = headers(
        x_slack_request_timestamp=b"1531420618",
        x_slack_signature=(b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
    )
    fields = {"secret": "8f742231b10e8888abcd99yyyzzz85a5"}
    assert verified({"auth": "slack"}, fields, said, body, 1531420618)


@pytest.mark.parametrize("auth", SIGNED)
def test_both_live_secrets_are_taken_and_no_third(auth: str) -> None:
    sign, fields = SIGNED[auth]
    secret = WHSEC["secret"] if auth == "standard" else "s3cret"
    other = "whsec_" + base64.b64encode(b"n" * 24).decode() if auth == "standard" else "newer"
    rotated = {"secret": other, "previous_secret": secret}
    assert verified({"auth": auth}, rotated, sign(b"body"), b"body", NOW)
    assert verified({"auth": auth}, fields, sign(b"body"), b"body", NOW)
    assert not verified({"auth": auth}, {"secret": other}, sign(b"body"), b"body", NOW)


@pytest.mark.parametrize("auth", ["standard", "slack"])
@pytest.mark.parametrize(("away", "right"), [(0, True), (300, True), (301, False)])
def test_a_signed_time_counts_for_five_minutes_both_ways(auth: str, away: int, right: bool) -> None:
    sign, fields = SIGNED[auth]
    for at in (NOW - away, NOW + away):
        assert verified({"auth": auth}, fields, sign(b"x", at=at), b"x", NOW) is right


@pytest.mark.parametrize(
    "stamp", [b"", b"-1700000000", b"1700000000.0", b" 1700000000", b"1_700_000_000", b"1e9",
              "\uff11\uff17".encode(), b"1" * 5_000]
)  # fmt: skip
def test_a_time_that_is_no_whole_number_is_none(stamp: bytes) -> None:
    assert not is_timely(stamp, NOW)


def test_junk_before_a_good_signature_is_skipped() -> None:
    said = dict(standard(b"x"))
    good = said[b"webhook-signature"][0]
    said[b"webhook-signature"] = [b"v1 v1, v2,AAAA ,, \xff\xfe v1a,AAAA " + good]
    assert verified({"auth": "standard"}, WHSEC, said, b"x", NOW)


def test_a_signature_is_looked_for_among_a_bounded_number() -> None:
    said = dict(standard(b"x"))
    said[b"webhook-signature"] = [b"v1,AAAA " * 40 + said[b"webhook-signature"][0]]
    assert not verified({"auth": "standard"}, WHSEC, said, b"x", NOW)


@pytest.mark.parametrize("auth", ["standard", "github", "slack", "hmac", "bearer", "basic"])
@pytest.mark.parametrize("fields", [{}, {"secret": ""}, {"previous_secret": "s3cret"}])
def test_without_a_present_secret_nothing_is_judged(auth: str, fields: dict[str, str]) -> None:
    with pytest.raises(SecretMissing):
        verified({**GENERIC, "auth": auth}, fields, {}, b"", NOW)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_%%%", "whsec_abc"])
def test_a_secret_that_is_no_base64_is_missing(secret: str) -> None:
    with pytest.raises(SecretMissing):
        verified({"auth": "standard"}, {"secret": secret}, standard(b"x"), b"x", NOW)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_generic_signature_has_its_own_hash_and_letters(encoding: str, algorithm: str) -> None:
    settings = {**GENERIC, "encoding": encoding, "algorithm": algorithm, "prefix": "sig="}
    digest = hmac.digest(b"s3cret", b"body", algorithm)
    text = base64.b64encode(digest) if encoding == "base64" else digest.hex().upper().encode()
    assert verified(settings, SECRET, headers(x_signature=b"sig=" + text), b"body", NOW)
    assert not verified(settings, SECRET, headers(x_signature=text), b"body", NOW)
    assert not verified(settings, SECRET, headers(x_signature=b"sig="), b"body", NOW)
    assert not verified(settings, SECRET, {}, b"body", NOW)


def test_a_generic_signature_can_cover_a_time() -> None:
    settings = {**GENERIC, "timestamp_header": "x-time"}
    stamp = b"%d" % NOW
    signature = hmac.digest(b"s3cret", stamp + b".body", "sha256").hex().encode()
    said = headers(x_signature=signature, x_time=stamp)
    assert verified(settings, SECRET, said, b"body", NOW)
    assert not verified(settings, SECRET, said, b"body", NOW + TOLERANCE_S + 1)
    assert b"x-time" in security_headers(settings)


def test_a_token_is_taken_whatever_the_case_of_its_scheme() -> None:
    fields = {"token": "t0ken", "previous_token": "0ld"}
    for said in (b"Bearer t0ken", b"bearer t0ken", b"BEARER 0ld"):
        assert verified({"auth": "bearer"}, fields, headers(authorization=said), b"", NOW)
    for said in (b"", b"Bearer", b"Bearer ", b"Bearer t0ke", b"Basic t0ken", b"t0ken"):
        assert not verified({"auth": "bearer"}, fields, headers(authorization=said), b"", NOW)


def test_a_password_may_have_colons() -> None:
    fields = {"username": "ann", "password": "a:b", "previous_password": "old"}

    def basic(text: str) -> Headers:
        return headers(authorization=b"Basic " + base64.b64encode(text.encode()))

    for right in ("ann:a:b", "ann:old"):
        assert verified({"auth": "basic"}, fields, basic(right), b"", NOW)
    for wrong in ("ann:", ":a:b", "ann:a", "", "bob:a:b"):
        assert not verified({"auth": "basic"}, fields, basic(wrong), b"", NOW)
    junk = headers(authorization=b"Basic %%%")
    assert not verified({"auth": "basic"}, fields, junk, b"", NOW)


NAMES = st.sampled_from(
    (b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x-hub-signature-256",
     b"x-slack-signature", b"x-slack-request-timestamp", b"x-signature", b"authorization")
)  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from((b"v1,", b"v0=", b"sha256=", b"Bearer ", b"Basic ", b"%d" % NOW)),
)


@given(
    said=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=2)),
    body=st.binary(max_size=200),
    auth=st.sampled_from(("standard", "github", "slack", "hmac", "bearer", "basic")),
)
def test_no_junk_is_taken_and_none_breaks_the_judge(said: Headers, body: bytes, auth: str) -> None:
    fields = {**WHSEC, "token": "t0ken", "username": "ann", "password": "pw"}
    assert not verified({**GENERIC, "auth": auth}, fields, said, body, NOW)


@given(
    body=st.binary(max_size=100),
    auth=st.sampled_from(tuple(SIGNED)),
    place=st.integers(0, 10_000),
    change=st.integers(1, 255),
    where=st.sampled_from(("body", "header")),
)
def test_one_changed_byte_is_enough_to_be_refused(
    body: bytes, auth: str, place: int, change: int, where: str
) -> None:
    sign, fields = SIGNED[auth]
    said = {name: list(values) for name, values in sign(body).items()}
    assert verified({"auth": auth}, fields, said, body, NOW)
    if where == "body":
        assume(body)
        at = place % len(body)
        body = body[:at] + bytes([body[at] ^ change]) + body[at + 1 :]
    else:
        names = sorted(said)
        name = names[place % len(names)]
        (value,) = said[name]
        at = place % len(value)
        said[name] = [value[:at] + bytes([value[at] ^ change]) + value[at + 1 :]]
    assert not verified({"auth": auth}, fields, said, body, NOW)


@given(body=st.binary(max_size=100), cut=st.integers(1, 100))
def test_a_body_that_was_cut_or_grew_is_refused(body: bytes, cut: int) -> None:
    for auth, (sign, fields) in SIGNED.items():
        said = sign(body)
        assert not verified({"auth": auth}, fields, said, body + b"x", NOW)
        if body:
            assert not verified({"auth": auth}, fields, said, body[:-cut], NOW)
