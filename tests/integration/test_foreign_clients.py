"""Other clients write trigger events in their own ways; all of them are read."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest  # pyright: ignore[reportMissingTypeStubs]
from aiokafka.record.default_records import (  # pyright: ignore[reportMissingTypeStubs]
    DefaultRecordBatchBuilder,
)
from aiokafka.record.util import calc_crc32c  # pyright: ignore[reportMissingTypeStubs]
from aiokafka.structs import TopicPartition
from confluent_kafka import Producer
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.shell.ports import Outbound, Record
from perdure_common.topics import create_topics
from perdure_contracts.cloudevents import CloudEventError, decode
from perdure_contracts.publish import Publisher, PublishError, publish
from perdure_contracts.topology import TRIGGER_PARTITIONS

TRIGGERS = "perdure.triggers.v1"
EVENT = {
    "specversion": "1.0",
    "id": "42",
    "source": "/shop",
    "type": "com.example.order.created",
    "subject": "order-42",
}
PATIENCE_S = 30.0


@pytest.fixture
async def bus(servers: Addresses, topic_prefix: str) -> AsyncIterator[KafkaBus]:
    await create_topics(servers.kafka_bootstrap, topic_prefix, 2)
    made = KafkaBus(servers.kafka_bootstrap, "test", topic_prefix)
    made.read({(TRIGGERS, partition): 0 for partition in range(TRIGGER_PARTITIONS)})
    yield made
    await made.close()


async def take(bus: KafkaBus, count: int) -> list[Record]:
    taken: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(taken) < count:
            taken += await bus.fetch(count - len(taken), 1.0)
    return taken


def produce(
    bootstrap: str,
    topic: str,
    headers: Sequence[tuple[str, str | bytes | None]],
    value: bytes | None,
    key: bytes | None = None,
) -> None:
    """Write one record with librdkafka, the library under kcat and most other clients."""
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value=value, key=key, headers=list(headers))
    assert producer.flush(PATIENCE_S) == 0


async def test_binary_events_of_librdkafka_are_read(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    headers = [(f"ce_{name}", text) for name, text in EVENT.items()]
    headers.append(("content-type", "application/json"))
    topic = f"{topic_prefix}.triggers.v1"
    await asyncio.to_thread(
        produce, servers.kafka_bootstrap, topic, headers, b'{"total": 12}', b"order-42"
    )
    [record] = await take(bus, 1)
    event = decode(record.headers, record.value)
    assert (record.topic, record.key) == (TRIGGERS, b"order-42")
    assert (event.id, event.source, event.type) == ("42", "/shop", "com.example.order.created")
    assert (event.subject, event.json()) == ("order-42", {"total": 12})


async def test_structured_events_of_librdkafka_are_read(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    body = json.dumps(EVENT | {"data": {"total": 12}}).encode()
    headers = [("content-type", "application/cloudevents+json; charset=UTF-8")]
    topic = f"{topic_prefix}.triggers.v1"
    await asyncio.to_thread(produce, servers.kafka_bootstrap, topic, headers, body)
    [record] = await take(bus, 1)
    event = decode(record.headers, record.value)
    assert (event.id, event.json(), record.key) == ("42", {"total": 12}, None)


async def test_a_record_without_headers_is_told_what_it_lacks(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    topic = f"{topic_prefix}.triggers.v1"
    await asyncio.to_thread(produce, servers.kafka_bootstrap, topic, [], b'{"total": 12}')
    [record] = await take(bus, 1)
    with pytest.raises(CloudEventError, match="ce_id"):
        decode(record.headers, record.value)


async def test_a_tombstone_and_a_header_without_a_value_are_read(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    headers: list[tuple[str, str | bytes | None]] = [
        *((f"ce_{name}", text) for name, text in EVENT.items()),
        ("other", None),
    ]
    topic = f"{topic_prefix}.triggers.v1"
    await asyncio.to_thread(produce, servers.kafka_bootstrap, topic, headers, None, b"k")
    [record] = await take(bus, 1)
    event = decode(record.headers, record.value)
    assert (event.id, event.data, event.json()) == ("42", b"", None)


def with_a_broken_name(batch: Any) -> bytearray:
    """Return a built batch in which the header name `XX` has become bytes that are no UTF-8.

    Layout of a record batch, version 2: the CRC-32C of everything from byte 21 on stands
    in bytes 17 to 20.
    """
    raw = bytearray(batch.build()).replace(b"XX", b"\xff\xfe")
    struct.pack_into(">I", raw, 17, calc_crc32c(raw[21:]))
    return raw


async def write_raw(bootstrap: str, topic: str, raw: bytearray) -> None:
    """Write a built batch to partition 0."""
    client: Any = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client.force_metadata_update()
        request = ProduceRequest(
            transactional_id=None,
            required_acks=-1,
            timeout=5000,
            topics=[(topic, [(0, bytes(raw))])],
        )
        leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
        answer: Any = await client.send(leader, request)
        assert answer.topics[0][1][0][1] == 0
    finally:
        await client.close()


async def test_a_header_whose_name_is_no_text_stops_nothing_and_loses_nothing(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    topic = f"{topic_prefix}.triggers.v1"
    before, after = (Outbound(TRIGGERS, 0, name) for name in (b"before", b"after"))
    assert list(await bus.send([before])) == [None]
    batch: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 16384)
    batch.append(0, None, None, b"good", [])
    batch.append(1, None, None, b"bad", [("XX", b"")])
    await write_raw(servers.kafka_bootstrap, topic, with_a_broken_name(batch))
    assert list(await bus.send([after])) == [None]
    taken = await take(bus, 4)
    assert [record.value for record in taken] == [b"before", b"good", b"", b"after"]
    assert [record.offset for record in taken] == [0, 1, 2, 3]
    assert bus.unreadable == 1
    with pytest.raises(CloudEventError):
        decode(taken[2].headers, taken[2].value)


async def test_the_publisher_of_the_contracts_is_read(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    there = Publisher(servers.kafka_bootstrap, source="/shop", topic_prefix=topic_prefix)
    async with there as publisher:
        made = await publisher.publish("order.created", "order-7", {"total": 12})
        assert await publisher.publish("order.paid", "order-7", b"\x00", id="mine") == "mine"
    first, second = await take(bus, 2)
    event = decode(first.headers, first.value)
    assert (event.id, event.source, event.subject) == (made, "/shop", "order-7")
    assert (event.type, event.json()) == ("order.created", {"total": 12})
    assert first.partition == second.partition
    assert decode(second.headers, second.value).data == b"\x00"


async def test_a_program_without_an_event_loop_publishes_in_one_call(
    servers: Addresses, topic_prefix: str, bus: KafkaBus
) -> None:
    made = await asyncio.to_thread(
        publish,
        servers.kafka_bootstrap,
        "order.created",
        "order-7",
        {"total": 12},
        topic_prefix=topic_prefix,
    )
    [record] = await take(bus, 1)
    assert decode(record.headers, record.value).id == made


async def test_publishing_to_nobody_says_so() -> None:
    there = Publisher("127.0.0.1:1", timeout_s=5)
    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1"):
        await there.__aenter__()
