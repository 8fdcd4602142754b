"""The OpenAPI document of the scheduler's API, made from its routes without any server.

    python -m perdure_scheduler.document [--check] .

It is checked in, as schemas/openapi/scheduler.json.
"""

import sys
from typing import Any, cast

from perdure_common.api.asking import Asking
from perdure_common.api.documents import keep_document, routes_only
from perdure_common.service import Service

from .api import TABLES
from .hooks.serve import HookSide
from .mail.attachments import add_attachments
from .steering import Ground, add_all
from .steering.versions import Versions

PATH = "schemas/openapi/scheduler.json"


def openapi() -> dict[str, Any]:
    """Return the document; equal whenever the routes are."""
    app, reading, settings = routes_only("scheduler", TABLES)
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
