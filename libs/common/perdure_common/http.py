"""The HTTP API that every service has: its tables, answers to commands, health and metrics.

Nothing here changes anything: commands go to topics, also those that a service's own endpoints
take. `/healthz` says that the process lives, `/readyz` that it can work; the first never depends
on PostgreSQL or Kafka, the second does. Whoever can reach the port may read: it listens on this
machine alone unless `PERDURE_HTTP_HOST` says otherwise, and people come in by the gateway.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

import orjson
import structlog
import uvicorn
from fastapi import FastAPI, Request
from prometheus_client import generate_latest
from starlette.responses import Response

from perdure_common.api.problem import Problem, answer_with_problems
from perdure_common.api.reading import Reading
from perdure_common.api.table import (
    COUNT_MAX,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    TableView,
    make_cursor,
    read_count,
    read_query,
)
from perdure_common.observe import CONTENT_TYPE, Figures, Metrics, RowCount
from perdure_common.run import Beside
from perdure_common.settings import SettingError, Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable

TENANT_HEADER = "x-perdure-tenant"
GRACE_S = 2
"""How long requests that are under way may take when the service stops."""

Ready: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Returns why the service cannot work now, one sentence each; nothing when it can."""

log = structlog.get_logger(__name__)


def make_app(
    service: str,
    *,
    tables: Mapping[str, TableView],
    reading: Reading,
    tenant_id: str,
    ready: Ready,
    metrics: Metrics,
) -> FastAPI:
    """Return a service's API.

    `tenant_id` is whose rows are shown when a request has no header `X-Perdure-Tenant`.
    """
    app = FastAPI(
        title=f"perdure {service}",
        description=f"The tables of {service}, what became of commands, health and metrics.",
        docs_url=None,  # the pages would load scripts from elsewhere
        redoc_url=None,
    )
    answer_with_problems(app)
    app.state.registries = []
    _add_health(app, service, reading, ready, metrics)
    for name, view in tables.items():
        _add_table(app, reading, tenant_id, name, view)
    _add_answers(app, reading, tenant_id)
    return app


def _add_health(
    app: FastAPI, service: str, reading: Reading, ready: Ready, metrics: Metrics
) -> None:
    async def healthz() -> dict[str, Any]:
        """Say that the process lives."""
        return {"service": service, "ok": True}

    async def readyz() -> dict[str, Any]:
        """Say whether the service can work, and if not, why."""
        reasons = list(await ready())
        try:
            await reading.ping()
        except Problem as problem:
            reasons.append(problem.detail)
        if reasons:
            raise Problem(503, "not_ready", "; ".join(reasons), more={"reasons": reasons})
        return {"service": service, "ok": True}

    async def measured() -> Response:
        """Return the metrics in the text format of Prometheus."""
        texts = [await metrics.text()]
        texts.extend(generate_latest(each) for each in app.state.registries)
        return Response(b"".join(texts), media_type=CONTENT_TYPE)

    app.add_api_route("/healthz", healthz, tags=["health"])
    app.add_api_route("/readyz", readyz, tags=["health"])
    app.add_api_route("/metrics", measured, tags=["health"], response_class=Response)


def _add_table(app: FastAPI, reading: Reading, tenant_id: str, name: str, view: TableView) -> None:
    async def listed(request: Request) -> Response:
        query = read_query(view, request.query_params.multi_items())
        rows, last = await reading.page(name, view, _tenant(request, tenant_id), query)
        following = None if last is None else make_cursor(view, last)
        body = b'{"items":[%b],"next":%b}' % (b",".join(rows), orjson.dumps(following))
        return Response(body, media_type="application/json")

    async def counted(request: Request) -> dict[str, Any]:
        query = read_count(view, request.query_params.multi_items())
        count = await reading.count(name, view, _tenant(request, tenant_id), query)
        return {"count": min(count, COUNT_MAX), "exact": count <= COUNT_MAX}

    async def shown(request: Request, key: str) -> Response:
        row = await reading.row(name, view, _tenant(request, tenant_id), key)
        if row is None:
            raise Problem(404, "not_found", f"{name} has no row with {view.key} {key[:100]!r}")
        return Response(row, media_type="application/json")

    app.add_api_route(
        f"/v1/{name}",
        listed,
        name=f"list_{name}",
        summary=f"List {name}",
        description=view.about,
        tags=[name],
        openapi_extra={"parameters": _parameters(view)},
        responses={200: _json(_page_schema(view))},
    )
    app.add_api_route(
        f"/v1/count/{name}",
        counted,
        name=f"count_{name}",
        summary=f"Count {name}",
        description=f"How many rows the list has; of more than {COUNT_MAX:,} that they are more.",
        tags=[name],
        openapi_extra={"parameters": [_TENANT, *_filters(view)]},
        responses={200: _json(_COUNT_SCHEMA)},
    )
    if view.key is not None:
        app.add_api_route(
            f"/v1/{name}/{{key}}",
            shown,
            name=f"show_{name}",
            summary=f"Show one of {name}, by {view.key}",
            tags=[name],
            openapi_extra={"parameters": [_TENANT]},
            responses={200: _json(_row_schema(view))},
        )


