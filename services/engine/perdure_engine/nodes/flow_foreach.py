"""FLOW FOREACH: one iteration for each item, side by side (rules 24 to 26).

`done` has what came back, in the order of the items, whatever iteration ended first. At most
100,000 items can go round.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perdure_engine.expressions import Compiled

from .base import NodeSpecification, Parameter, Parameters

MAX_CONCURRENCY = 10
"""Iterations side by side where the author set none."""


ITEMS_MAX = 100_000
"""Items that one FOREACH takes on; each has runs, events and rows of its own."""


@dataclass(frozen=True, slots=True)
class ForeachPlan:
    """How many iterations run side by side, and what a failed one does."""

    max_concurrency: int
    on_item_error: Literal["fail", "collect", "drop"]


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    del compiled
    return ForeachPlan(
        max_concurrency=parameters.get("max_concurrency", MAX_CONCURRENCY),
        on_item_error=parameters.get("on_item_error", "fail"),
    )


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    del parameters
    return ("done", "item")


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="FOREACH",
    summary="Runs its body once for each item, several side by side.",
    place="inline",
    parameters=(
        Parameter(
            "max_concurrency",
            "integer",
            "Iterations side by side.",
            default=MAX_CONCURRENCY,
            least=1,
        ),
        Parameter(
            "on_item_error",
            "text",
            "What an error in an iteration does: `fail` the FOREACH, `collect` the item with its "
            "error, or `drop` it.",
            default="fail",
            choices=("fail", "collect", "drop"),
        ),
    ),
    outputs=_outputs,
    regular_error_port="done",
    prepare=_prepare,
    example={"max_concurrency": 5, "on_item_error": "collect"},
    errors=("too_many_items",),
)
