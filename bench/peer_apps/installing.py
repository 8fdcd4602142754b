"""Installs the peers, each into a folder of its own in perdure's cache, once per machine.

Versions and hashes are pinned beside this file, in nothing that perdure itself is installed
from; where packages come from is each machine's own business.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from perdure_common.cache import cache_dir

HERE = Path(__file__).parent
LIMIT_S = 600.0


class NotInstalled(Exception):
    """A peer cannot be had on this machine; the text says what is missing."""


def _run(command: Sequence[str | Path], folder: Path) -> None:
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"{command[0]} did not end within {LIMIT_S:.0f} s") from error
    if done.returncode != 0:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise NotInstalled(f"`{' '.join(map(str, command))}` failed: {last}")


def _fresh(name: str, *pinned: Path) -> tuple[Path, bool]:
    """Return the folder for what is pinned in these files, and whether it is there already."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pinned)).hexdigest()[:12]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache_dir() / "peers" / f"{name}-{version}-{digest}"
    if (folder / "complete").is_file():
        return folder, True
    shutil.rmtree(folder, ignore_errors=True)  # half-made
    folder.mkdir(parents=True)
    return folder, False


def python_of(name: str) -> Path:
    """Return the Python of a peer's own environment, made if it is not there yet.

    Raises:
        NotInstalled: Its packages cannot be had.
    """
    pins = HERE / f"requirements-{name}.txt"
    folder, complete = _fresh(name, pins)
    python = folder / "bin" / "python"
    if not complete:
        print(f"Installing {name} into {folder} (once)", flush=True)
        _run([sys.executable, "-m", "venv", "--without-pip", folder], folder)
        uv = Path(sys.executable).with_name("uv")
        _run([uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", pins], HERE)
        (folder / "complete").touch()
    return python


def restate_server() -> Path:
    """Return Restate's server, installed by npm if it is not there yet.

    Raises:
        NotInstalled: There is no npm, it has nothing for this machine, or it cannot fetch it.
    """
    pins = [HERE / "npm" / name for name in ("package.json", "package-lock.json")]
    folder, complete = _fresh("restate-server", *pins)
    if not complete:
        if shutil.which("npm") is None or shutil.which("node") is None:
            raise NotInstalled("Restate's server comes by npm: install Node.js 18 or newer")
        print(f"Installing Restate's server into {folder} (once)", flush=True)
        for path in pins:
            shutil.copy(path, folder)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        (folder / "complete").touch()
    found = sorted(folder.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
    if not found:
        raise NotInstalled("npm has no Restate server for this kind of machine")
    return found[0]


def version_of(name: str, package: str) -> str:
    """Return the version to which a package is pinned for a peer."""
    if name == "restate-server":
        manifest = json.loads((HERE / "npm" / "package.json").read_text(encoding="utf-8"))
        return manifest["dependencies"][package]
    lines = (HERE / f"requirements-{name}.txt").read_text(encoding="utf-8").splitlines()
    return next(line.split()[0] for line in lines if line.startswith(f"{package}==")).split("==")[1]
