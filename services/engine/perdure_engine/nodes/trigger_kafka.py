"""TRIGGER KAFKA: a record on a topic starts the workflow.

Without a topic it listens to perdure.triggers.v1, to events of any type but perdure's own. Records
of other topics need not be CloudEvents; the item is the record's value: JSON, or a text.
"""

from .base import NodeSpecification, Parameter

SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="KAFKA",
    summary="Starts on a record of a Kafka topic.",
    place="trigger",
    parameters=(
        Parameter("topic", "text", "The topic.", default="perdure.triggers.v1"),
        Parameter("type", "text", "The event's type; none is all."),
    ),
    inputs=(),
    example={"topic": "orders", "type": "shop.order-placed"},
)
