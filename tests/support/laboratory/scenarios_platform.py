"""The platform itself: a worker that is killed, records that cannot be read, news that comes twice.

The worker is killed before the other scenarios begin, so that its leases run out beside them.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from definitions_for_tests import Definition, chain, node, request
from model_server import says
from perdure_common.ids import partition_of
from perdure_common.shell.ports import Outbound
from platform_stage import PARTITIONS

from laboratory.outside import fine, silence, status
from laboratory.scenario import Case, Expected, Scenario, cured

SHOP, MODEL = "shop", "model"
COMMANDS = "perdure.engine.commands.v1"
FAILURES = "perdure.engine.failures.v1"


def _agent(case: Case) -> Definition:
    given = {"model": f"{case.mark}-large", "base_url": case.url(MODEL, "/v1"), "prompt": "Sort."}
    return chain(case.mark, node("sort", "AI_AGENT.AGENT", **given))


def _unkeyed(case: Case) -> Definition:
    # Longer than it takes until the worker is killed, however busy the machine is.
    given = {"method": "POST", "url": case.url(SHOP), "json": {"n": 1}, "timeout_s": 120}
    return chain(case.mark, node("post", "EXTERNAL_ACTION.HTTP_REQUEST", **given))


def _post(case: Case) -> Definition:
    return chain(case.mark, request("post", case.url(SHOP), json={"n": 1}, timeout_s=2))


async def _garbage(case: Case) -> None:
    """Put a record that is no message where this execution's messages go, and beside them."""
    for partition in range(PARTITIONS):
        headers = (("ce_type", b"engine.node-result.v1"), ("ce_id", case.mark.encode()))
        record = Outbound(COMMANDS, partition, f"no JSON: {case.mark}".encode(), None, headers)
        await case.stage.put([record])


async def _kept_as_dead_letters(case: Case) -> None:
    sql = "select * from recovery.dead_letters where convert_from(raw, 'UTF8') like '%' || $1"

    async def kept() -> bool:
        return len(await case.stage.rows(sql, case.mark)) >= PARTITIONS

    await case.stage.until(kept, "the dead letters")
    rows = await case.stage.rows(sql, case.mark)
    assert {row["topic"].partition(".")[2] for row in rows} == {COMMANDS.partition(".")[2]}
    assert len(rows) == PARTITIONS, "each is kept once"


async def _told_again(case: Case) -> None:
    """Send everything that recovery was told of the failure a second time, byte by byte."""
    await case.until_decided(1)
    name = f"{case.stage.ground.prefix}.{FAILURES.partition('.')[2]}"
    place = TopicPartition(name, partition_of(case.execution_id, PARTITIONS))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=case.stage.ground.kafka_bootstrap, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        again: list[Outbound] = []
        while await consumer.position(place) < end:
            batch: Mapping[Any, Any] = await consumer.getmany(place, timeout_ms=1_000)
            for record in batch.get(place, ()):
                if record.key == case.execution_id.encode():
                    headers = tuple(record.headers)
                    again.append(
                        Outbound(
                            FAILURES, place.partition, record.value or b"", record.key, headers
                        )
                    )
    finally:
        await consumer.stop()
    assert again, "recovery was told of the failure"
    await case.stage.put([*again, *again])


async def _counted_once(case: Case) -> None:
    rows = await case.stage.rows(
        "select occurrence_count as n from recovery.failure_patterns where dependency = $1",
        f"http:{case.host}",
    )
    assert [row["n"] for row in rows] == [1]


KILLED = (
    Scenario(
        "a worker is killed while it asks a model",
        "platform",
        _agent,
        [cured("worker_lost", "reassign", calls={MODEL: 2})],
        {MODEL: [silence(), says("billing")]},
    ),
    Scenario(
        "a worker is killed in the middle of a post without a key",
        "platform",
        _unkeyed,
        [Expected("ERROR", ["worker_lost"], ["reassign"], "refused:effect", {SHOP: 1})],
        {SHOP: [silence(), fine()]},
    ),
)
"""What the worker is killed in; they begin before the others."""

SCENARIOS = (
    Scenario(
        "records that nobody can read stand among an execution's messages",
        "platform",
        _post,
        [Expected("SUCCESS", [], [], "", {SHOP: 1})],
        {SHOP: [fine()]},
        before=_garbage,
        after=_kept_as_dead_letters,
    ),
    Scenario(
        "recovery is told of a failure three times",
        "platform",
        _post,
        [cured("rate_limit", "backoff", calls={SHOP: 2})],
        {SHOP: [status(429), fine()]},
        during=_told_again,
        after=_counted_once,
    ),
)
