"""The OpenAPI document of the engine's API, made from its routes without any server."""

from collections.abc import Sequence
from typing import Any, cast

from perdure_common import http
from perdure_common.api.reading import Reading
from perdure_common.observe import Metrics
from perdure_common.service import Service
from perdure_common.settings import Settings

from . import add_all
from .ground import Ground
from .tables import TABLES


def openapi() -> dict[str, Any]:
    """Return the document; equal whenever the routes are."""
    settings = Settings()
    reading = Reading("", "engine")

    async def ready() -> Sequence[str]:
        return ()

    app = http.make_app(
        "engine",
        tables=TABLES,
        reading=reading,
        tenant_id=settings.tenant_id,
        ready=ready,
        metrics=Metrics("engine"),
    )
    nobody = cast("Any", None)  # routes are named here, and nobody asks
    add_all(Ground(app, Service("engine", ()), settings, nobody, reading, nobody, nobody))
    return app.openapi()
