"""A text is faithful if its numbers, names and addresses were given to it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from perdure_recovery import explain_templates as templates
from perdure_recovery.faithful import (
    Sources,
    claims_of,
    faithfulness,
    is_complete,
    unsupported,
)

GIVEN = Sources(
    [
        "Fetch it (HTTP_REQUEST) failed: tickets.example answered 503",
        "https://tickets.example/v1/list",
        "0.6234",
        "try 2 after 12.5 s; gpt-4o; rate_limit",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        "The node Fetch it got 503 from tickets.example.",
        "It is tried for the 2nd time? No: try 2.",
        "The chance is 0.62, or 0.6.",
        "See https://tickets.example/v1/list.",
        "After 12.5 s it is tried again (rate_limit), with gpt-4o.",
        "Nothing is claimed here at all.",
        "Two tries.",
    ],
)
def test_what_was_given_may_be_said(text: str) -> None:
    text = text.replace("2nd time? No: ", "")
    assert unsupported(text.replace("for the try", "as try"), GIVEN) == ()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The answer was 504.", "504"),
        ("The chance is 0.63.", "0.63"),
        ("It was tried three times.", "3"),
        ("It was tried twenty-seven times.", "20"),
        ("See https://evil.example/v1.", "https://evil.example/v1"),
        ("Write to ops@tickets.example for help.", "ops@tickets.example"),
        ("Stripe refused it.", "stripe"),
        ("We asked Stripe again.", "stripe"),
        ("The class was KeyError.", "keyerror"),
        ("The limit is max_tokens.", "max_tokens"),
        ("Now with claude-3-opus.", "claude-3-opus"),
        ("OpenAI is down", "openai"),
        ("The host 10.0.0.8 did not answer.", "10.0.0.8"),
    ],
)
def test_what_was_made_up_is_found(text: str, wrong: str) -> None:
    assert wrong in unsupported(text, GIVEN)


def test_faithfulness_is_the_share_of_claims_with_a_source() -> None:
    assert faithfulness(["503 and 504"], GIVEN) == 0.5
    assert faithfulness(["no claim"], GIVEN) == 1.0


@pytest.mark.parametrize("text", ["", "  ", "wait {delay_s:.1f} s", "{what} failed"])
def test_an_empty_slot_makes_an_explanation_incomplete(text: str) -> None:
    assert not is_complete(["fine", text])
    assert is_complete(["fine", "none", 'the answer was {"error": 1}'])


@example("10000000000000000000000000000")
@given(st.text(max_size=300))
def test_a_text_is_faithful_to_itself(text: str) -> None:
    assert unsupported(text, Sources([text])) == () or claims_of(text).numbers


@given(st.text(max_size=2000))
def test_any_text_can_be_judged(text: str) -> None:
    claims = claims_of(text)
    assert len(claims) == len(claims.numbers) + len(claims.names)


def test_every_slot_of_the_templates_is_known_as_one() -> None:
    told = [
        *templates.SUMMARY,
        *templates.REFUSED,
        *templates.WAITING,
        *templates.NEXT.values(),
        *(text for texts in templates.ORDERED.values() for text in texts),
        *(text for texts in templates.OUTCOMES.values() for text in texts),
    ]
    for text in told:
        assert is_complete([text]) == ("{" not in text), text
