"""A bus that is closed in the middle of connecting leaves nothing open, whenever that is."""

import asyncio
import gc
import warnings

import pytest
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.topics import create_topics

COMMANDS = "perdure.engine.commands.v1"
STEPS_MAX = 60
"""Turns of the loop that it has before it is closed: connecting takes some forty."""


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


@pytest.fixture(autouse=True)
def _collected() -> None:
    """Let nothing of other tests be found here."""
    gc.collect()
