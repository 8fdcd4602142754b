"""What recovery is told of a node's ways to try again differently, beside trying again. Pure."""

from typing import Any

from perdure_contracts.message import Json
from perdure_contracts.undoing import BY_REQUEST

from perdure_engine.definition import Node, Workflow

from .state import Dispatch
from .undoing import undoable

ERROR_PORT = "error_port"
"""The way that a node has for failures: its ERROR port is connected, or its error mode goes on."""


def means_of(workflow: Workflow, node: Node, known: Dispatch) -> Json:
    """Return what can be changed for another attempt, by strategy; None if nothing can.

    `fallback_model` has sets of parameters, of which one takes the place of the node's own;
    `refresh_credentials` the handle that is opened anew; `skip_compensate` what giving up does, or
    that what the node did can be undone before;
    `usd` is the most that an attempt may cost, and `failure_type` what the node's failures are,
    where the author has said so.
    """
    found: dict[str, Any] = {"failure_type": node.failure_type} if node.failure_type else {}
    parameters: Json = next(iter(known.parameters.values()), None) or {}
    mending = node.specification.mending
    if mending is not None:
        fallbacks = list(mending.fallbacks(parameters))
        found |= {"fallback_model": fallbacks} if fallbacks else {}
        found |= {"reduce_input": True} if mending.reduce is not None else {}
        found |= {"reprompt": True} if mending.reprompt is not None else {}
    handle = parameters.get("credential")
    if handle is not None:
        found["refresh_credentials"] = str(handle)
    if node.error_handling == "CONTINUE_REGULAR_OUTPUT_ON_ERROR" or (
        node.error_handling == "CONTINUE_ERROR_OUTPUT_ON_ERROR" and workflow.has_error_edge(node)
    ):
        found["skip_compensate"] = ERROR_PORT
    if undoable(workflow, node, known):
        found["skip_compensate"] = BY_REQUEST
    if parameters.get("cost_max_usd") is not None:
        found["usd"] = float(parameters["cost_max_usd"])
    return found or None
