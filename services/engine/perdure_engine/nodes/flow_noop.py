"""FLOW NOOP: items leave as they came; a place to join branches, or to look at."""

from collections.abc import Mapping
from typing import Any

from perdure_contracts.message import Json

from .base import Inputs, NodeSpecification, Outcome, ScopeOf, passed_through


def run(prepared: object, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Pass the items on."""
    del prepared, scope_of
    return passed_through(("main",), inputs)


def each(parameters: Mapping[str, Any], json: Json) -> Json:
    """Return the item as it came."""
    del parameters
    return json


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="NOOP",
    summary="Passes its items on.",
    place="inline",
    files="keep",
    run=run,
    each=each,
)
