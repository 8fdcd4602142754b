"""The embedded servers come, are shared, and go, however roughly their users end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from perdure_common.embedded import Addresses, Embedded, EmbeddedError, Phase

PATIENCE_S = 60.0
# A user of the servers in a process of its own: says the addresses, then stays until killed.
USER = """
import sys, time
from pathlib import Path
from perdure_common.embedded import Embedded
embedded = Embedded(Path(sys.argv[1]))
addresses = embedded.start(detach="detach" in sys.argv)
print(addresses.database_url, addresses.kafka_bootstrap, flush=True)
if "stay" in sys.argv:
    time.sleep(600)
"""


@dataclass(frozen=True)
class Place:
    """A root directory of a test's own."""

    path: Path

    def user(self, *how: str) -> subprocess.Popen[str]:
        """Start a process that starts or finds the servers: `stay`, `detach`."""
        command = [sys.executable, "-c", USER, str(self.path), *how]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def processes(self) -> list[psutil.Process]:
        """The keeper and the servers that run here."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                mine = any(str(self.path) in word for word in process.cmdline())
            except psutil.Error:
                continue
            if mine and USER not in process.cmdline():
                found.append(process)
        return found

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that must happen."""
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, "what was waited for did not happen"
            time.sleep(0.05)

    def until_empty(self) -> None:
        """Wait until nothing runs here any more, and is known not to."""
        self.until(lambda: not self.processes())
        # A killed process loses its command line a moment before its locks.
        self.until(lambda: Embedded(self.path).status().phase in (Phase.STOPPED, Phase.FAILED))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty root directory; what still runs there at the end is ended."""
    monkeypatch.delenv("PERDURE_DATABASE_URL", raising=False)
    monkeypatch.delenv("PERDURE_KAFKA_BOOTSTRAP", raising=False)
    # Not tmp_path: its parents are closed to the user that runs PostgreSQL where we are root.
    path = Path(tempfile.mkdtemp(prefix="perdure-"))
    here = Place(path)
    try:
        yield here
    finally:
        Embedded(path).stop()
        for process in here.processes():
            process.kill()
        shutil.rmtree(path)


@pytest.fixture
def only_postgres(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Kafka out: starting it takes seconds, and the test is not about it."""
    assert place.path.is_dir()  # made before, for it clears these settings
    monkeypatch.setenv("PERDURE_KAFKA_BOOTSTRAP", "127.0.0.1:9")


