"""Services that are forked with their code loaded are processes like any others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from perdure_common.embedded.state import Lock

PATIENCE_S = 30.0
# A service: it says who it is, and stays until it is told to go.
MODULE = """
import os, signal, sys, time
print("loaded in", os.getpid(), flush=True)

def main():
    signal.signal(signal.SIGTERM, lambda *_: (print("goodbye", flush=True), sys.exit(0)))
    print("runs in", os.getpid(), os.environ["WORD"], flush=True)
    time.sleep(600)

if __name__ == "__main__":
    main()
"""
# Its supervisor, in a process of its own: it holds a lock, as `perdure up` does.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from perdure_common.embedded.state import Lock
from perdure_common.supervise import Service, Supervisor
here = Path(sys.argv[1])
lock = Lock(here / "lock")
assert lock.acquire()
command = [sys.executable, "-m", "forked_service"]
services = [Service(f"service-{n}", command, {"WORD": f"w{n}"}, "forked_service") for n in (1, 2)]
supervisor = Supervisor(services, here, stop_limit_s=20)
supervisor.fork_ahead()
async def main():
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    (here / "running").touch()
    await running
asyncio.run(main())
"""


@dataclass(frozen=True)
class Stage:
    """A supervisor and where its services write."""

    supervisor: subprocess.Popen[bytes]
    folder: Path

    def said(self, name: str) -> list[str]:
        """Return the lines of a service."""
        path = self.folder / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, name: str) -> int:
        """Return the process that said last that it runs."""
        return int([line for line in self.said(name) if line.startswith("runs in")][-1].split()[2])

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that must happen."""
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, "what was waited for did not happen"
            time.sleep(0.02)

    def run(self, name: str, times: int = 1) -> bool:
        """Return whether a service has started so many times."""
        return len([line for line in self.said(name) if line.startswith("runs in")]) >= times


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Start a supervisor that forks two services."""
    (tmp_path / "forked_service.py").write_text(MODULE)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], env=environ) as child:
        stage = Stage(child, tmp_path)
        try:
            stage.until(lambda: stage.run("service-1") and stage.run("service-2"))
            stage.until((tmp_path / "running").exists)
            yield stage
        finally:
            child.kill()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_each_runs_in_a_process_of_its_own_with_its_name_and_settings(stage: Stage) -> None:
    pids = {stage.pid("service-1"), stage.pid("service-2"), stage.supervisor.pid}
    assert len(pids) == 3
    assert stage.said("service-1")[-1].endswith("w1")
    assert psutil.Process(stage.pid("service-2")).name() == "service-2"
    assert not any(line.startswith("loaded") for line in stage.said("service-1"))


def test_one_that_is_killed_is_started_again_as_a_program_and_the_other_goes_on(
    stage: Stage,
) -> None:
    first, other = stage.pid("service-1"), stage.pid("service-2")
    os.kill(first, signal.SIGKILL)
    stage.until(lambda: stage.run("service-1", 2))
    again = stage.pid("service-1")
    assert again != first
    assert "forked_service" in psutil.Process(again).cmdline()
    assert f"loaded in {again}" in stage.said("service-1")
    assert stage.pid("service-2") == other
    assert lives(other)


def test_they_end_cleanly_with_their_supervisor(stage: Stage) -> None:
    stage.supervisor.terminate()
    assert stage.supervisor.wait(PATIENCE_S) == 0
    assert [stage.said(f"service-{n}")[-1] for n in (1, 2)] == ["goodbye", "goodbye"]


def test_they_do_not_outlive_a_killed_supervisor_nor_keep_its_locks(stage: Stage) -> None:
    pids = [stage.pid("service-1"), stage.pid("service-2")]
    os.kill(pids[0], signal.SIGSTOP)  # even one that does nothing more holds no lock of its parent
    stage.supervisor.kill()
    stage.supervisor.wait()
    assert Lock(stage.folder / "lock").acquire(timeout_s=PATIENCE_S)
    stage.until(lambda: not any(lives(pid) for pid in pids))
    assert stage.said("service-2")[-1] != "goodbye"
