"""The supervisor keeps its children running, and takes all of them with it."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from perdure_common.supervise import Service, ServicePhase, ServiceStatus, Supervisor, backoff_s

PATIENCE_S = 30.0
SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
POLITE = (
    "import signal, sys, time;"
    "signal.signal(signal.SIGTERM, lambda *_: (print('goodbye', flush=True), sys.exit(0)));"
    "print('ready', flush=True)\n"
    "while True: time.sleep(0.05)  # a signal may come just before a sleep begins, and not end it"
)
CRASHER = "import sys; print('oh dear', flush=True); sys.exit(3)"
ENDS = [signal.SIGTERM, signal.SIGINT]
if sys.platform == "linux":  # where the kernel tells children that their parent died
    ENDS.append(signal.SIGKILL)
# A supervisor in a process of its own, to be killed.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from perdure_common.supervise import Service, Supervisor
logs, source = Path(sys.argv[1]), sys.argv[2]
services = [Service(name, [sys.executable, "-c", source]) for name in ("one", "two")]
asyncio.run(Supervisor(services, logs, stop_limit_s=20).run())
"""


def _service(name: str, source: str) -> Service:
    return Service(name, [sys.executable, "-c", source])


async def _until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, "what was waited for did not happen"
        await asyncio.sleep(0.02)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_services_start_in_their_order_and_stop_when_asked(tmp_path: Path) -> None:
    seen: list[ServiceStatus] = []
    services = [_service("first", POLITE), _service("second", POLITE)]
    supervisor = Supervisor(services, tmp_path, on_change=seen.append, stop_limit_s=60.0)
    run = asyncio.create_task(supervisor.run())
    await _until(lambda: all("ready" in _read(s.log) for s in supervisor.status()))
    pids = [status.pid for status in supervisor.status()]
    supervisor.request_stop()
    await run
    assert [s.name for s in seen if s.phase is ServicePhase.RUNNING] == ["first", "second"]
    assert [(s.phase, s.exit_code) for s in supervisor.status()] == [(ServicePhase.STOPPED, 0)] * 2
    assert ["goodbye" in _read(s.log) for s in supervisor.status()] == [True, True]
    assert not any(pid is not None and _lives(pid) for pid in pids)


async def test_a_crashed_service_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    supervisor = Supervisor([_service("bad", CRASHER), _service("good", SLEEPER)], tmp_path)
    run = asyncio.create_task(supervisor.run())
    await _until(lambda: supervisor.status()[0].restarts >= 1)
    bad, good = supervisor.status()
    assert bad.exit_code == 3
    assert (good.phase, good.restarts) == (ServicePhase.RUNNING, 0)
    await _until(lambda: _read(bad.log).count("oh dear") >= 2)
    supervisor.request_stop()
    await run


async def test_a_service_that_ignores_the_request_is_killed_after_the_limit(tmp_path: Path) -> None:
    supervisor = Supervisor([_service("stubborn", STUBBORN)], tmp_path, stop_limit_s=0.2)
    run = asyncio.create_task(supervisor.run())
    await _until(lambda: _read(tmp_path / "stubborn.log") != "")
    supervisor.request_stop()
    await run
    assert supervisor.status()[0].exit_code == -signal.SIGKILL


async def test_a_second_request_to_stop_does_not_wait_for_the_limit(tmp_path: Path) -> None:
    supervisor = Supervisor([_service("stubborn", STUBBORN)], tmp_path, stop_limit_s=3600)
    run = asyncio.create_task(supervisor.run())
    await _until(lambda: _read(tmp_path / "stubborn.log") != "")
    supervisor.request_stop()
    supervisor.request_stop()
    await asyncio.wait_for(run, PATIENCE_S)
    assert supervisor.status()[0].exit_code == -signal.SIGKILL


async def test_a_program_that_is_not_there_ends_the_supervisor_and_the_others(
    tmp_path: Path,
) -> None:
    services = [_service("good", SLEEPER), Service("missing", [str(tmp_path / "nowhere")])]
    supervisor = Supervisor(services, tmp_path / "logs")
    with pytest.raises(ExceptionGroup) as caught:
        await supervisor.run()
    assert caught.group_contains(FileNotFoundError)
    pid = supervisor.status()[0].pid
    assert pid is not None
    await _until(lambda: not _lives(pid))


@pytest.mark.parametrize("number", ENDS)
async def test_no_service_outlives_its_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), SLEEPER]
    supervisor = await asyncio.create_subprocess_exec(*command)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    await _until(lambda: all(_read(log).endswith("\n") for log in logs))
    pids = [int(_read(log)) for log in logs]
    assert all(_lives(pid) for pid in pids)
    supervisor.send_signal(number)
    await asyncio.wait_for(supervisor.wait(), PATIENCE_S)
    await _until(lambda: not any(_lives(pid) for pid in pids))


def test_the_back_off_doubles_up_to_half_a_minute() -> None:
    assert [backoff_s(n) for n in (1, 2, 3, 4, 5, 6, 7, 1000)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_two_services_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same name"):
        Supervisor([_service("a", SLEEPER), _service("a", SLEEPER)], tmp_path)
