"""What a workflow is: its model, how it is read, what can be wrong with it.

Read next: `model` (nodes, edges, numbers), `loading` (from a frozen version to a model),
`validation` (every problem at once), `graph`.
"""

from .loading import kept, load
from .model import Edge, Node, Settings, Workflow
from .problems import InvalidDefinition, Problem
from .validation import Validation, validate

__all__ = [
    "Edge",
    "InvalidDefinition",
    "Node",
    "Problem",
    "Settings",
    "Validation",
    "Workflow",
    "kept",
    "load",
    "validate",
]
