"""TRIGGER WEBHOOK: an HTTP request to a path starts the workflow."""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters

PATH_LENGTH_MAX = 255
"""Characters of a path; it is the key that requests are looked up by."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    path = parameters.get("path")
    if isinstance(path, str) and (
        not path.strip("/ ") or len(path) > PATH_LENGTH_MAX or any(sign in path for sign in "?# ")
    ):
        yield Fault(
            "invalid_parameter",
            "path",
            f"`path` is {path[:80]!r}; write the path alone, such as '/orders/new', "
            f"at most {PATH_LENGTH_MAX} characters",
        )


SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="WEBHOOK",
    summary="Starts on an HTTP request to its path.",
    place="trigger",
    parameters=(Parameter("path", "text", "The path, such as /orders/new.", optional=False),),
    inputs=(),
    example={"path": "/orders/new"},
    check=_check,
)
