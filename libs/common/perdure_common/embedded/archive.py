"""Makes what lets Kafka start in a third of the time: Java's ahead-of-time cache of its classes.

Java writes it at the end of a training run: a broker in a folder of its own that has made topics,
taken a record and given it to a group. It lies beside the jars (`kafka.archive_file`), and
`make setup` makes it. Java itself checks that it fits, and does without where it does not; so does
the broker where there is none.
"""

import asyncio
import logging
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from perdure_contracts.topology import TOPICS, physical

from perdure_common.cache import cache_dir
from perdure_common.embedded.errors import EmbeddedError, tail
from perdure_common.embedded.kafka import Kafka, archive_file
from perdure_common.embedded.ports import Ports
from perdure_common.embedded.state import Lock
from perdure_common.shell.ports import Unreachable
from perdure_common.topics import TopicError, create_topics

_LIMIT_S = 120.0
_CLIENT_LIMIT_S = 30.0
_POLL_S = 0.05
_PREFIX = "training"
_KEPT = 3
"""How many of these files stay: other checkouts on this machine may have other versions."""


def make() -> None:
    """Make the cache unless it is there.

    Raises:
        EmbeddedError: `archive_failed`; Kafka runs without it, only its start takes longer.
    """
    target = archive_file()
    if target.exists():
        return
    lock = Lock(cache_dir() / "archive.lock")
    if not lock.acquire(timeout_s=_LIMIT_S):
        raise EmbeddedError("archive_failed", f"Another process is busy with {target}; end it.")
    ports = Ports()
    try:
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                _train(Path(folder), ports).rename(target)
            every = sorted(target.parent.glob("kafka-*.aot"), key=lambda file: file.stat().st_mtime)
            for older in every[:-_KEPT]:
                older.unlink(missing_ok=True)
    finally:
        ports.release()
        lock.release()


def _train(folder: Path, ports: Ports) -> Path:
    """Run a broker for a moment and return the file that Java writes when it ends."""
    made = folder / "kafka.aot"
    plain = Kafka(folder, folder / "kafka.log")
    broker = Kafka(folder, plain.log, options=(f"-XX:AOTCacheOutput={made}",))
    port, controller_port = ports.claim(), ports.claim()
    plain.prepare(port, controller_port)
    with plain.log.open("wb") as log:
        child = subprocess.Popen(
            broker.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        limit = time.monotonic() + _LIMIT_S
        while not broker.is_ready(0) and child.poll() is None and time.monotonic() < limit:
            time.sleep(_POLL_S)
        asyncio.run(_use(f"127.0.0.1:{port}"))
        child.send_signal(signal.SIGTERM)
        child.wait(_LIMIT_S)
    except (KafkaError, Unreachable, TopicError, TimeoutError, subprocess.TimeoutExpired) as error:
        raise _failed(str(error)) from error
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if not made.exists():
        raise _failed(tail(plain.log))
    return made


async def _use(bootstrap: str) -> None:
    """Let the broker do what it does for perdure, so that the classes for it are in the cache."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells that it has to wait
    await create_topics(bootstrap, _PREFIX, 2)
    topic = physical(TOPICS[0].name, _PREFIX)
    async with (
        asyncio.timeout(_CLIENT_LIMIT_S),
        AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer,
        AIOKafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=_PREFIX,
            auto_offset_reset="earliest",
        ) as consumer,
    ):
        await producer.send_and_wait(topic, b"one")
        await consumer.getone()


def _failed(detail: str) -> EmbeddedError:
    message = "Java's cache of Kafka's classes could not be made; Kafka's start will take longer."
    return EmbeddedError("archive_failed", message, detail)
