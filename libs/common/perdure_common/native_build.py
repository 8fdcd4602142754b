"""`python -m perdure_common.native_build`: compile the hot modules into the cache (native.py).

Cython turns each into C, and this machine's compiler that into a library. Without a compiler, or
Python's headers, nothing is made and nothing is missing: perdure runs from its sources.
"""

import importlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from perdure_common import native
from perdure_common.cache import cache_dir

PACKAGES = ("perdure_common", "perdure_engine")
"""Those that have hot modules, by name: a library knows nothing of the services."""

KEPT_S = 30 * 24 * 3600.0
"""How long the cache keeps what was made; other checkouts have other sources."""


class NativeError(Exception):
    """A module could not be compiled; the text says why."""


def compiler() -> list[str] | None:
    """Return the command of this machine's C compiler, None if it cannot compile for Python."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return command[:1] if shutil.which(command[0]) and headers.exists() else None


def build(packages: Sequence[str] = PACKAGES) -> tuple[int, int]:
    """Compile what is not in the cache.

    Returns:
        How many modules were compiled now, and how many hot ones there are.

    Raises:
        NativeError: One could not be compiled; those before it are in the cache.
    """
    for package in packages:
        importlib.import_module(package)
    try:
        found = f"Cython {version('cython')}"
    except PackageNotFoundError:
        found = "no Cython"
    if found != native.COMPILER:
        raise NativeError(f"{found} is installed, {native.COMPILER} is asked for")
    command = compiler()
    if command is None:
        raise NativeError("there is no C compiler here, or no headers of Python (python3-dev)")
    hot = {n: path for n, path in native.hot().items() if n.split(".")[0] in packages}
    missing = [
        (name, source, library)
        for name, source in hot.items()
        if not (library := native.library_of(source)).exists()
    ]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for made in [workers.submit(_compile, command, *each) for each in missing]:
            made.result()
    return len(missing), len(hot)


def _compile(command: Sequence[str], name: str, source: Path, library: Path) -> None:
    """Compile one module; the library appears whole or not at all."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        text, made = Path(folder, f"{source.stem}.c"), Path(folder, library.name)
        cython = [sys.executable, "-m", "cython", *native.OPTIONS, "--module-name", name]
        _run(name, [*cython, str(source), "-o", str(text)])
        include = f"-I{sysconfig.get_paths()['include']}"
        _run(name, [*command, *native.C_FLAGS, include, str(text), "-o", str(made)])
        made.rename(library)


def _run(name: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NativeError(f"{name} could not be compiled: {done.stderr.strip()[-400:]}")


def sweep() -> None:
    """Remove what was made long ago and is not used here."""
    for source in native.hot().values():
        if (folder := native.library_of(source).parent).exists():
            os.utime(folder)
    for folder in (cache_dir() / "native").glob("*"):
        if time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Compile, and say what came of it; that there is no compiler is no failure."""
    sweep()
    try:
        made, every = build()
    except NativeError as error:
        print(f"perdure runs from its sources, somewhat slower: {error}.", file=sys.stderr)
        return 0
    if made:
        print(f"Compiled {made} of {every} hot modules")
    return 0


if __name__ == "__main__":
    sys.exit(main())
