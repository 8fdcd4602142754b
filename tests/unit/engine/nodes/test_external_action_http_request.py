"""What a repetition of a request costs, and how long it may take."""

from typing import Any

import pytest
from nodes_for_tests import refused
from perdure_engine.nodes import find
from perdure_engine.nodes.external_action_http_request import effect, length


@pytest.mark.parametrize(
    ("parameters", "cost"),
    [
        ({}, "pure"),
        ({"method": "HEAD"}, "pure"),
        ({"method": "OPTIONS"}, "pure"),
        ({"method": "POST"}, "unsafe"),
        ({"method": "DELETE"}, "unsafe"),
        ({"method": "PUT", "idempotency_header": "Idempotency-Key"}, "keyed"),
    ],
)
def test_the_method_and_the_key_decide_what_a_repetition_costs(
    parameters: dict[str, Any], cost: str
) -> None:
    assert effect(parameters) == cost


def test_a_request_is_short_up_to_thirty_seconds() -> None:
    assert length({}, None) == "short"
    assert length({"timeout_s": 31}, None) == "long"
    assert length({"timeout_s": 31}, 30.0) == "short"
    assert length({}, 31.0) == "long"


def test_subtypes_are_found_by_type_and_name() -> None:
    assert find("FLOW", "IF") is not None
    assert find("ACTION", "IF") is None


def test_pages_and_credentials_are_checked() -> None:
    kind = "EXTERNAL_ACTION.HTTP_REQUEST"
    url = {"url": "https://example.com"}
    assert refused(kind, **url, auth={"kind": "basic", "username": "u"}) == [
        ("missing_parameter", "auth.password")
    ]
    assert refused(kind, **url, auth={"kind": "digest"}) == [("invalid_parameter", "auth.kind")]
    assert refused(kind, **url, auth={"kind": "bearer", "token": "{{ $vars.t }}"}) == []
    assert refused(kind, **url, pagination={"kind": "cursor"}) == [
        ("missing_parameter", "pagination.cursor")
    ]
    assert refused(kind, **url, pagination={"kind": "page", "pages_max": 101}) == [
        ("invalid_parameter", "pagination.pages_max")
    ]
    assert refused(kind, **url, method="POST", pagination={"kind": "page"}) == [
        ("invalid_parameter", "pagination")
    ]


def test_all_pages_together_decide_how_long_it_takes() -> None:
    assert (
        length({"timeout_s": 10, "pagination": {"kind": "page", "pages_max": 3}}, None) == "short"
    )
    assert length({"timeout_s": 10, "pagination": {"kind": "page"}}, None) == "long"


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"json": {}, "form": {}}, "form"),
        ({"idempotency_header": " "}, "idempotency_header"),
    ],
)
def test_a_compensation_is_a_request_as_any_other(wrong: dict[str, Any], place: str) -> None:
    kind = "EXTERNAL_ACTION.HTTP_REQUEST"
    right = {"url": "https://example.com", "method": "PUT"}
    assert refused(kind, **{**right, **wrong}) == [("invalid_parameter", place)]
    found = refused(kind, **right, compensate={**right, **wrong})
    assert found == [("invalid_parameter", f"compensate.{place}")]
    assert refused(kind, **right, compensate=right) == []
