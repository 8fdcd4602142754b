"""What recovery's API answers beside its tables, and the OpenAPI document of all of it.

    python -m perdure_recovery.document [--check] .

The document is made from the routes without any server, and checked in.
"""

import sys
from typing import Any, cast

from fastapi import FastAPI
from perdure_common.api.asking import Asking
from perdure_common.api.documents import keep_document, routes_only
from perdure_common.api.reading import Reading

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
    app, reading, settings = routes_only("recovery", TABLES)
    nobody = cast("Any", None)  # routes are named here, and nobody asks
    add_all(app, reading, Asking("recovery", nobody, reading, settings.tenant_id, 1))
    return app.openapi()


if __name__ == "__main__":
    sys.exit(keep_document("perdure_recovery.document", PATH, openapi))
