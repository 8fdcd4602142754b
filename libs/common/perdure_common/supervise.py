"""Runs the services of one machine as child processes under one supervisor.

Starts them in order, starts a crashed one again with back-off, stops all of them cleanly on
SIGINT or SIGTERM, and leaves none behind even when the supervisor is killed with -9 (Linux). What
a child prints goes to a file of its own. Who wants to show a board asks `status` or is called back.
"""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from perdure_common import prefork
from perdure_common.embedded.lifeline import tied
from perdure_common.prefork import Forked

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 30.0
# A service that ran this long had started well: its next crash is a first one again.
SETTLED_S = 60.0
_LOG_BYTES_MAX = 10_000_000
_POLL_S = 0.05
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Service:
    """One child: its name (which is its log's name), command line and extra environment.

    `module` is where its `main()` is, for one that may also be forked.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    module: str = ""


class ServicePhase(StrEnum):
    """What a service is doing, as the board shows it."""

    WAITING = "waiting"
    RUNNING = "running"
    CRASHED = "crashed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ServiceStatus:
    """A line of the board.

    `since_s` is seconds since the epoch, when the phase began; `restarts` counts the starts after
    the first; `exit_code` is the last one (negative: the signal that ended it); `again_in_s` is
    the back-off of a crashed one.
    """

    name: str
    phase: ServicePhase
    log: Path
    since_s: float
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None
    again_in_s: float = 0.0


def backoff_s(crashes: int) -> float:
    """How long to wait after the n-th crash in a row (from 1): 1 s, doubling, at most 30 s."""
    return min(BACKOFF_FIRST_S * 2.0 ** min(crashes - 1, 10), BACKOFF_MAX_S)


class Supervisor:
    """Owns the services from `run` until it returns.

    Args:
        services: in the order in which they start.
        logs: the directory of the log files, made if needed.
        stop_limit_s: how long a child may take to end after SIGTERM, before SIGKILL.
        on_change: called with the new line whenever a service changes its phase.
    """

    def __init__(
        self,
        services: Sequence[Service],
        logs: Path,
        *,
        stop_limit_s: float = 15.0,
        on_change: Callable[[ServiceStatus], None] | None = None,
    ) -> None:
        self._services = services
        self._logs = logs
        self._stop_limit_s = stop_limit_s
        self._on_change = on_change
        self._children: dict[str, Process | Forked] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        now_s = time.time()
        self._status = {
            s.name: ServiceStatus(s.name, ServicePhase.WAITING, logs / f"{s.name}.log", now_s)
            for s in services
        }
        if len(self._status) != len(services):
            raise ValueError("Two services have the same name; give each its own.")

    def status(self) -> list[ServiceStatus]:
        """The board: one line per service, in their order."""
        return [self._status[s.name] for s in self._services]

    def request_stop(self) -> None:
        """Stop everything; called again, do not wait for anybody any more."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def fork_ahead(self) -> None:
        """Load the services' code once and fork those that have a module; `run` starts the rest.

        Call it from the main thread, before there is an event loop or another thread.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        if not prefork.is_possible():
            return
        ahead = [service for service in self._services if service.module]
        for service in ahead:
            prefork.load(service.module)
        for service in ahead:
            log = self._fresh_log(service)
            child = prefork.fork(service.name, service.module, service.env, log)
            self._children[service.name] = child
            self._note(service.name, phase=ServicePhase.RUNNING, pid=child.pid)

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM or `request_stop`; returns when all children are gone.

        Call it from the main thread: there signals arrive, and children are tied to it.

        Raises:
            FileNotFoundError, PermissionError: a service's program cannot be run at all.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self.request_stop)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stop_all())
                for service in self._services:
                    if not self._stop.is_set():
                        if service.name not in self._children:
                            await self._start(service)
                        group.create_task(self._watch(service))
        finally:
            for name, child in self._children.items():
                self._signal(name, signal.SIGKILL)
                await child.wait()
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def _start(self, service: Service) -> None:
        with self._fresh_log(service).open("ab") as log:
            self._children[service.name] = child = await asyncio.create_subprocess_exec(
                *service.command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env={**os.environ, **service.env},
                # A session of its own: Ctrl-C in the terminal reaches the supervisor alone.
                start_new_session=True,
                preexec_fn=tied(signal.SIGKILL),
            )
        self._note(service.name, phase=ServicePhase.RUNNING, pid=child.pid, again_in_s=0.0)

    def _fresh_log(self, service: Service) -> Path:
        """Return where the service's output goes; what is too long is moved away."""
        path = self._status[service.name].log
        if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path

    async def _watch(self, service: Service) -> None:
        """Start a service again each time it ends, until all are to stop."""
        name, crashes = service.name, 0
        while True:
            code = await self._children[name].wait()
            del self._children[name]
            if self._stop.is_set():
                break
            settled = time.time() - self._status[name].since_s >= SETTLED_S
            crashes = 1 if settled else crashes + 1
            delay_s = backoff_s(crashes)
            self._note(
                name, phase=ServicePhase.CRASHED, pid=None, exit_code=code, again_in_s=delay_s
            )
            if await _is_set_within(self._stop, delay_s):
                break
            self._note(name, restarts=self._status[name].restarts + 1)
            await self._start(service)
        self._note(name, phase=ServicePhase.STOPPED, pid=None, exit_code=code, again_in_s=0.0)

    async def _stop_all(self) -> None:
        """When it is time: ask all children to end, wait, and end those that do not."""
        await self._stop.wait()
        for name in self._children:
            self._note(name, phase=ServicePhase.STOPPING)
            self._signal(name, signal.SIGTERM)
        limit = time.monotonic() + self._stop_limit_s
        while self._children and time.monotonic() < limit:
            if await _is_set_within(self._hurry, _POLL_S):
                break
        for name in self._children:
            self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child and to what it started itself."""
        child = self._children[name]
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)

    def _note(self, name: str, **changes: Any) -> None:
        before = self._status[name]
        if changes.get("phase", before.phase) is not before.phase:
            changes["since_s"] = time.time()
        self._status[name] = after = replace(before, **changes)
        if after.phase is not before.phase and self._on_change:
            self._on_change(after)


async def _is_set_within(event: asyncio.Event, limit_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), limit_s)
    return event.is_set()
