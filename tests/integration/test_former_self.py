"""A process that is started again after a kill -9 does not wait for the end of its former self."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import Sequence

from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.topics import create_topics

COMMANDS = "perdure.engine.commands.v1"
HOST = socket.gethostname()
PARTITIONS = 3
SESSION_S = 300.0
PATIENCE_S = 60.0
"""Shorter than the session: waiting for its end fails the test."""

# A member in a process of its own, to be killed.
MEMBER = """
import asyncio, sys
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.run import process_name

async def main(bootstrap, prefix, session_s):
    bus = KafkaBus(bootstrap, process_name("engine"), prefix, session_s=float(session_s))

    async def assigned(partitions):
        print(len(partitions), flush=True)

    async def revoked(partitions):
        pass

    await bus.join("engine", "perdure.engine.commands.v1", assigned, revoked)
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_shards_of_a_killed_process_go_to_the_one_in_its_place_at_once(
    servers: Addresses,
) -> None:
    prefix = f"former-{uuid.uuid4().hex[:8]}"
    await create_topics(servers.kafka_bootstrap, prefix, PARTITIONS)
    command = [sys.executable, "-c", MEMBER, servers.kafka_bootstrap, prefix, str(SESSION_S)]
    former = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert former.stdout is not None
    assert await former.stdout.readline() == b"%d\n" % PARTITIONS
    os.kill(former.pid, signal.SIGKILL)
    await former.wait()
    held: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()

    async def assigned(partitions: Sequence[int]) -> None:
        if not held.done():
            held.set_result(partitions)

    async def revoked(partitions: Sequence[int]) -> None:
        del partitions

    name = f"engine@{HOST}/{os.getpid()}"
    bus = KafkaBus(servers.kafka_bootstrap, name, prefix, session_s=SESSION_S)
    try:
        async with asyncio.timeout(PATIENCE_S):
            member = await bus.join("engine", COMMANDS, assigned, revoked)
            assert sorted(await held) == list(range(PARTITIONS))
            await member.leave()
    finally:
        await bus.close()
