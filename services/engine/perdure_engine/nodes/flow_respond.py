"""FLOW RESPOND: answers whoever started the execution, and goes on.

The answer has a `status`, `headers` and a `body`, and is kept with the execution
(`perdure executions show`). With `file` the body is that file of the first item, of its type and
under its name unless `headers` say otherwise. An execution answers once: the first RESPOND does,
later ones are passed through. Expressions see the first item; the items leave on `main` as they
came.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters

STATUS = 200
"""The status of an answer where the author set none."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    if "body" in parameters and "file" in parameters:
        text = "an answer has a `body` or a `file`, not both; take one away"
        yield Fault("invalid_parameter", "file", text)


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
        Parameter("file", "text", "The file of the first item that is the body.", expressions=True),
    ),
    check=_check,
    handled=True,
    example={"status": 202, "body": {"order": "{{ $json.order }}"}},
    errors=("invalid_response", "file_not_found"),
)
