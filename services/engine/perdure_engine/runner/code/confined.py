"""What a child takes from itself before it reads code: time, memory, files, the network.

Run by the children only, which know nothing of perdure: it uses the standard library alone.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import IO, Any

CLONE_NEWNET = 0x4000_0000
CLONE_NEWUSER = 0x1000_0000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

FILES_MAX = 64
FRAMES_MAX = 5
CLASSES_MAX = 8
MEGABYTE = 1024 * 1024


def confine(cpu_s: int, memory_mb: int | None) -> bool:
    """Limit this process for good; return whether it has no network any more.

    `memory_mb` bounds the address space; None leaves that to the engine that runs the code.
    """
    _bound(resource.RLIMIT_CPU, cpu_s)
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_FSIZE, 0)
    _bound(resource.RLIMIT_NOFILE, FILES_MAX)
    if memory_mb is not None:
        _bound(resource.RLIMIT_AS, memory_mb * MEGABYTE)
    os.nice(5)
    return _leave_network()


def _bound(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (least, least))


def _leave_network() -> bool:
    """Go where there is no network, and die with the parent; only Linux knows how."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return library.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0


def streams() -> tuple[IO[str], IO[str]]:
    """Return where work comes from and answers go; what the code prints goes nowhere."""
    asked = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    return asked, answers


def tell(answers: IO[str], text: str) -> None:
    """Send one line."""
    with contextlib.suppress(BrokenPipeError):
        answers.write(text + "\n")
        answers.flush()


def described(error: BaseException) -> dict[str, Any]:
    """Return an error of the code as the parent wants it."""
    line = getattr(error, "lineno", None)
    frames: list[str] = []
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == "<code>":
            line = at.tb_lineno
            frames.append(at.tb_frame.f_code.co_name)
        at = at.tb_next
    if isinstance(error, MemoryError):
        return {"type": "code_memory", "message": "it needs more memory", "line": line}
    text = f"{type(error).__name__}: {error}"[:500]
    return {
        "type": "code_failed",
        "message": text,
        "line": line,
        "frames": frames[-FRAMES_MAX:],
        "classes": [_named(each) for each in type(error).__mro__[:CLASSES_MAX]],
    }


def _named(cls: type) -> str:
    """Return a class as `package.Class`; one of the code's own has the package `code`."""
    package = "code" if cls.__module__ == "code" else cls.__module__.partition(".")[0]
    return f"{package}.{cls.__qualname__.rpartition('.')[2]}"
