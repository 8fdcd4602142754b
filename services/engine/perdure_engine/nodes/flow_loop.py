"""FLOW LOOP: items go round, in batches or while a condition holds (rules 16 to 20).

Without `while`, each batch of `items_per_batch` items goes round once, and `done`
has what came back. With `while`, all items go round together; of those that come back the
ones for which it holds go round again, the others leave.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from perdure_engine.expressions import Compiled

from .base import Fault, NodeSpecification, Parameter, Parameters


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """How a LOOP goes round: batches of `batch` items, or while `condition` holds."""

    batch: int
    condition: Compiled | None
    max_iterations: int | None


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    return LoopPlan(
        batch=parameters.get("items_per_batch", 1),
        condition=compiled.get("while"),
        max_iterations=parameters.get("max_iterations"),
    )


def _check(parameters: Parameters) -> Iterable[Fault]:
    if "while" in parameters and "items_per_batch" in parameters:
        yield Fault(
            "invalid_parameter",
            "while",
            "a LOOP has `items_per_batch` or `while`, not both; take one away",
        )


def _outputs(parameters: Parameters) -> tuple[str, ...]:
    del parameters
    return ("done", "loop")


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="LOOP",
    summary="Sends items round: in batches, or while a condition holds.",
    place="inline",
    parameters=(
        Parameter("items_per_batch", "integer", "Items that go round together.", least=1),
        Parameter("while", "condition", "Asked of each item that came back.", expressions=True),
        Parameter("max_iterations", "integer", "The most rounds of a LOOP with `while`.", least=1),
    ),
    outputs=_outputs,
    regular_error_port="done",
    prepare=_prepare,
    check=_check,
    example={"while": "{{ $json.page < $json.pages }}", "max_iterations": 100},
    errors=("max_iterations",),
)
