"""The servers that other tests stand on are the real thing."""

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from perdure_common.doctor import Outcome, check_database, check_kafka
from perdure_common.embedded import Addresses


async def test_a_test_gets_an_empty_durable_postgres_18_with_vectors(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("show server_version_num") >= "180000"
        assert await connection.fetchval("show fsync") == "on"
        assert await connection.fetchval("show synchronous_commit") == "on"
        tables = "select count(*) from pg_tables where schemaname = 'public'"
        assert await connection.fetchval(tables) == 0
        await connection.execute("create extension vector")
        distance = await connection.fetchval("select '[1,0]'::vector <-> '[1,3]'::vector")
        assert distance == 3.0
    finally:
        await connection.close()


async def test_what_is_produced_is_consumed(servers: Addresses, topic_prefix: str) -> None:
    topic = f"{topic_prefix}.triggers.v1"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"hello", partition=1)
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=servers.kafka_bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        message = await consumer.getone()
    assert (message.partition, message.value) == (1, b"hello")


async def test_the_doctor_reaches_servers_that_answer(servers: Addresses) -> None:
    found = await check_database(servers.database_url), await check_kafka(servers.kafka_bootstrap)
    assert [finding.outcome for finding in found] == [Outcome.OK, Outcome.OK]
    assert "PostgreSQL 18" in found[0].message
