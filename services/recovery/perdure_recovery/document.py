"""What recovery's API answers beside its tables, and the OpenAPI document of all of it.

    python -m perdure_recovery.document [--check] .

The document is made from the routes without any server, and checked in.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from perdure_common import http
from perdure_common.api.asking import Asking
from perdure_common.api.reading import Reading
from perdure_common.observe import Metrics
from perdure_common.settings import Settings

from .api import TABLES
from .api_letters import Letters
from .api_measures import Measures

PATH = "schemas/openapi/recovery.json"


def add_all(app: FastAPI, reading: Reading, asking: Asking) -> None:
    """Add every endpoint."""
    Measures(reading, asking.tenant_id).add_to(app)
    Letters(reading, asking).add_to(app)


def openapi() -> dict[str, Any]:
    """Return the document; equal whenever the routes are."""
    settings = Settings()
    reading = Reading("", "recovery")

    async def ready() -> Sequence[str]:
        return ()

    app = http.make_app(
        "recovery",
        tables=TABLES,
        reading=reading,
        tenant_id=settings.tenant_id,
        ready=ready,
        metrics=Metrics("recovery"),
    )
    nobody = cast("Any", None)  # routes are named here, and nobody asks
    add_all(app, reading, Asking("recovery", nobody, reading, settings.tenant_id, 1))
    return app.openapi()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; return 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="perdure_recovery.document", description=__doc__)
    parser.add_argument("root", type=Path, help="the repository")
    parser.add_argument("--check", action="store_true", help="only compare")
    given = parser.parse_args(arguments)
    path: Path = given.root / PATH
    text = json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    if given.check:
        print(f"{PATH} is not what the code says: run `make schemas`", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