def _add_answers(app: FastAPI, reading: Reading, tenant_id: str) -> None:
    async def by_query(request: Request, source: str, id: str) -> Response:
        """Return what became of a command: the events it led to, or why it was refused."""
        found = await reading.answer(_tenant(request, tenant_id), source, id)
        if found is None:
            raise Problem(
                404,
                "not_answered",
                f"nothing is known of {id[:100]!r} from {source[:100]!r} (yet): ask again, or "
                "look for it among the dead letters",
            )
        return Response(found, media_type="application/json")

    extra: dict[str, Any] = {"parameters": [_TENANT]}
    app.add_api_route("/v1/answers", by_query, tags=["answers"], openapi_extra=extra)
    # The path takes sources with slashes; ids with slashes need the query.
    path = "/v1/answers/{source:path}/{id}"
    app.add_api_route(path, by_query, name="answer", tags=["answers"], openapi_extra=extra)


def _tenant(request: Request, default: str) -> str:
    return request.headers.get(TENANT_HEADER) or default


# OpenAPI ----------------------------------------------------------------------------

_TENANT = {
    "name": "X-Perdure-Tenant",
    "in": "header",
    "schema": {"type": "string"},
    "description": "whose rows; the installation's tenant when left out",
}


def _parameters(view: TableView) -> list[dict[str, Any]]:
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    found: list[dict[str, Any]] = [
        _TENANT,
        {"name": "limit", "in": "query", "schema": limit},
        {
            "name": "cursor",
            "in": "query",
            "schema": {"type": "string"},
            "description": "`next` of the page before",
        },
    ]
    if view.search:
        about = f"a part of {', '.join(view.search)}, in any case"
        text = {"name": "q", "in": "query", "schema": {"type": "string"}, "description": about}
        found.append(text)
    return found + _filters(view)


def _filters(view: TableView) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for what in view.times:
        instant = {"type": "string", "format": "date-time"}
        names = (f"{what}_after", f"{what}_before")
        found.extend({"name": name, "in": "query", "schema": instant} for name in names)
    several = {"type": "array", "items": {"type": "string"}}
    found.extend({"name": name, "in": "query", "schema": several} for name in view.filters)
    return found


_COUNT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer", "description": f"{COUNT_MAX:,} at most"},
        "exact": {"type": "boolean", "description": "false: there are more"},
    },
}


def _row_schema(view: TableView) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {} for name in view.columns}}


def _page_schema(view: TableView) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": _row_schema(view)},
            "next": {"type": ["string", "null"], "description": "cursor of the next page"},
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


# Serving ----------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """Leaves signals alone: they are the service's, which sets `stop`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(settings: Settings, service: str) -> socket.socket:
    """Return a socket that listens where the settings say; port 0 is any free one.

    Raises:
        SettingError: The address cannot be had.
    """
    host, port = settings.http_host, settings.http_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise SettingError(
            f"{service} cannot listen on {host} port {port}: {error.strerror or error}; "
            f"set PERDURE_{service.upper()}_PORT to a free port, or PERDURE_HTTP_HOST"
        ) from error


async def serve(
    app: Any, listening: socket.socket, stop: asyncio.Event, *, protocol: Any = "h11"
) -> None:
    """Answer requests in this event loop until `stop` is set; `protocol` is uvicorn's `http`."""
    config = uvicorn.Config(
        app,
        http=protocol,
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    host, port = listening.getsockname()[:2]
    log.info("http_listening", host=host, port=port)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
        listening.close()


def beside(
    tables: Mapping[str, TableView],
    rows: Sequence[RowCount] = (),
    more: Callable[[FastAPI, Settings, Owner, Reading], None] | None = None,
    figures: Callable[[Settings, Reading, Owner], Figures] | None = None,
) -> Beside:
    """Return what `perdure_common.run.serve` runs beside the owner: the service's API.

    `more` adds what only this service answers, `figures` what only its metrics say.
    """

    async def api(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
        service = owner.service.name

        async def ready() -> Sequence[str]:
            reasons = list(owner.stopped.values())
            if not owner.settled:
                reasons.append("the group has not shared out the shards yet")
            try:
                await owner.bus.partitions(owner.service.commands_topic)
            except (Unreachable, LookupError) as error:
                log.warning("bus_unreachable", error=str(error))
                reasons.append("Kafka does not answer now, or a topic is missing")
            return reasons

        reading = Reading(settings.database_url, service)
        metrics = Metrics(
            service,
            owner=owner,
            bounds=owner.bus.bounds,
            rows=rows,
            counts=reading.counts,
            figures=figures(settings, reading, owner) if figures is not None else None,
        )
        app = make_app(
            service,
            tables=tables,
            reading=reading,
            tenant_id=settings.tenant_id,
            ready=ready,
            metrics=metrics,
        )
        if more is not None:
            more(app, settings, owner, reading)
        try:
            await serve(app, listen(settings, service), stop)
        finally:
            await reading.close()

    return api
