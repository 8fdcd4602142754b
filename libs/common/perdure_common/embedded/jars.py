"""Kafka's jars: pinned coordinates and hashes, fetched once into the user's cache.

`kafka.lock` lists every jar of the class path with its size and SHA-256, as `requirements.lock`
does for Python. jgo knows the Maven repositories and downloads; what it downloads counts only when
the hash is right, so a download that was cut off is simply done again. Whoever has a mirror names
it in `PERDURE_MAVEN_REPOSITORY`.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perdure_common.cache import cache_dir
from perdure_common.embedded.errors import EmbeddedError
from perdure_common.embedded.state import Lock

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.4.0"
_PARALLEL = 6
_TIMEOUT_S = 60
_FETCH_LIMIT_S = 900.0
_ATTEMPTS_MAX = 3


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    def path(self, cache: Path) -> Path:
        """Where the jar lies in the cache, in Maven's layout."""
        folder = cache.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


def locked() -> list[Jar]:
    """The jars Kafka needs, as pinned in `kafka.lock`."""
    jars: list[Jar] = []
    for line in (Path(__file__).parent / "kafka.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            coordinate, size, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, int(size), sha256))
    return jars


def missing(cache: Path | None = None) -> list[Jar]:
    """The jars that are not in the cache, are cut off, or have another content."""
    folder = (cache or cache_dir()) / "maven"
    return [jar for jar in locked() if not _is_whole(jar, folder)]


def class_path(cache: Path | None = None) -> str:
    """Kafka's class path; fetches what is missing first.

    Raises:
        EmbeddedError: `jars_unavailable` when the repository cannot be reached.
    """
    folder = fetch(cache)
    return ":".join(str(jar.path(folder)) for jar in locked())


def fetch(cache: Path | None = None) -> Path:
    """Complete the cache and return the folder that holds the jars.

    Raises:
        EmbeddedError: `jars_unavailable` when the repository cannot be reached or gives another
            content than the pinned one; `cache_busy` when another fetch does not end.
    """
    base = cache or cache_dir()
    folder = base / "maven"
    if not missing(base):
        return folder
    # Here and not above: it takes a third of a second, and is needed once.
    from jgo.maven import MavenContext

    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(base / "maven.lock")
    if not lock.acquire(timeout_s=_FETCH_LIMIT_S):
        message = f"Another process has been fetching Kafka into {base} for too long; end it."
        raise EmbeddedError("cache_busy", message)
    try:
        mirror = os.environ.get("PERDURE_MAVEN_REPOSITORY")
        repositories = {"mirror": mirror.rstrip("/")} if mirror else None
        context = MavenContext(repo_cache=folder, remote_repos=repositories, timeout=_TIMEOUT_S)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for done in [pool.submit(_fetch_one, jar, context, folder) for jar in missing(base)]:
                done.result()
    finally:
        lock.release()
    return folder


def _is_whole(jar: Jar, folder: Path) -> bool:
    path = jar.path(folder)
    try:
        if path.stat().st_size != jar.size_bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _fetch_one(jar: Jar, context: "MavenContext", folder: Path) -> None:
    name = f"{jar.group}:{jar.artifact}:{jar.version}"
    reason = ""
    for _ in range(_ATTEMPTS_MAX):
        jar.path(folder).unlink(missing_ok=True)
        try:
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (RuntimeError, OSError) as error:  # OSError: all that requests raises
            reason = str(error)
            continue
        if _is_whole(jar, folder):
            return
        reason = f"{name} came with another content than the pinned one"
    message = (
        f"Kafka's jar {name} could not be fetched into {folder}; check the network and run "
        "`make setup` again, or set PERDURE_KAFKA_BOOTSTRAP to a Kafka of yours."
    )
    raise EmbeddedError("jars_unavailable", message, f"    {reason}")
