"""A bus that is closed in the middle of its work leaves nothing behind, whenever that is."""

import asyncio
import gc
import warnings

import pytest
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.kafka_clients import Names
from perdure_common.adapters.kafka_sender import Sender
from perdure_common.embedded import Addresses
from perdure_common.shell.ports import Outbound
from perdure_common.topics import create_topics

COMMANDS = "perdure.engine.commands.v1"
PARTITIONS = 4
STEPS_MAX = 60
"""Turns of the loop that it has before it is closed: connecting takes some forty."""
SENDING_MAX = 25
"""Turns of the loop before a producer is given up: a batch is on its way after some ten."""


async def test_a_bus_that_is_closed_while_it_connects_leaves_no_connection_open(
    servers: Addresses, topic_prefix: str
) -> None:
    await create_topics(servers.kafka_bootstrap, topic_prefix, 1)
    gc.collect()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        for steps in range(STEPS_MAX):
            bus = KafkaBus(servers.kafka_bootstrap, "closing", topic_prefix)
            bus.read({(COMMANDS, 0): 0})
            looking = asyncio.create_task(bus.partitions(COMMANDS))
            for _ in range(steps):
                await asyncio.sleep(0.0003)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await bus.close()
        gc.collect()
    found = [str(each.message) for each in warned if each.category is ResourceWarning]
    assert found == []


@pytest.mark.parametrize("how", ["closed", "replaced"])
async def test_a_producer_that_is_given_up_while_it_sends_leaves_no_failure_unheard(
    servers: Addresses, topic_prefix: str, how: str
) -> None:
    await create_topics(servers.kafka_bootstrap, topic_prefix, PARTITIONS)
    unheard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(str(context["message"])))
    records = [Outbound(COMMANDS, n % PARTITIONS, b"x") for n in range(PARTITIONS)]
    failed = 0
    for turns in range(1, SENDING_MAX):  # with none, they would begin when it is closed
        sender = Sender(servers.kafka_bootstrap, "giving-up", Names(topic_prefix))
        assert list(await sender.send(records)) == [None] * PARTITIONS
        sending = [asyncio.create_task(sender.send([record])) for record in records]
        for _ in range(turns):
            await asyncio.sleep(0)
        if how == "replaced":  # as by a call that is cancelled
            sending[0].cancel()
            await asyncio.wait(sending[:1])
        await sender.close()
        ended = await asyncio.gather(*sending, return_exceptions=True)
        failed += any(each != [None] for each in ended)
    gc.collect()
    await asyncio.sleep(0)
    assert failed > 0, "every record was written before"
    assert unheard == []


@pytest.fixture(autouse=True)
def _collected() -> None:
    """Let nothing of other tests be found here."""
    gc.collect()
