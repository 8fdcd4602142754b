"""ACTION HTML_EXTRACT: takes texts, attributes or markup out of HTML, by CSS selectors.

The HTML is read as browsers read it, so broken markup is fine. Each entry of `extract`
fills the field `name`: with the first match, or with `many` with a list of all. Without a
match it is null, or an empty list. In a text, spaces and line ends are one space. Scripts
are not run, and nothing is fetched.

What would take long is an error: very large or deeply nested pages, elements with hundreds of
attributes, and selectors such as `:nth-child` or `:has` on pages with thousands of elements.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from perdure_contracts.message import Json
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from perdure_engine.expressions import Compiled, Scope

from .base import Fault, Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .each import TEXT_LENGTH_MAX, ItemFault, each, put, text_of

HTML_LENGTH_MAX = 300_000
"""Characters of one page."""

DEPTH_MAX = 256
"""Elements that may stand open at once: the parser's work grows with its square."""

MATCHES_MAX = 5_000
"""Matches of one selector."""

WORK_NS_MAX = 150_000_000
"""Nanoseconds that the selectors of a run may take, by the estimate below."""

ELEMENT_NS = 250
PAIR_NS = 5
"""What a selector takes for each element, and a costly one for each pair of elements;
measured, rounded up."""

COSTLY = re.compile(r":(?:nth-|has\b|last-of|only-of)", re.IGNORECASE)
"""Selectors whose work grows with the square of the page."""

ATTRIBUTES_MAX = 200
"""Attributes of one element: the parser compares each with all before it."""

READ_AGAIN_MAX = 4
"""How often the characters of a page may be looked at for attributes, on the average."""

TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
OPENS = re.compile(r"<(?=[a-zA-Z])")
ATTRIBUTE = (
    r"[\s/]*+[^\s/>][^\s/>=]*+"
    r"""(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
)
"""As HTML says (13.2.5.32 to 13.2.5.40 of its standard): a name may begin with `=`."""

ATTRIBUTES = re.compile(rf"[^\s/>]++(?:{ATTRIBUTE}){{0,{ATTRIBUTES_MAX}}}+({ATTRIBUTE})?+")
"""An element's name, all the attributes that it may have, and one more."""

CLOSED_BY_THE_NEXT = frozenset(
    (
        *("p", "li", "dt", "dd", "option", "optgroup", "rt", "rp", "colgroup"),
        *("tr", "td", "th", "thead", "tbody", "tfoot"),
    )
)
NEVER_OPEN = frozenset(
    (
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta"),
        *("param", "source", "track", "wbr"),
    )
)

TAKES = ("text", "attribute", "html")


@dataclass(frozen=True, slots=True)
class Part:
    """What is taken, and the field that it fills."""

    name: str
    selector: str
    take: str
    attribute: str
    many: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The page, what is taken of it, and whether the other fields stay."""

    value: Compiled
    parts: tuple[Part, ...]
    keep: bool


def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Extract from each item's page."""
    spent_ns = 0

    def make(index: int, json: Json, scope: Scope) -> Json:
        nonlocal spent_ns
        del index
        html = text_of(plan.value, scope, "value", HTML_LENGTH_MAX)
        elements = count_elements(html)
        spent_ns += sum(_work_ns(part.selector, elements) for part in plan.parts)
        if spent_ns > WORK_NS_MAX:
            text = (
                f"the selectors would take too long on {elements:,} elements; use fewer, or "
                "simpler ones without `:nth-…` and `:has`, or split the items"
            )
            raise ItemFault("html_too_costly", text)
        page = LexborHTMLParser(html)
        made: Json = json if plan.keep else {}
        for part in plan.parts:
            made = put(made, part.name, _taken(page, part), scope)
        return made

    return each(inputs, scope_of, make)


def _work_ns(selector: str, elements: int) -> int:
    return elements * ELEMENT_NS + (elements**2 * PAIR_NS if COSTLY.search(selector) else 0)


def count_elements(html: str) -> int:
    """Return how many elements a page has at most.

    Raises:
        ItemFault: `data_too_deep` when so many stand open that reading takes long,
            `too_many_items` when one has so many attributes.
    """
    _check_attributes(html)
    count = still_open = 0
    for close, name in TAG.findall(html):
        tag = name.lower()
        if tag in NEVER_OPEN or tag in CLOSED_BY_THE_NEXT:
            count += not close
        elif close:
            still_open = max(0, still_open - 1)
        else:
            count += 1
            still_open += 1
            if still_open > DEPTH_MAX:
                text = f"the HTML has more than {DEPTH_MAX} elements inside each other"
                raise ItemFault("data_too_deep", text)
    return count + 3  # html, head and body are made where they are missing


def _check_attributes(html: str) -> None:
    """Refuse a page of which an element has very many attributes, before it is parsed.

    Where comments and scripts end only a parser knows, so every `<` that could begin an element is
    taken for one, though it stand in another one's attribute.

    Raises:
        ItemFault: `too_many_items`.
    """
    left = READ_AGAIN_MAX * len(html)
    for begin in OPENS.finditer(html):
        found = ATTRIBUTES.match(html, begin.end())
        if found is None:
            continue
        left -= found.end() - found.start()
        if found.lastindex or left < 0:
            text = f"an element of the HTML has more than {ATTRIBUTES_MAX} attributes"
            raise ItemFault("too_many_items", text)


def _taken(page: LexborHTMLParser, part: Part) -> Json:
    found = page.css(part.selector)
    if len(found) > MATCHES_MAX:
        text = f"{part.selector!r} matches {len(found):,} elements, at most {MATCHES_MAX:,}"
        raise ItemFault("too_many_items", text)
    if not part.many:
        return _value(found[0], part) if found else None
    values: list[Json] = []
    length = 0
    for node in found:
        value = _value(node, part)
        length += len(value or "")
        if length > TEXT_LENGTH_MAX:  # what is nested comes once for each level
            text = f"{part.selector!r} gives more than {TEXT_LENGTH_MAX:,} characters; take less"
            raise ItemFault("output_too_large", text)
        values.append(value)
    return cast("Json", values)


def _value(node: LexborNode, part: Part) -> str | None:
    if part.take == "attribute":
        attributes = node.attributes
        return (attributes[part.attribute] or "") if part.attribute in attributes else None
    if part.take == "html":
        return node.html
    return " ".join(node.text(deep=True).split())


def _parts(parameters: Parameters) -> Iterable[Part]:
    for entry in cast("list[dict[str, Any]]", parameters["extract"]):
        yield Part(
            name=entry["name"],
            selector=entry["selector"],
            take=entry.get("take") or ("attribute" if entry.get("attribute") else "text"),
            attribute=str(entry.get("attribute") or "").lower(),
            many=bool(entry.get("many")),
        )


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    keep = parameters.get("keep", "all") == "all"
    return Plan(compiled["value"], tuple(_parts(parameters)), keep)


def _check(parameters: Parameters) -> Iterable[Fault]:
    value: Any = parameters.get("extract")
    empty = LexborHTMLParser("")
    for at, entry in enumerate(cast("list[Any]", value) if isinstance(value, list) else []):
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        selector = fields.get("selector")
        if isinstance(selector, str) and not _is_selector(empty, selector):
            text = f"{selector[:80]!r} is no CSS selector; write one such as `table.prices td`"
            yield Fault("invalid_parameter", f"extract[{at}].selector", text)
        if fields.get("take") == "attribute" and not fields.get("attribute"):
            text = "`take: attribute` needs `attribute`: its name, such as href"
            yield Fault("missing_parameter", f"extract[{at}].attribute", text)


def _is_selector(page: LexborHTMLParser, selector: str) -> bool:
    try:
        page.css(selector)
    except SelectolaxError:
        return False
    return bool(selector.strip())


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="HTML_EXTRACT",
    summary="Takes texts and attributes out of HTML by CSS selectors.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("value", "text", "The HTML.", optional=False, expressions=True),
        Parameter(
            "extract",
            "list",
            "What is taken.",
            optional=False,
            entries=(
                Parameter("name", "text", "The field that takes the result.", optional=False),
                Parameter("selector", "text", "A CSS selector.", optional=False),
                Parameter(
                    "take", "text", "What of the match; by default its text.", choices=TAKES
                ),
                Parameter("attribute", "text", "The name of the attribute, such as href."),
                Parameter("many", "boolean", "Whether all matches are wanted, as a list."),
            ),
            least=1,
            most=50,
        ),
        Parameter(
            "keep", "text", "Whether other fields stay.", default="all", choices=("all", "none")
        ),
    ),
    run=run,
    prepare=_prepare,
    check=_check,
    example={
        "value": "{{ $json.body }}",
        "extract": [
            {"name": "title", "selector": "h1"},
            {"name": "links", "selector": "a.result", "attribute": "href", "many": True},
        ],
        "keep": "none",
    },
    errors=(
        "invalid_input", "input_too_large", "html_too_costly", "too_many_items", "data_too_deep",
        "output_too_large",
    ),
)  # fmt: skip
