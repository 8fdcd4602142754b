"""Where what can be made anew is kept: Kafka's jars, compiled modules, peers of benchmarks."""

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """`PERDURE_CACHE`, or perdure's folder in the user's cache directory."""
    chosen = os.environ.get("PERDURE_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("perdure"))
