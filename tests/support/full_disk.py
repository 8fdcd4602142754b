"""A disk that is full under PostgreSQL, and free again when the test says so.

`disk`: the server stands on a small file system of its own in memory, which a ballast fills. That
takes the right to mount. `limit`: the kernel lets no file of the server grow (RLIMIT_FSIZE), which
anybody may ask for; the server cannot write either, and says "File too large" where the other
says "No space left on device".
"""

import resource
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil
from perdure_common.embedded.postgres import run_as
from stage_ground import Ground

CHUNK = 64 * 1024
LEAST_BYTES = 4 * 1024
"""How large files may be under a limit: nothing of the log can be written, nor a table."""


class Disk(Protocol):
    """What a server stands on."""

    def fill(self, ground: Ground) -> None:
        """Leave no room."""
        ...

    def free(self, ground: Ground) -> None:
        """Give the room back."""
        ...


class SmallDisk:
    """A file system of its own for PostgreSQL's files."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self, ground: Ground) -> None:
        """See `Disk`."""
        del ground
        for size in (CHUNK, 1):
            with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
                while file.write(b"\0" * size):
                    pass

    def free(self, ground: Ground) -> None:
        """See `Disk`."""
        del ground
        self._ballast.unlink()


class Limit:
    """No file may grow. Processes that begin later have it from the server."""

    def fill(self, ground: Ground) -> None:
        """See `Disk`."""
        self._set(ground, LEAST_BYTES)

    def free(self, ground: Ground) -> None:
        """See `Disk`."""
        self._set(ground, resource.RLIM_INFINITY)

    def _set(self, ground: Ground, most: int) -> None:
        processes = _family(ground.server_pid("postgres"))

        def limit() -> None:
            for each in processes:
                with suppress(ProcessLookupError):
                    resource.prlimit(each, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

        # Asked by the user who runs the server: root may not everywhere.
        subprocess.run(["true"], check=True, cwd="/", preexec_fn=limit, **run_as())


def _family(pid: int) -> list[int]:
    """Return a process and its children; none if it is gone."""
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        return [pid, *(child.pid for child in server.children(recursive=True))]
    return []


@contextmanager
def mounted(folder: Path, megabytes: int) -> Generator[None]:
    """Put a file system in memory at a folder for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def may_mount() -> bool:
    """Return whether this process may mount."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(Path(folder) / "disk", 1):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False
