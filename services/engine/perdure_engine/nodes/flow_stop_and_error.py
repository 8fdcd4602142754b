"""FLOW STOP_AND_ERROR: ends the execution with an error that the author words.

It stops whatever the node's error mode is. The first item words the message.
"""

import json
from collections.abc import Mapping

from perdure_engine.expressions import Compiled, ExpressionError

from .base import Inputs, NodeSpecification, Outcome, Parameter, ScopeOf
from .errors import data_error, expression_error

MESSAGE_LENGTH_MAX = 10_000
"""Characters of the message that are kept; it stands in logs and in the execution's row."""


def run(compiled: Mapping[str, Compiled], inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Stop, whatever the node's error mode (rule 15); the first item words the message."""
    del inputs
    scope = scope_of(0)
    try:
        message = compiled["message"].evaluate(scope)
        data = compiled["data"].evaluate(scope) if "data" in compiled else None
    except ExpressionError as error:
        return Outcome(ports={}, stop=expression_error(error))
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    return Outcome(
        ports={}, stop=data_error("stop_and_error", text[:MESSAGE_LENGTH_MAX], detail=data)
    )


SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="STOP_AND_ERROR",
    summary="Ends the execution with an error.",
    place="inline",
    parameters=(
        Parameter("message", "text", "What the error says.", optional=False, expressions=True),
        Parameter("data", "any", "What is kept with the error.", expressions=True),
    ),
    run=run,
    example={"message": "no stock for {{ $json.sku }}", "data": {"sku": "{{ $json.sku }}"}},
    errors=("stop_and_error",),
)
