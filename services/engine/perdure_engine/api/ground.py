"""What the groups of endpoints stand on: reading, asking, executions folded from the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.asking import TENANT_HEADER, Asking
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.decider import Lookup
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell import remake
from perdure_common.shell.files import FileStore
from perdure_common.shell.intake import STREAM_MAX, Registry
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Store

from perdure_engine.definition import Workflow, kept, load
from perdure_engine.executions.facts import VERSION_MAX
from perdure_engine.executions.state import Execution

SQL: Mapping[str, str] = queries(Path(__file__).with_name("queries.sql"))
"""What the endpoints read beside the tables."""

PREFIX = "/v1/workflow_executions/{key}"
"""Where everything about one execution is."""


@dataclass
class Ground:
    """What every group of endpoints is given."""

    app: FastAPI
    service: Service
    settings: Settings
    store: Store
    reading: Reading
    asking: Asking
    files: FileStore
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.registry = Registry(self.service)

    def tenant(self, request: Request) -> str:
        """Return whose data is asked for."""
        return request.headers.get(TENANT_HEADER) or self.settings.tenant_id

    async def execution(self, request: Request, key: str) -> tuple[Execution, int]:
        """Return an execution as it stands now, folded from the journal, and its version.

        Raises:
            Problem: `execution_not_found`.
        """
        check_name(key)
        held = (await remake.load(self.registry, self.store, {key: -1}))[key]
        state = held.state
        if (
            not isinstance(state, Execution)
            or state.status == "PURGED"
            or held.tenant_id != self.tenant(request)
        ):
            raise no_execution(key)
        return state, held.version

    async def workflow_of(self, tenant_id: str, state: Execution) -> Workflow:
        """Return the version that an execution runs.

        Raises:
            Problem: `version_not_found`.
        """
        workflow = kept(state.sha256)
        if workflow is not None:
            return workflow
        row = await self.version(tenant_id, state.workflow_id, state.workflow_version)
        return load(row["definition"], row["sha256"])

    async def version(self, tenant_id: str, workflow_id: str, version: int) -> Mapping[str, Any]:
        """Return a frozen version: its `definition`, `sha256` and `name`.

        Raises:
            Problem: `version_not_found`.
        """
        where = {"workflow_id": workflow_id, "version": version}
        columns = ("definition", "sha256", "name")
        lookup = Lookup("workflow_versions", where, columns, immutable=True)
        rows: Sequence[Mapping[str, Any]] = ()
        if 0 < version <= VERSION_MAX:
            (rows,) = await self.store.look_up(tenant_id, [lookup])
        if not rows:
            raise Problem(
                404,
                "version_not_found",
                f"version {version} of workflow {workflow_id} is not there; its list of versions "
                "has those there are",
            )
        return rows[0]


def owner_ground(
    app: FastAPI, service: Service, settings: Settings, owner: Owner, reading: Reading
) -> Ground:
    """Return the ground of the process that owns shards."""
    asking = Asking(service.name, owner.bus, reading, settings.tenant_id, settings.partitions)
    store = owner.store
    files = store.files if isinstance(store, PostgresStore) else MemoryFiles()
    return Ground(app, service, settings, store, reading, asking, files)


def check_name(key: str) -> None:
    """Refuse what no execution can be called, before the journal is asked for it.

    Raises:
        Problem: `execution_not_found`.
    """
    if len(key) > STREAM_MAX or not key.isprintable():
        raise no_execution(key)


def no_execution(key: str) -> Problem:
    """Return that there is no such execution."""
    return Problem(
        404,
        "execution_not_found",
        f"there is no execution {key[:100]!r}; /v1/workflow_executions lists those there are",
    )
