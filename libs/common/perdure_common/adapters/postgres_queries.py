"""Reads files of named SQL statements: `-- name: find_things`, a sentence, the statement."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: *(\w+)(?: --)? *$", re.MULTILINE)


@cache
def queries(path: Path) -> Mapping[str, str]:
    """Return the statements of a file by name.

    Raises:
        ValueError: The file has no named statement, or two of one name.
    """
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if name in found:
            raise ValueError(f"{path} has two statements called {name!r}; rename one")
        found[name] = text.strip().rstrip(";")
    if not found:
        raise ValueError(f"{path} has no statement under a line `-- name: …`")
    return found
