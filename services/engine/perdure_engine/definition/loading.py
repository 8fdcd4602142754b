"""From a frozen version to its model, once for each version that is in use."""

from collections import OrderedDict

from perdure_common.ids import sha256_of_json
from perdure_contracts.message import Json

from .model import Workflow
from .parsing import parse
from .problems import Found, InvalidDefinition

NODES_KEPT_MAX = 50_000
"""Nodes of all workflows that are kept together; one node takes some kilobytes."""

_kept: OrderedDict[str, Workflow] = OrderedDict()
"""The models by their hashes, the one used last at the end. What is in it follows from the
definitions alone, so nobody can tell whether a model was kept or made again."""


def load(definition: Json, sha256: str | None = None) -> Workflow:
    """Return the model of a frozen version, compiled; kept by its hash while it is in use.

    `sha256` is the hash of the definition's canonical JSON, for callers who have it: then
    neither the definition is hashed nor, if the model is kept, looked at.

    Raises:
        InvalidDefinition: It cannot be read. Frozen versions were validated, so this is a
            version of another perdure, or damage.
    """
    key = sha256 or sha256_of_json(definition)
    workflow = kept(key)
    if workflow is not None:
        return workflow
    found = Found()
    workflow = parse(definition, key, found).workflow
    if found.has_errors:
        raise InvalidDefinition([each for each in found.problems if each.severity == "error"])
    keep(workflow)
    return workflow


def keep(workflow: Workflow) -> None:
    """Keep a model that is sound; those used longest ago make room."""
    _kept[workflow.sha256] = workflow
    _kept.move_to_end(workflow.sha256)
    nodes = sum(len(each.nodes) for each in _kept.values())
    while nodes > NODES_KEPT_MAX and len(_kept) > 1:
        nodes -= len(_kept.popitem(last=False)[1].nodes)


def kept(sha256: str) -> Workflow | None:
    """Return the model with this hash if it is kept: then its definition need not be fetched."""
    workflow = _kept.get(sha256)
    if workflow is not None:
        _kept.move_to_end(sha256)
    return workflow
