"""Child processes that do not outlive their parent, also when the parent is killed with -9.

On Linux the kernel itself sends the child a signal when its parent dies (PR_SET_PDEATHSIG). Where
that does not exist (macOS), whoever starts next finds what was left over and ends it.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def tied(death_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` that ties a child to the *thread* that starts it; None where impossible.

    Start such children from a thread that lives as long as the process: the main one.
    """
    libc = _libc()  # loaded before the fork: between fork and exec one must not allocate
    if libc is None:
        return None

    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it died a moment ago, too early for the signal

    return tie
