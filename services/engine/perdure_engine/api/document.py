"""The OpenAPI document of the engine's API, made from its routes without any server."""

from typing import Any, cast

from perdure_common.api.documents import routes_only
from perdure_common.service import Service

from . import add_all
from .ground import Ground
from .tables import TABLES


def openapi() -> dict[str, Any]:
    """Return the document; equal whenever the routes are."""
    app, reading, settings = routes_only("engine", TABLES)
    nobody = cast("Any", None)  # routes are named here, and nobody asks
    add_all(Ground(app, Service("engine", ()), settings, nobody, reading, nobody, nobody))
    return app.openapi()
