"""What the C library does with memory that is free again: it keeps it, instead of giving it back.

A batch makes and drops tens of MB. glibc gives the top of the heap back to the system as soon as
128 KiB of it are free, and large blocks at once; with the next batch the system clears the same
pages again, one fault for each. At full load that was a twentieth of an engine's time.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3), as <malloc.h> numbers them."""

KEPT_BYTES = 128 * 1024 * 1024
"""What may stay free at the top of the heap."""

STEP_BYTES = 16 * 1024 * 1024
"""By how much the heap grows at a time; what was not written to takes no memory."""

OWN_BYTES = 32 * 1024 * 1024
"""From what size on a block is the system's own and goes back at once; glibc takes no more."""

ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES),
    "MALLOC_TOP_PAD_": str(STEP_BYTES),
    "MALLOC_MMAP_THRESHOLD_": str(OWN_BYTES),
}
"""The same for a program that is not ours."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; False where the C library cannot be told so."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    wanted = (
        (_M_TRIM_THRESHOLD, KEPT_BYTES),
        (_M_TOP_PAD, STEP_BYTES),
        (_M_MMAP_THRESHOLD, OWN_BYTES),
    )
    return all([mallopt(parameter, value) == 1 for parameter, value in wanted])
