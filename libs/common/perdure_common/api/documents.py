"""Keeps the OpenAPI document of a service in a file, which a test compares with its routes."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from perdure_common import http
from perdure_common.api.reading import Reading
from perdure_common.api.table import TableView
from perdure_common.observe import Metrics
from perdure_common.settings import Settings


def routes_only(service: str, tables: Mapping[str, TableView]) -> tuple[FastAPI, Reading, Settings]:
    """Return the API of a service with its tables, to name routes on: nobody ever asks it."""
    settings, reading = Settings(), Reading("", service)

    async def ready() -> Sequence[str]:
        return ()

    app = http.make_app(
        service,
        tables=tables,
        reading=reading,
        tenant_id=settings.tenant_id,
        ready=ready,
        metrics=Metrics(service),
    )
    return app, reading, settings


def keep_document(
    program: str,
    path: str,
    made: Callable[[], dict[str, Any]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Write what `made` returns to `path` below a root; return 1 if `--check` finds a difference.

    Run from the command line, as `program [--check] ROOT`; `arguments` take the line's place.
    """
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("root", type=Path, help="the repository")
    parser.add_argument("--check", action="store_true", help="only compare")
    given = parser.parse_args(arguments)
    file: Path = given.root / path
    text = json.dumps(made(), indent=2, ensure_ascii=False) + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return 0
    if given.check:
        print(f"{path} is not what the code says: run `make schemas`", file=sys.stderr)
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return 0
