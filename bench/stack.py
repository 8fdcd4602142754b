"""Servers and services of a benchmark's own, in a folder that is removed with them."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from perdure_cli import platform
from perdure_common.embedded import Embedded

QUICK = os.environ.get("QUICK") == "1"
MEASURE_S = 3.0 if QUICK else 15.0
WARM_S = 1.0 if QUICK else 5.0

ENGINES = int(os.environ.get("ENGINES") or min(2, os.cpu_count() or 1))
"""Processes of the engine: one for each core, two at most, unless `ENGINES` says otherwise."""

_OF_ANOTHER = ("PERDURE_DATABASE_URL", "PERDURE_KAFKA_BOOTSTRAP", "PERDURE_TOPIC_PREFIX")


@contextmanager
def folder() -> Generator[Path]:
    """Give an empty folder as the platform's home, and remove it.

    A SIGTERM leaves by the same door: servers that were started in it are stopped first.
    """
    handler = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    before = {name: os.environ.pop(name, None) for name in (*_OF_ANOTHER, "PERDURE_HOME")}
    path = tempfile.mkdtemp(prefix="perdure-bench-")
    os.environ["PERDURE_HOME"] = path
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def postgres() -> Generator[str]:
    """Give the URL of a PostgreSQL server of its own."""
    with folder() as root:
        # A broker that is said to be elsewhere is not started.
        os.environ["PERDURE_KAFKA_BOOTSTRAP"] = "127.0.0.1:1"
        embedded = Embedded(root)
        try:
            yield embedded.start().database_url
        finally:
            embedded.stop()


@contextmanager
def servers() -> Generator[None]:
    """Hold servers in a folder of their own, for `services` once or several times."""
    with folder() as root:
        embedded = Embedded(root)
        try:
            embedded.start()
            yield
        finally:
            embedded.stop()


@contextmanager
def services(names: Sequence[str] = platform.SERVICES) -> Generator[platform.Running]:
    """Give a platform that runs in `PERDURE_HOME`, and stop its services.

    The servers go with them, unless somebody else (`Embedded`) holds them.
    """
    try:
        yield platform.start_detached(names)
    finally:
        platform.stop()


@contextmanager
def whole(engines: int = ENGINES) -> Generator[platform.Running]:
    """Give a platform of its own, and remove it with its servers."""
    with folder() as root:
        try:
            with services(platform.with_engines(platform.SERVICES, engines)) as running:
                yield running
        finally:
            Embedded(root).stop()
