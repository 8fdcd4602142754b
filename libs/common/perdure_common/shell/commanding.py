"""A command as a record for the bus, for what asks beside the deciders: the API and loops."""

from datetime import UTC, datetime

from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import NAMES

from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound


def commanded(
    message: object,
    topic: str,
    stream: str,
    partitions: int,
    *,
    id: str,
    source: str,
) -> Outbound:
    """Return the record that asks a stream; `source` and `id` tell a second one of the same.

    Raises:
        ValueError: The stream's name does not fit into a record.
    """
    event = CloudEvent(
        id=id,
        source=source,
        type=NAMES[type(message)],
        subject=stream,
        time=datetime.now(UTC).isoformat(),
        datacontenttype="application/json",
        data=codec.encode_body(message),
    )
    headers, value = encode(event)
    return Outbound(topic, partition_of(stream, partitions), value, stream.encode(), headers)
