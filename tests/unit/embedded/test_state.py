"""What is written down about the servers survives bad readers, bad writers and deaths."""

import os
import pwd
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from perdure_common.cache import cache_dir
from perdure_common.embedded.errors import EmbeddedError, tail
from perdure_common.embedded.jars import KAFKA_VERSION, locked
from perdure_common.embedded.ports import Ports
from perdure_common.embedded.postgres import run_as
from perdure_common.embedded.state import Lock, Phase, Process, Root, State

HOLDER = """
import sys, time
from pathlib import Path
from perdure_common.embedded.state import Lock
print(Lock(Path(sys.argv[1])).acquire(), flush=True)
time.sleep(600)
"""


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    state = State(Phase.READY, "a1", 7, postgres=Process(8, 1.5, 5432), kafka_controller_port=9)
    Root(tmp_path).write(state)
    assert Root(tmp_path).read() == state
    assert [path.name for path in tmp_path.glob("servers.json*")] == ["servers.json"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"phase": "dancing"}', '{"phase": "ready", "kafka": 3}']
)
def test_a_state_that_cannot_be_read_counts_as_stopped(tmp_path: Path, content: str) -> None:
    (tmp_path / "servers.json").write_text(content)
    assert Root(tmp_path).read() == State(phase=Phase.STOPPED)


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"kafka": "x"}'])
def test_ports_that_cannot_be_read_are_chosen_anew(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ports.json").write_text(content)
    assert Root(tmp_path).read_ports() == {}


def test_a_lock_is_exclusive_or_shared(tmp_path: Path) -> None:
    one, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert one.acquire(shared=True)
    assert other.acquire(shared=True)
    assert not Lock(tmp_path / "lock").acquire(timeout_s=0.01)
    one.release()
    other.release()
    assert one.acquire()
    assert not other.acquire(shared=True)
    assert (one.held, other.held) == (True, False)


def test_a_lock_ends_with_its_holder_even_by_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lock = Lock(tmp_path / "lock")
        assert not lock.acquire()
        os.kill(holder.pid, signal.SIGKILL)
        assert lock.acquire(timeout_s=30)


def test_the_port_of_the_last_run_is_used_again_unless_it_is_taken() -> None:
    ports = Ports()
    port = ports.claim()
    ports.release()
    assert ports.claim(port) == port
    ports.release()
    with socket.create_server(("127.0.0.1", port)):
        assert ports.claim(port) != port
    ports.release()


def test_a_port_that_somebody_has_claimed_is_given_to_nobody_else_before_it_is_bound() -> None:
    first, second = Ports(), Ports()
    port = first.claim()
    other = second.claim(port)
    assert other != port
    first.release()
    assert second.claim(port) == port
    second.release()


def test_the_end_of_a_long_log_is_shown_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log") == ""
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {n}\n" for n in range(1000)))
    assert tail(log).splitlines()[-1].strip() == "line 999"
    assert len(tail(log).splitlines()) == 12


def test_an_error_shows_the_log_below_its_one_sentence() -> None:
    error = EmbeddedError("kafka_start_failed", "It failed; read the log.", "    the log")
    assert str(error) == "It failed; read the log.\n    the log"
    assert str(EmbeddedError("x", "Short.")) == "Short."


def test_every_jar_of_kafka_is_pinned_once_with_a_hash() -> None:
    jars = locked()
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)
    kafka = [jar for jar in jars if jar.group == "org.apache.kafka"]
    assert len(kafka) > 5
    assert {jar.version for jar in kafka} == {KAFKA_VERSION}


def test_the_cache_can_be_put_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("PERDURE_CACHE")
    assert cache_dir().name == "perdure"


@pytest.mark.parametrize("user", [0, 4711])
def test_who_cannot_run_postgres_is_told_what_to_do(
    user: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(EmbeddedError, match="PERDURE_DATABASE_URL") as caught:
        run_as()
    assert caught.value.code == "postgres_needs_user"
