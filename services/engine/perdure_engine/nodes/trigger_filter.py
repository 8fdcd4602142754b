"""What every trigger that events fire may say beside its own parameters: a filter."""

from collections.abc import Iterable
from dataclasses import replace

from .base import Fault, NodeSpecification, Parameter, Parameters

FILTER = Parameter(
    "filter",
    "condition",
    "What an event must fulfil: an expression over its data, $json, and attributes, $event.",
    expressions=True,
)
EXAMPLE = {"filter": "{{ $json.total > 100 }}"}


def filtered(specification: NodeSpecification) -> NodeSpecification:
    """Return a trigger's specification with the filter among its parameters."""

    def check(parameters: Parameters) -> Iterable[Fault]:
        yield from specification.check(parameters)
        if parameters.get("filter") is False:
            yield Fault(
                "invalid_parameter", "filter", "`filter` is false: disable the node instead"
            )

    parameters = (*specification.parameters, FILTER)
    return replace(
        specification,
        parameters=parameters,
        check=check,
        example=specification.example or EXAMPLE,
    )
