"""The OpenAPI document of the scheduler's API, made from its routes without any server.

    python -m perdure_scheduler.document [--check] .

It is checked in, as schemas/openapi/scheduler.json.
"""

import sys
from collections.abc import Sequence
from typing import Any, cast

from perdure_common import http
from perdure_common.api.asking import Asking
from perdure_common.api.documents import keep_document
from perdure_common.api.reading import Reading
from perdure_common.observe import Metrics
from perdure_common.service import Service
from perdure_common.settings import Settings

from .api import TABLES
from .hooks.serve import HookSide
from .mail.attachments import add_attachments
from .steering import Ground, add_all
from .steering.versions import Versions

PATH = "schemas/openapi/scheduler.json"


def openapi() -> dict[str, Any]:
    """Return the document; equal whenever the routes are."""
    settings = Settings()
    reading = Reading("", "scheduler")

    async def ready() -> Sequence[str]:
        return ()

    app = http.make_app(
        "scheduler",
        tables=TABLES,
        reading=reading,
        tenant_id=settings.tenant_id,
        ready=ready,
        metrics=Metrics("scheduler"),
    )
    nobody = cast("Any", None)  # routes are named here, and nobody asks
    side = HookSide()
    side.add(app, settings, nobody, reading)
    asking = Asking("scheduler", nobody, reading, settings.tenant_id, 1)
    versions = Versions("", settings.tenant_id, "")
    service = Service("scheduler", ())
    add_all(Ground(app, service, nobody, reading, asking, versions, side.open_trial))
    add_attachments(app, settings, nobody, reading)
    return app.openapi()


if __name__ == "__main__":
    sys.exit(keep_document("perdure_scheduler.document", PATH, openapi))
