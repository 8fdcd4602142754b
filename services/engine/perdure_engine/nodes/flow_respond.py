"""FLOW RESPOND: answers whoever started the execution, and goes on.

The answer has a `status`, `headers` and a `body`, and is kept with the execution
(`perdure executions show`). An execution answers once: the first RESPOND does, later ones are
passed through. Expressions see the first item; the items leave on `main` as they came.
"""

from .base import NodeSpecification, Parameter

STATUS = 200
"""The status of an answer where the author set none."""

SPECIFICATION = NodeSpecification(
    node_type="FLOW",
    subtype="RESPOND",
    summary="Answers whoever started the execution.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "status",
            "integer",
            "The HTTP status.",
            default=STATUS,
            expressions=True,
            least=100,
            most=599,
        ),
        Parameter("headers", "object", "Headers by name.", expressions=True),
        Parameter(
            "body", "any", "What is answered; the first item's data if left out.", expressions=True
        ),
    ),
    handled=True,
    example={"status": 202, "body": {"order": "{{ $json.order }}"}},
    errors=("invalid_response",),
)
