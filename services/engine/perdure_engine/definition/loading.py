"""From a frozen version to its model, once for each version that is in use."""

from collections import OrderedDict

from perdure_common.ids import sha256_of_json
from perdure_contracts.message import Json

from .model import Workflow
from .parsing import parse
from .problems import Found, InvalidDefinition

NODES_KEPT_MAX = 50_000
"""Nodes of all workflows that are kept together; one node takes some kilobytes."""


class Models:
    """Models by their hashes: those used longest ago make room for new ones."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, Workflow] = OrderedDict()
        self._nodes = 0

    def keep(self, workflow: Workflow) -> None:
        """Keep a model, and let others go while there are too many nodes together."""
        self._drop(self._models.pop(workflow.sha256, None))
        self._models[workflow.sha256] = workflow
        self._nodes += len(workflow.nodes)
        while self._nodes > NODES_KEPT_MAX and len(self._models) > 1:
            self._drop(self._models.popitem(last=False)[1])

    def _drop(self, workflow: Workflow | None) -> None:
        if workflow is not None:
            self._nodes -= len(workflow.nodes)

    def get(self, sha256: str) -> Workflow | None:
        """Return the model with this hash if it is kept, as the one used last."""
        workflow = self._models.get(sha256)
        if workflow is not None:
            self._models.move_to_end(sha256)
        return workflow

    def clear(self) -> None:
        """Let all go."""
        self._models.clear()
        self._nodes = 0


_kept = Models()
"""What is in it follows from the definitions alone, so nobody can tell whether a model was kept or
made again."""


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
    _kept.keep(workflow)


def kept(sha256: str) -> Workflow | None:
    """Return the model with this hash if it is kept: then its definition need not be fetched."""
    return _kept.get(sha256)
