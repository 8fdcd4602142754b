"""What the tests use of pytest-xdist, which has no types of its own."""

from typing import Any

class LoadFileScheduling:
    def __init__(self, config: Any, log: Any = None) -> None: ...
    def _split_scope(self, nodeid: str) -> str: ...
