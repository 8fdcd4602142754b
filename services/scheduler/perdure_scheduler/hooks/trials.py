"""Test URLs: for two minutes, one request starts one execution of a version that need not serve."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from perdure_common.ids import derived, partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.answers import answer_stream
from perdure_contracts.cloudevents import CloudEvent, encode, parse_json
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import NAMES

from perdure_scheduler.hook_event import http_in
from perdure_scheduler.route import STARTS

from .receipts import Entry, Outcome, keep_bodies
from .reply import Refusal
from .routes import Route, route_of
from .store import HookStore

OPEN_FOR = timedelta(seconds=120)


@dataclass(frozen=True)
class Trial:
    """A test URL that was opened."""

    id: str
    path: str
    expires_at: datetime


class Trials:
    """Opens test URLs, and lets one request use each."""

    def __init__(self, store: HookStore, bus: Bus, partitions: int) -> None:
        self._store = store
        self._bus = bus
        self._partitions = partitions

    async def open(self, route: Route, path: str) -> Trial:
        """Open a test URL for a trigger node of a version.

        Raises:
            Unreachable: The database does not answer.
        """
        trial = Trial(str(uuid.uuid4()), path, datetime.now(UTC) + OPEN_FOR)
        await self._store.run(
            "put_trial",
            trial.id,
            self._store.tenant_id,
            path,
            route.workflow_id,
            route.workflow_name,
            route.version,
            route.node_id,
            route.subtype,
            route.index_key,
            orjson.dumps(dict(route.config)).decode(),
            trial.expires_at,
        )
        return trial

    async def of(self, path: str) -> tuple[Route, ...]:
        """Return the triggers whose test URL is open under a path, the newest first."""
        rows = await self._store.run("trials", self._store.tenant_id, path, datetime.now(UTC))
        return tuple(route_of(row, row["id"]) for row in rows)

    async def became(self, trial_id: str) -> Mapping[str, Any] | None:
        """Return the execution that a test URL has started, and until when it is open."""
        rows = await self._store.run("trial", self._store.tenant_id, trial_id)
        return dict(rows[0]) if rows else None

    async def start(self, entry: Entry, route: Route) -> Outcome:
        """Start the execution of a test, if this request is the first.

        The URL is used up when the start is in Kafka: who is told to come again finds it open. The
        execution's id follows from the URL's, so that a start which Kafka has taken although it
        did not say so is not made twice.

        Raises:
            Refusal: Another request was, or the start cannot be sent.
            Unreachable: The database does not answer.
        """
        execution_id = derived("trigger test", route.trial)
        await keep_bodies(self._store, (entry,))
        async with self._store.together() as run:
            if not await run("use_trial", route.trial, execution_id):
                raise Refusal(404, "no_such_path", "the test URL has had its one request")
            if entry.token_sha256 is not None:
                await run(
                    "put_receipts",
                    self._store.tenant_id,
                    *([value] for value in (entry.source, route.trial, entry.event_id)),
                    [entry.received_at],
                    [execution_id],
                    [entry.token_sha256],
                )
            await self._send(execution_id, route, self._message(execution_id, entry, route))
        return Outcome(False, (execution_id,), entry.event_id)

    def _message(self, execution_id: str, entry: Entry, route: Route) -> StartExecution:
        watch = entry.extensions.get("watch", "")
        return StartExecution(
            execution_id=execution_id,
            workflow_id=route.workflow_id,
            version=route.version,
            node_id=route.node_id,
            mode="MANUAL",
            triggered_by=f"{route.subtype}:{route.node_id}",
            trigger={
                "id": entry.event_id,
                "source": entry.source,
                "type": entry.type,
                "subject": entry.subject,
                "time": entry.received_at.isoformat(),
                "http": http_in(entry.extensions.get("http")),
            },
            data=parse_json(entry.data, "the data"),
            watched_by=answer_stream(execution_id, watch) if watch else "",
        )

    async def _send(self, execution_id: str, route: Route, message: StartExecution) -> None:
        event = CloudEvent(
            id=route.trial,
            source="/scheduler/trigger-tests",
            type=NAMES[StartExecution],
            subject=execution_id,
            time=datetime.now(UTC).isoformat(),
            datacontenttype="application/json",
            data=codec.encode_body(message),
        )
        headers, value = encode(event)
        place = partition_of(execution_id, self._partitions)
        record = Outbound(STARTS, place, value, execution_id.encode(), headers)
        (error,) = await self._bus.send([record])
        if error is not None:
            raise Unreachable(f"Kafka did not take the start of a test: {error!r}")
