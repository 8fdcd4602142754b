"""Children forked from a process that has already loaded their code.

Loading it takes a service a second of CPU; four that are forked load it once and share its memory.
Fork before any event loop or thread: neither survives it. Only where the kernel can tell of the
end of one process (pidfd: Linux); elsewhere, and whenever a service is started again, it is
started as a program.
"""

import asyncio
import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from perdure_common.embedded.lifeline import tied

LATE = (
    "anyio._backends._asyncio",
    "httpcore",
    "pydantic.v1",
    "uvicorn.protocols.http.h11_impl",
    "uvloop",
)
"""What libraries load only when they are first used, which every service does as it starts."""

_PR_SET_NAME = 15  # linux/prctl.h
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Forked:
    """A forked child; the part of `asyncio.subprocess.Process` that a supervisor needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._pidfd = os.pidfd_open(pid)

    async def wait(self) -> int:
        """Wait for its end and return its exit code, or the negative number of the signal."""
        if self.returncode is None:
            loop = asyncio.get_running_loop()
            ended: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._pidfd, lambda: ended.done() or ended.set_result(None))
            try:
                await ended
            finally:
                loop.remove_reader(self._pidfd)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def _reap(self) -> None:
        """Take the exit code of a child that has ended."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._pidfd)


def is_possible() -> bool:
    """Return whether this process may fork children that go on running Python."""
    return hasattr(os, "pidfd_open") and threading.active_count() == 1


def load(module: str) -> None:
    """Load a module and leave what it brought out of every later collection.

    A collection writes into every object that it looks at, and what is written is not shared.
    """
    importlib.import_module(module)
    for name in LATE:
        with suppress(ModuleNotFoundError):  # nobody here needs it, then
            importlib.import_module(name)
    gc.freeze()


def fork(name: str, module: str, env: Mapping[str, str], log: Path) -> Forked:
    """Start `main()` of a loaded module in a child of its own session; `log` gets what it says."""
    tie = tied(signal.SIGKILL)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 1
    try:
        os.setsid()
        if tie is not None:
            tie()
        _detach(name, log)
        os.environ.update(env)
        sys.modules[module].main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not through the interpreter's end: what the parent has registered for it is the parent's.
        os._exit(code)


def _detach(name: str, log: Path) -> None:
    """Let go of what is the parent's: files, locks, terminal, name."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((_STDIN, nothing), (_STDOUT, output), (_STDERR, output)):
        os.dup2(source, target)
    for word in os.listdir("/dev/fd"):
        if int(word) > _STDERR:
            with suppress(OSError):  # the one that the listing itself had open
                os.close(int(word))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
