"""ACTION STATIC_DATA: keeps values of a workflow for the executions that come after.

Static data belongs to a workflow and outlives its executions: where a poll left off, a counter, a
token. `$execution.static_data` has it as it was when the execution began, with the changes that it
has made itself; it begins as `static_data` of the definition. The values are those of the first
item; the items that arrived go on as they came.

If another execution has changed it meanwhile, the node fails with `static_data_conflict`, so that
no change is lost without notice; with `on_conflict: overwrite` the values named here win, and all
others stay as they are.
"""

from collections.abc import Iterable
from typing import Any, cast

from .base import Fault, NodeSpecification, Parameter, Parameters


def _check(parameters: Parameters) -> Iterable[Fault]:
    given: Any = parameters.get("remove")
    remove = cast("list[Any]", given) if isinstance(given, list) else []
    if not parameters.get("values") and not remove:
        yield Fault("missing_parameter", "values", "give `values` to keep, or names to `remove`")
    if not all(isinstance(name, str) for name in remove):
        yield Fault("invalid_parameter", "remove", "`remove` must be a list of names")


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="STATIC_DATA",
    summary="Keeps values of the workflow for its later executions.",
    place="inline",
    files="keep",
    parameters=(
        Parameter(
            "values",
            "object",
            "What is kept: `{name: value or expression}`.",
            expressions=True,
        ),
        Parameter("remove", "list", "Names that are not kept any more.", of="text"),
        Parameter(
            "on_conflict",
            "text",
            "What if another execution has changed it meanwhile.",
            default="error",
            choices=("error", "overwrite"),
        ),
    ),
    check=_check,
    handled=True,
    example={"values": {"last_id": "{{ $json.id }}"}},
    errors=("static_data_conflict", "static_data_too_large"),
)
