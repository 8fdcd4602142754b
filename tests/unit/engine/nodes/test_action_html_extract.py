"""ACTION HTML_EXTRACT: what is found, and what is refused because it would take long."""

from typing import Any

import pytest
from nodes_for_tests import failures, jsons, made, refused, run

PAGE = """<title>T</title><h1> A <b>b</b>
 c</h1><ul><li><a href="/1">one</a><li><a HREF='/2' hidden>two</a><li><a>none</a></ul>
<table><tr><td>x<td>y</table><script>var n = '<h1>no</h1>'</script>"""


def extract(html: Any, *parts: dict[str, Any], **parameters: Any) -> Any:
    node = made(
        "ACTION.HTML_EXTRACT",
        value="{{ $json.h }}",
        **{"keep": "none", "extract": list(parts), **parameters},
    )
    return run(node, {"h": html, "k": 1})


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"selector": "h1"}, "A b c"),
        ({"selector": "h1", "take": "html"}, "<h1> A <b>b</b>\n c</h1>"),
        ({"selector": "li a", "many": True}, ["one", "two", "none"]),
        ({"selector": "a", "attribute": "href", "many": True}, ["/1", "/2", None]),
        ({"selector": "a[hidden]", "attribute": "HIDDEN"}, ""),
        ({"selector": "a:not([href])"}, "none"),
        ({"selector": "td:nth-child(2)"}, "y"),
        ({"selector": "h2"}, None),
        ({"selector": "h2", "many": True}, []),
    ],
)
def test_what_a_selector_matches_fills_the_field(part: dict[str, Any], expected: Any) -> None:
    assert jsons(extract(PAGE, {"name": "r", **part})) == [{"r": expected}]


def test_other_fields_stay_if_wanted() -> None:
    assert jsons(extract("<p>x", {"name": "o.p", "selector": "p"}, keep="all")) == [
        {"h": "<p>x", "k": 1, "o": {"p": "x"}}
    ]


@pytest.mark.parametrize("html", ["", "no markup", "<", "<<<>>>", "\x00<p>", "<table><td>", "&#0;"])
def test_markup_that_is_broken_is_read_as_browsers_do(html: str) -> None:
    outcome = extract(html, {"name": "r", "selector": "body"})
    assert outcome.failed == ()
    assert isinstance(jsons(outcome)[0]["r"], str)


HOSTILE: list[tuple[Any, str, str]] = [
    ("<div>" * 40_000, "div", "data_too_deep"),
    ("<ul><li>" * 20_000, "li", "data_too_deep"),
    ("<p>" * 80_000, "p:nth-last-of-type(2n)", "html_too_costly"),
    ("<b>x</b>" * 30_000, "b:HAS(i)", "html_too_costly"),
    ("<p>" * 6_000, "p", "too_many_items"),
    ("<b>" * 200 + "x" * 10_000, "b", "output_too_large"),
    ("x" * 300_001, "p", "input_too_large"),
    (None, "p", "invalid_input"),
]


@pytest.mark.parametrize(("html", "selector", "error"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_page_that_would_take_long_fails_its_item(html: Any, selector: str, error: str) -> None:
    part = {"name": "r", "selector": selector, "many": True}
    assert failures(extract(html, part)) == [(0, error)]


def test_a_run_may_not_take_long_in_many_small_pages() -> None:
    node = made(
        "ACTION.HTML_EXTRACT",
        value="{{ $json }}",
        extract=[{"name": "r", "selector": "p:nth-child(2)"}],
    )
    outcome = run(node, *["<p>" * 1_500] * 50)
    assert 0 < len(outcome.failed) < 50
    assert {error.type for _, error in outcome.failed} == {"html_too_costly"}


def test_selectors_are_checked_before_anything_runs() -> None:
    parts = [
        {"name": "a", "selector": "p["},
        {"name": "b", "selector": "p:nope"},
        {"name": "c", "selector": "p", "take": "attribute"},
        {"name": "d", "selector": "p"},
    ]
    assert refused("ACTION.HTML_EXTRACT", value="x", extract=parts) == [
        ("invalid_parameter", "extract[0].selector"),
        ("invalid_parameter", "extract[1].selector"),
        ("missing_parameter", "extract[2].attribute"),
    ]
