"""A Kafka of a test's own that asks who may do what: topics may be closed to all readers."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from confluent_kafka import admin as confluent_admin
from perdure_common.embedded.jars import fetch
from perdure_common.embedded.kafka import Kafka
from perdure_common.embedded.ports import HOST, Ports

acls: Any = confluent_admin
"""The client's types say nothing of what it exports."""

GUARD = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""
START_S = 60.0
EVERYBODY = "User:ANONYMOUS"


class GuardedKafka:
    """The server, and who may read what; everybody may do everything that is not forbidden."""

    def __init__(self, home: Path, bootstrap: str) -> None:
        self.home = home
        self.bootstrap = bootstrap
        self._admin: Any = acls.AdminClient({"bootstrap.servers": bootstrap})

    async def forbid_reading(self, topic: str) -> None:
        """Let nobody read a topic: they may write, describe and delete it."""
        operations = (acls.AclOperation.WRITE, acls.AclOperation.DESCRIBE, acls.AclOperation.DELETE)
        rules = [
            acls.AclBinding(
                acls.ResourceType.TOPIC,
                topic,
                acls.ResourcePatternType.LITERAL,
                EVERYBODY,
                "*",
                each,
                acls.AclPermissionType.ALLOW,
            )
            for each in operations
        ]
        await self._done(self._admin.create_acls(rules))

    async def allow(self, topic: str) -> None:
        """Let everybody do everything with a topic again."""
        every = acls.AclBindingFilter(
            acls.ResourceType.TOPIC,
            topic,
            acls.ResourcePatternType.LITERAL,
            None,
            None,
            acls.AclOperation.ANY,
            acls.AclPermissionType.ANY,
        )
        await self._done(self._admin.delete_acls([every]))

    async def _done(self, answers: Any) -> None:
        for answer in answers.values():
            await asyncio.to_thread(answer.result, 30)

    def spoil(self, topic: str, text: bytes) -> None:
        """Change one byte of a record on the disk, as a disk that dies does."""
        (segment,) = self.home.glob(f"data/{topic}-0/*.log")
        content = segment.read_bytes()
        assert content.count(text) == 1, "the record is not on the disk"
        spoiled = text[:-1] + bytes([text[-1] ^ 1])
        with segment.open("r+b") as file:
            file.seek(content.index(text))
            file.write(spoiled)


@contextlib.asynccontextmanager
async def guarded_kafka(home: Path) -> AsyncGenerator[GuardedKafka]:
    """A server that runs as long as it is wanted."""
    fetch()
    ports = Ports()
    port = ports.claim()
    log = home / "kafka.log"
    kafka = Kafka(home, log)
    await asyncio.to_thread(kafka.prepare, port, ports.claim())
    with kafka.properties.open("a") as file:
        file.write(GUARD)
    with log.open("wb") as out:
        server = await asyncio.create_subprocess_exec(
            *kafka.command(), stdout=out, stderr=asyncio.subprocess.STDOUT
        )
    try:
        async with asyncio.timeout(START_S):
            while not kafka.is_ready(0):
                assert server.returncode is None, log.read_text()[-2000:]
                await asyncio.sleep(0.1)
        yield GuardedKafka(home, f"{HOST}:{port}")
    finally:
        if server.returncode is None:
            server.terminate()
            try:
                await asyncio.wait_for(server.wait(), 20)
            except TimeoutError:
                server.kill()
                await server.wait()
        ports.release()
