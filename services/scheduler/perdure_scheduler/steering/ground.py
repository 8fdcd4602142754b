"""What the groups of endpoints stand on: reading, asking, what the engine knows of workflows."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from fastapi import FastAPI
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.asking import Asking
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Store

from perdure_scheduler.definition import UUID
from perdure_scheduler.hooks.serve import TrialWanted
from perdure_scheduler.parameters import is_word

from .versions import Versions

SQL: Mapping[str, str] = queries(Path(__file__).with_name("steering.sql"))
"""What the endpoints read beside the tables."""

WORKFLOW = "/v1/workflows/{key}"
TRIGGER = WORKFLOW + "/triggers/{node_id:path}"
"""Where everything about one workflow and one of its trigger nodes is; nodes may have slashes."""

OpenTrial: TypeAlias = Callable[[TrialWanted], Awaitable[dict[str, Any]]]
"""Opens a test URL."""


@dataclass
class Ground:
    """What every group of endpoints is given."""

    app: FastAPI
    service: Service
    store: Store
    reading: Reading
    asking: Asking
    versions: Versions
    open_trial: OpenTrial

    async def trigger(self, key: str, node_id: str) -> Mapping[str, Any]:
        """Return the row of a trigger that serves, as `trigger_index` has it.

        Raises:
            Problem: `not_serving`.
        """
        rows: list[dict[str, Any]] = []
        if UUID.fullmatch(key) and is_word(node_id):
            rows = await self.reading.rows(SQL["trigger"], self.asking.tenant_id, key, node_id)
        if not rows:
            raise Problem(
                404,
                "not_serving",
                f"workflow {key[:100]!r} serves no trigger {node_id[:100]!r}; "
                "/v1/trigger_index?deployment_status=active lists those that serve",
            )
        found: Mapping[str, Any] = orjson.loads(rows[0]["found"])
        return found

    async def clock(self, key: str, node_id: str) -> Mapping[str, Any]:
        """Return the row of a CRON trigger that serves.

        Raises:
            Problem: `not_serving`, `wrong_trigger`.
        """
        row = await self.trigger(key, node_id)
        if row["trigger_subtype"] != "CRON":
            raise Problem(
                409,
                "wrong_trigger",
                f"trigger {node_id[:100]!r} is {row['trigger_subtype']}; only CRON has firings",
            )
        return row


def ground_of(
    app: FastAPI, settings: Settings, owner: Owner, reading: Reading, open_trial: OpenTrial
) -> Ground:
    """Return the ground of the process that owns shards."""
    name = owner.service.name
    asking = Asking(name, owner.bus, reading, settings.tenant_id, settings.partitions)
    versions = Versions(settings.engine_url, settings.tenant_id, settings.database_url)
    return Ground(app, owner.service, owner.store, reading, asking, versions, open_trial)
