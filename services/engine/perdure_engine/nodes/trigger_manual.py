"""TRIGGER MANUAL: a start by hand, or by any program that names the workflow."""

from .base import NodeSpecification

SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="MANUAL",
    summary="Starts when somebody asks for it.",
    place="trigger",
    inputs=(),
)
