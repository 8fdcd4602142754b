"""Runs the listener beside the scheduler, on a port of its own: the API stays within."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request
from perdure_common import http
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.api.bodies import body_schema, read_body
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.run import process_name
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable
from perdure_contracts.message import Json
from prometheus_client import CollectorRegistry
from starlette.responses import Response

from perdure_scheduler.caps import caps_of
from perdure_scheduler.definition import read_triggers
from perdure_scheduler.hook_settings import methods_of, path_of

from .answers import Answers
from .document import described
from .files import Files
from .limits import Rates
from .listener import Listener
from .metrics import HookMetrics
from .protocol import HookProtocol
from .receipts import Intake
from .routes import Route, Routes
from .secrets import Secrets
from .store import HookStore
from .tools import Tools
from .trials import Trials

KEPT_FOR = timedelta(days=7)
FORGET_EVERY_S = 600.0
FORGET_MAX = 5_000
FORGET_PAUSE_S = 0.2
SHARED_EVERY_S = 5.0
"""How often a scheduler looks how many there are, with which it shares rates."""

DELIVERY_S = 10.0
"""How long Kafka may take for an event before its sender is told to come again."""

log = structlog.get_logger(__name__)


class TrialWanted(msgspec.Struct, forbid_unknown_fields=True):
    """A trigger node of a version that is to be tried."""

    workflow_id: str
    workflow_name: str
    version: int
    node: dict[str, Json]


class HookSide:
    """What the scheduler has of HTTP: `listen` runs beside it, `add` adds to its API."""

    def __init__(self) -> None:
        self._store: HookStore | None = None
        self._trials: Trials | None = None
        self._base = ""
        self._registry = CollectorRegistry()

    async def listen(self, settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
        """Answer requests to triggers until `stop` is set.

        Raises:
            SettingError: The port cannot be had.
        """
        listening = http.listen(
            replace(settings, http_host=settings.hooks_host, http_port=settings.hooks_port), "hooks"
        )
        host, port = listening.getsockname()[:2]
        store = HookStore(settings.database_url, settings.tenant_id)
        bus = KafkaBus(
            settings.kafka_bootstrap,
            f"{process_name('scheduler')}-hooks",
            settings.topic_prefix,
            delivery_s=DELIVERY_S,
        )
        credentials = PostgresCredentials(settings.database_url, Seal(settings.credentials_keys))
        trials = Trials(store, bus, settings.partitions)
        intake = Intake(store, bus)
        answers = Answers(store)
        files = Files(settings.engine_url, settings.tenant_id)
        metrics = HookMetrics(self._registry)
        metrics.waiting.set_function(lambda: answers.waiting)
        self._store, self._trials = store, trials
        tools = Tools(
            tenant_id=settings.tenant_id,
            store=store,
            routes=Routes(store),
            secrets=Secrets(credentials, settings.tenant_id),
            rates=Rates(settings.hooks_per_minute),
            intake=intake,
            answers=answers,
            trials=trials,
            files=files,
            metrics=metrics,
            bytes_max=settings.hooks_bytes_max,
            caps=caps_of(settings),
            public_url=settings.hooks_url or f"http://{host}:{port}",
            bodies_url=f"http://{settings.http_host}:{settings.http_port}/v1/trigger_bodies/",
        )
        drained = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(intake.run(drained))
                group.create_task(self._forget(store, owner, stop))
                group.create_task(_keep_sharing(tools.rates, store, owner, stop))
                group.create_task(_let_go(answers, stop))
                try:
                    heard = Listener(tools)
                    protocol = partial(HookProtocol, refused=heard.refused)
                    await http.serve(heard, listening, stop, protocol=protocol)
                finally:
                    drained.set()
        finally:
            self._trials = None
            await files.close()
            await credentials.close()
            await bus.close()
            await store.close()

    async def _forget(self, store: HookStore, owner: Owner, stop: asyncio.Event) -> None:
        """Forget old receipts, bodies and test URLs, while shard 0 is here."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(FORGET_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                if "0" in owner.shards:
                    await self._forget_now(store)

    async def _forget_now(self, store: HookStore) -> None:
        try:
            before = datetime.now(UTC) - KEPT_FOR
            count = FORGET_MAX
            while count == FORGET_MAX:
                count = len(await store.run("forget", before, FORGET_MAX))
                await asyncio.sleep(FORGET_PAUSE_S)
        except Unreachable as error:
            log.warning("receipts_not_forgotten", error=str(error))

    # The API ----------------------------------------------------------------------

    def add(self, app: FastAPI, settings: Settings, owner: Owner, reading: Reading) -> None:
        """Add test URLs and large bodies to the scheduler's API, and the listener's metrics."""
        del owner, reading
        app.state.registries.append(self._registry)
        base = settings.hooks_url or f"http://{settings.hooks_host}:{settings.hooks_port}"
        self._base = f"{base}/hooks-test/{settings.tenant_id}"

        async def opened(request: Request) -> dict[str, Any]:
            """Open a test URL: one request within 120 s starts the version, in mode MANUAL."""
            return await self.open_trial(await read_body(request, TrialWanted))

        async def became(id: str) -> dict[str, Any]:
            """Say which execution a test URL has started."""
            if self._trials is None:
                raise Problem(503, "not_ready", "the listener does not run yet; try again")
            found = await _reached(self._trials.became(id))
            if found is None:
                raise Problem(404, "not_found", "there is no such test URL; open one")
            return {
                "id": id,
                "execution_id": found["execution_id"],
                "expires_at": found["expires_at"].isoformat(),
            }

        async def body(sha256: str) -> Response:
            """Return a body that was too large for its event, as it came."""
            if self._store is None:
                raise Problem(503, "not_ready", "the listener does not run yet; try again")
            rows = await _reached(self._store.run("body", settings.tenant_id, sha256))
            if not rows:
                raise Problem(404, "not_found", "there is no such body; they are kept for 7 days")
            # As bytes, whatever it says it is: nobody's browser should run what strangers sent.
            return Response(rows[0]["data"], media_type="application/octet-stream")

        extra = {"requestBody": body_schema(TrialWanted)}
        paths = "/v1/trigger_tests"
        app.add_api_route(paths, opened, methods=["POST"], tags=["triggers"], openapi_extra=extra)
        app.add_api_route(f"{paths}/{{id}}", became, tags=["triggers"])
        app.add_api_route(
            "/v1/trigger_bodies/{sha256}", body, tags=["triggers"], response_class=Response
        )
        described(app, base)

    async def open_trial(self, wanted: TrialWanted) -> dict[str, Any]:
        """Open a test URL; return its `id`, its `url` and when it closes, `expires_at`.

        Raises:
            Problem: `invalid_definition`, `not_on_http`, `not_ready`, `database_unreachable`.
        """
        route, path = _route(wanted)
        if self._trials is None:
            raise Problem(503, "not_ready", "the listener does not run yet; try again")
        trial = await _reached(self._trials.open(route, path))
        url = f"{self._base}{path}"
        return {"id": trial.id, "url": url, "expires_at": trial.expires_at.isoformat()}


