"""The frozen versions of workflows: the engine keeps them, and gives them out by HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import structlog
from perdure_common.api.problem import Problem
from perdure_common.credentials import PostgresCredentials, Seal, named_by_triggers
from perdure_common.http import TENANT_HEADER
from perdure_common.shell.ports import Unreachable

from perdure_scheduler.definition import UUID

ENGINE_S = 10.0
"""How long the engine may take for an answer."""

ROLLED_BACK_MAX = 100
"""Versions among which the one is looked for that is gone back to, where none is named."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Frozen:
    """A version as the engine froze it."""

    workflow_id: str
    version: int
    name: str
    sha256: str
    definition: Any


@dataclass(frozen=True)
class Versions:
    """Asks the engine at `url` for a tenant's versions; credentials are in `database_url`."""

    url: str
    tenant_id: str
    database_url: str

    async def of(self, workflow_id: str, version: int | None) -> Frozen:
        """Return a version of a workflow; the newest for None.

        Raises:
            Problem: `workflow_not_found`, `version_not_found`, `engine_unreachable`.
        """
        base = await self._workflow(workflow_id)
        number = version if version is not None else int(base["newest_version"])
        row = await self._asked(f"/v1/workflows/{workflow_id}/versions/{number}")
        return Frozen(workflow_id, number, row["name"], row["sha256"], row["definition"])

    async def that_served(self, workflow_id: str, version: int | None) -> list[Any]:
        """Return definitions among which the one is that a rollback goes back to.

        That is the version which is named; else the newest hundred.

        Raises:
            Problem: As `of`.
        """
        if version is not None:
            return [(await self.of(workflow_id, version)).definition]
        await self._workflow(workflow_id)
        query = f"?workflow_id={workflow_id}&limit={ROLLED_BACK_MAX}"
        found = await self._asked(f"/v1/workflow_versions{query}")
        return [row["definition"] for row in found["items"]]

    async def fields_there(self, *definitions: Any) -> dict[str, tuple[str, ...]]:
        """Return what the credentials have that trigger nodes name: names of fields, no values.

        Raises:
            Problem: `database_unreachable`.
        """
        named = {each for definition in definitions for each in named_by_triggers(definition)}
        if not named:
            return {}
        store = PostgresCredentials(self.database_url, Seal(()))
        try:
            listed = await store.list(self.tenant_id)
        except Unreachable:
            raise Problem(503, "database_unreachable", "PostgreSQL does not answer now") from None
        finally:
            await store.close()
        return {each.handle: each.fields for each in listed if each.handle in named}

    async def _workflow(self, workflow_id: str) -> Mapping[str, Any]:
        if not UUID.fullmatch(workflow_id):
            raise _no_workflow(workflow_id)
        try:
            return await self._asked(f"/v1/workflows/{workflow_id}")
        except Problem as problem:
            raise (_no_workflow(workflow_id) if problem.status == 404 else problem) from None

    async def _asked(self, path: str) -> Mapping[str, Any]:
        """Return what the engine answers; its problems are passed on as they are.

        Raises:
            Problem: It has one, or `engine_unreachable`.
        """
        headers = {TENANT_HEADER: self.tenant_id}
        try:
            async with httpx.AsyncClient(timeout=ENGINE_S, trust_env=False) as client:
                answer = await client.get(
                    self.url.rstrip("/") + quote(path, safe="/?=&"), headers=headers
                )
            told: Mapping[str, Any] = answer.json()
            if answer.is_success:
                return told
            problem = Problem(answer.status_code, str(told["code"]), str(told["detail"]))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("engine_not_asked", path=path, error=repr(error))
            raise Problem(
                503,
                "engine_unreachable",
                "the engine, which keeps the definitions, does not answer now; try again in a "
                "moment, or set PERDURE_ENGINE_URL of the scheduler",
            ) from None
        raise problem


def _no_workflow(workflow_id: str) -> Problem:
    return Problem(
        404,
        "workflow_not_found",
        f"there is no workflow {workflow_id[:100]!r}; the engine's /v1/workflows lists those "
        "there are",
    )