def _ask(url: str, *statements: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(ask())


async def _produce(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(topic, b"kept")


async def _first(bootstrap: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        message = await asyncio.wait_for(consumer.getone(), 30)
        return message.value


def test_a_crash_of_everything_at_once_loses_nothing_and_is_taken_over(place: Place) -> None:
    before = Embedded(place.path).start(detach=True)
    _ask(before.database_url, "create table t (a int)", "insert into t values (7) returning a")
    asyncio.run(_produce(before.kafka_bootstrap, "t.crash"))
    for process in place.processes():
        process.kill()
    assert (place.path / "postgres/data/postmaster.pid").exists()
    place.until_empty()
    with Embedded(place.path) as after:
        assert after == before
        assert _ask(after.database_url, "select a from t") == 7
        assert asyncio.run(_first(after.kafka_bootstrap, "t.crash")) == b"kept"
    place.until_empty()


@pytest.mark.usefixtures("only_postgres")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_servers_stop_when_their_last_user_is_gone(place: Place, end: signal.Signals) -> None:
    with place.user("stay") as first, place.user("stay") as second:
        assert first.stdout is not None
        assert second.stdout is not None
        addresses = first.stdout.readline()
        assert addresses == second.stdout.readline()
        pids = {process.pid for process in place.processes()}
        first.send_signal(end)
        first.wait()
        assert isinstance(_ask(addresses.split()[0], "select now()::text"), str)
        assert pids == {process.pid for process in place.processes()}
        second.send_signal(end)
        second.wait()
        place.until_empty()


@pytest.mark.usefixtures("only_postgres")
def test_many_that_start_at_once_get_the_same_servers(place: Place) -> None:
    users = [place.user("stay") for _ in range(4)]
    try:
        lines = {user.stdout.readline() for user in users if user.stdout is not None}
        assert len(lines) == 1
        assert lines.pop().startswith("postgresql://")
        keepers = [p for p in place.processes() if "keep" in p.cmdline()]
        assert len(keepers) == 1
    finally:
        for user in users:
            user.kill()
            user.communicate()
    place.until_empty()


@pytest.mark.usefixtures("only_postgres")
def test_detached_servers_stay_until_they_are_stopped(place: Place) -> None:
    with place.user("detach") as user:
        url = user.communicate()[0].split()[0]
    assert user.returncode == 0
    with Embedded(place.path) as found:
        assert found.database_url == url
    assert _ask(url, "select 1") == 1
    Embedded(place.path).stop()
    assert place.processes() == []
    assert Embedded(place.path).status().phase is Phase.STOPPED


@pytest.mark.usefixtures("only_postgres")
def test_a_server_that_crashes_comes_back_on_its_port(place: Place) -> None:
    embedded = Embedded(place.path)
    addresses = embedded.start()
    before = embedded.status().postgres
    assert before is not None
    psutil.Process(before.pid).kill()

    def is_back() -> bool:
        now = embedded.status().postgres
        return now is not None and now.pid != before.pid

    place.until(is_back)
    place.until(lambda: embedded.status().phase is Phase.READY)
    assert Embedded(place.path).start() == addresses
    assert _ask(addresses.database_url, "select 1") == 1
    embedded.stop()
    assert place.processes() == []


@pytest.mark.usefixtures("only_postgres")
@pytest.mark.parametrize("number", [signal.SIGKILL] if sys.platform == "linux" else [])
def test_the_servers_do_not_outlive_their_keeper(place: Place, number: signal.Signals) -> None:
    embedded = Embedded(place.path)
    embedded.start()
    os.kill(embedded.status().keeper_pid, number)
    place.until_empty()
    again = embedded.start()
    assert _ask(again.database_url, "select 1") == 1


@pytest.mark.usefixtures("only_postgres")
def test_a_data_directory_whose_making_was_cut_off_is_made_again(place: Place) -> None:
    half = place.path / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with Embedded(place.path) as addresses:
        assert _ask(addresses.database_url, "select 1") == 1


@pytest.mark.usefixtures("only_postgres")
def test_a_postmaster_pid_that_belongs_to_another_program_does_not_stop_us(place: Place) -> None:
    with Embedded(place.path):
        pass
    place.until_empty()
    data = place.path / "postgres" / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n\n127.0.0.1\n\nready\n")
    with Embedded(place.path) as addresses:
        assert _ask(addresses.database_url, "select 1") == 1


@pytest.mark.usefixtures("only_postgres")
def test_a_server_that_cannot_start_says_why_and_what_to_do(place: Place) -> None:
    with Embedded(place.path):
        pass
    place.until_empty()
    (place.path / "postgres/data/global/pg_control").unlink()
    with pytest.raises(EmbeddedError) as caught:
        Embedded(place.path).start()
    assert caught.value.code == "postgres_start_failed"
    assert "postgres.log" in caught.value.message
    assert "pg_control" in caught.value.detail
    place.until_empty()


@pytest.mark.usefixtures("only_postgres")
def test_the_password_is_asked_for_and_nobody_else_may_read_it(place: Place) -> None:
    with Embedded(place.path) as addresses:
        wrong = addresses.database_url.replace("perdure:", "perdure:x", 1)
        with pytest.raises(asyncpg.InvalidPasswordError):
            _ask(wrong, "select 1")
        for secret in (place.path / "postgres", place.path / "postgres" / "password"):
            assert secret.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("only_postgres")
def test_servers_that_run_without_what_is_wanted_are_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Embedded(place.path) as addresses:
        monkeypatch.delenv("PERDURE_KAFKA_BOOTSTRAP")
        with pytest.raises(EmbeddedError, match="without kafka") as caught:
            Embedded(place.path).start()
        assert caught.value.code == "servers_differ"
        assert _ask(addresses.database_url, "select 1") == 1


def test_servers_of_ones_own_replace_the_embedded_ones(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_DATABASE_URL", "postgresql://mine/db")
    monkeypatch.setenv("PERDURE_KAFKA_BOOTSTRAP", "mine:9092")
    with Embedded(place.path) as addresses:
        assert addresses == Addresses("postgresql://mine/db", "mine:9092")
        assert place.processes() == []
    assert not Path(place.path / "postgres").exists()
