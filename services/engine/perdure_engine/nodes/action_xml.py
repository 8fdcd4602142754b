"""ACTION XML: reads XML text into data, or writes data as XML.

An element becomes an object: attributes are keys with `@`, its text is `#text`, children are
keys with their names, several of one name a list. An element with nothing but text is that
text, an empty one null. `lists` names elements that are lists even where there is one.

A document that declares entities (or anything else of its own) is refused: such a
declaration can turn a few lines into gigabytes. Nothing outside the text is ever read.
"""

from collections.abc import Mapping
from typing import Any, cast
from xml.parsers import expat

import xmltodict
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Scope

from .base import Inputs, NodeSpecification, Outcome, Parameter, Parameters, ScopeOf
from .conditions import kind_of
from .each import AS, DEPTH_MAX, READ_BYTES, ItemFault, each, pay, put, text_of

ELEMENTS_MAX = 50_000
"""The most elements that a document may have."""

ELEMENT_COST = 30
"""Units of work (100 ns) for reading one element, twice: to check it, and into data."""


def run(plan: Any, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Read or write for each item."""
    compiled, reads, lists, pretty, into = plan

    def make(index: int, json: Json, scope: Scope) -> Json:
        del index
        if reads:
            text = text_of(compiled["value"], scope, "value")
            pay(scope, _check_document(text) * ELEMENT_COST, len(text) * READ_BYTES)
            return put(json, into, cast("Json", xmltodict.parse(text, force_list=lists)))
        text = _written(compiled["value"].evaluate(scope), pretty)
        pay(scope, len(text))
        return put(json, into, text, scope)

    return each(inputs, scope_of, make)


def _check_document(text: str) -> int:
    """Refuse what is no XML, what declares anything, and what is too large or too deep.

    Returns how many elements it has.

    Raises:
        ItemFault: `invalid_xml`, `unsafe_xml`, `data_too_deep` or `too_many_items`.
    """
    depth = elements = 0

    def start(name: str, attributes: object) -> None:
        del name, attributes
        nonlocal depth, elements
        depth += 1
        elements += 1
        if depth > DEPTH_MAX:
            raise ItemFault("data_too_deep", f"the XML has more than {DEPTH_MAX} levels")
        if elements > ELEMENTS_MAX:
            text = f"the XML has more than {ELEMENTS_MAX:,} elements; read a part of it"
            raise ItemFault("too_many_items", text)

    def end(name: str) -> None:
        del name
        nonlocal depth
        depth -= 1

    def declared(name: str, system: object, public: object, has_own: object) -> None:
        del name, system, public
        if has_own:
            text = "the XML declares entities or the like, which is refused; send it without"
            raise ItemFault("unsafe_xml", text)

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        raise ItemFault("invalid_xml", f"the text is no XML: {error}") from None
    return elements


def _written(value: Json, pretty: bool) -> str:
    if not isinstance(value, dict) or len(cast("dict[str, Any]", value)) != 1:
        text = f"`value` gave {kind_of(value)}; give an object with one key, the root element"
        raise ItemFault("invalid_input", text)
    try:
        text = xmltodict.unparse(cast("dict[str, Any]", value), pretty=pretty, indent="  ")
    except ValueError as error:
        raise ItemFault("invalid_input", f"this cannot be XML: {error}") from None
    try:
        _check_document(text)
    except ItemFault as fault:  # a name with & in it, a character that XML does not have
        raise ItemFault("invalid_input", f"this cannot be XML: {fault}") from None
    return text


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    reads = parameters.get("operation", "parse") == "parse"
    lists = tuple(cast("list[str]", parameters.get("lists") or ()))
    into = parameters.get("as") or ("data" if reads else "xml")
    return compiled, reads, lists, bool(parameters.get("pretty")), into


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="XML",
    summary="Reads and writes XML text.",
    place="inline",
    files="keep",
    parameters=(
        Parameter("operation", "text", "What to do.", default="parse", choices=("parse", "write")),
        Parameter(
            "value", "any", "The text to read, or an object with one key to write.",
            optional=False, expressions=True,
        ),
        Parameter("lists", "list", "Elements that are always lists when reading.", of="text"),
        Parameter("pretty", "boolean", "Whether to indent what is written."),
        Parameter("as", "text", f"{AS.doc} By default `data`, of `write` `xml`."),
    ),
    run=run,
    prepare=_prepare,
    example={"value": "{{ $json.body }}", "lists": ["item"], "as": "feed"},
    errors=(
        "invalid_xml", "unsafe_xml", "invalid_input", "input_too_large", "too_many_items",
        "data_too_deep",
    ),
)  # fmt: skip