async def _keep_sharing(rates: Rates, store: HookStore, owner: Owner, stop: asyncio.Event) -> None:
    """Share rates with as many schedulers as own shards, and with this one in any case."""
    while not stop.is_set():
        try:
            [row] = await store.run("owners")
            rates.sharers = max(1, row["owners"] + (0 if owner.shards else 1))
        except Unreachable as error:
            log.warning("rates_not_shared", error=str(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(SHARED_EVERY_S):
                await stop.wait()


async def _let_go(answers: Answers, stop: asyncio.Event) -> None:
    """Let those go who wait for answers once the service stops, before the server hangs up."""
    await stop.wait()
    answers.end()


def _route(wanted: TrialWanted) -> tuple[Route, str]:
    """Return the trigger that is to be tried.

    Raises:
        Problem: The node is none, or does not listen on HTTP.
    """
    triggers, problems = read_triggers(wanted.workflow_id, {"nodes": [wanted.node]})
    if problems or not triggers:
        reason = "; ".join(each.reason for each in problems) or "the node is no trigger"
        raise Problem(422, "invalid_definition", reason)
    trigger = triggers[0]
    path = path_of(trigger.config)
    if path is None:
        raise Problem(
            422,
            "not_on_http",
            f"node {trigger.node_id!r} ({trigger.subtype}) does not listen on HTTP; WEBHOOK, "
            "SLACK, and GITHUB with a credential do",
        )
    route = Route(
        workflow_id=wanted.workflow_id,
        workflow_name=wanted.workflow_name,
        version=wanted.version,
        node_id=trigger.node_id,
        subtype=trigger.subtype,
        index_key=trigger.index_key,
        config=trigger.config,
        methods=methods_of(trigger.config),
    )
    return route, path


async def _reached(asked: Any) -> Any:
    """Return what the database says.

    Raises:
        Problem: It does not answer.
    """
    try:
        return await asked
    except Unreachable:
        raise Problem(503, "database_unreachable", "PostgreSQL does not answer now") from None
