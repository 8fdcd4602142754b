"""Live events of an execution by HTTP: server-sent events, whose ids are the stream's versions.

A client that comes back says in `Last-Event-ID` which version it had last and goes on behind it,
so nothing is lost and nothing comes twice, whichever process answers. All watched streams are
looked at together, with one statement a turn.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import orjson
import structlog
from fastapi import Request
from perdure_common.api.endpoints import number, only, query, reads, tags
from perdure_common.api.problem import Problem
from starlette.responses import Response, StreamingResponse

from perdure_engine.executions.state import ENDED

from .ground import PREFIX, SQL, Ground
from .history import VERSION_MAX, events_after, shown

LOOK_S = 0.1
"""How often the ends of watched streams are looked at."""

KEEP_ALIVE_S = 15.0
"""After so long a silence a comment is sent, so that nobody takes the connection for dead."""

WATCHERS_MAX = 500
"""Connections of one process; whoever comes later is asked to come again."""

PAGE = 200
RETRY_MS = 1_000

ENDS = (
    "engine.execution-completed.v1",
    "engine.execution-failed.v1",
    "engine.execution-canceled.v1",
)
"""Events after which a stream of events closes; a revived execution is watched anew."""

REVIVED = "engine.execution-revived.v1"

log = structlog.get_logger(__name__)


@dataclass
class Watching:
    """The watched streams of a process, and how far each has got."""

    ground: Ground
    ends: dict[str, int] = field(default_factory=dict)
    _watchers: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    _looking: "asyncio.Task[None] | None" = None

    @property
    def count(self) -> int:
        """How many connections there are."""
        return sum(len(each) for each in self._watchers.values())

    def begin(self, key: str) -> asyncio.Event:
        """Watch a stream; the event is set whenever it has grown."""
        grown = asyncio.Event()
        self._watchers.setdefault(key, set()).add(grown)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return grown

    def end(self, key: str, grown: asyncio.Event) -> None:
        """Watch a stream no more."""
        watchers = self._watchers.get(key, set())
        watchers.discard(grown)
        if not watchers:
            self._watchers.pop(key, None)
            self.ends.pop(key, None)

    async def _look(self) -> None:
        """Look at the ends of all streams, as long as somebody watches."""
        while self._watchers:
            await asyncio.sleep(LOOK_S)
            try:
                rows = await self.ground.reading.rows(SQL["ends"], list(self._watchers))
            except Problem as problem:
                log.warning("events_not_looked_at", error=problem.detail)
                continue
            for row in rows:
                key, version = row["stream"], row["version"]
                if self.ends.get(key, 0) < version:
                    self.ends[key] = version
                    for grown in self._watchers.get(key, ()):
                        grown.set()


def add(ground: Ground) -> None:
    """Add `GET …/events`."""
    watching = Watching(ground)

    async def events(request: Request, key: str) -> Response:
        only(request, ("after",))
        after = _after(request)
        state, version = await ground.execution(request, key)
        ended = state.status in ENDED
        if ended and after >= version:
            return Response(status_code=204)  # which tells a client not to come again
        if watching.count >= WATCHERS_MAX:
            raise Problem(
                503,
                "too_many_watchers",
                f"{WATCHERS_MAX} connections watch already; try again in a moment",
            )
        told = _told(ground, watching, ground.tenant(request), key, after, ended=ended)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(told, media_type="text/event-stream", headers=headers)

    ground.app.add_api_route(
        PREFIX + "/events",
        events,
        name="events",
        summary="Watch an execution's events as they happen (server-sent events)",
        tags=tags("workflow_executions"),
        openapi_extra=reads(
            query("after", "integer", "as Last-Event-ID, which goes before", minimum=0),
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}},
        ),
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            204: {"description": "It has ended, and there is nothing more to tell."},
        },
    )


def _after(request: Request) -> int:
    text = request.headers.get("last-event-id")
    if text is None or not text:
        return number(request, "after", 0, 0, VERSION_MAX)
    if not (text.isascii() and text.isdecimal() and int(text[:12]) <= VERSION_MAX):
        raise Problem(
            400, "invalid_parameter", "Last-Event-ID must be the id of an event of this stream"
        )
    return int(text)


async def _told(
    ground: Ground, watching: Watching, tenant_id: str, key: str, after: int, *, ended: bool
) -> AsyncGenerator[bytes]:
    """Give the events after a version, then those that come, until the execution has ended."""
    grown = watching.begin(key)
    try:
        yield b"retry: %d\n\n" % RETRY_MS
        while True:
            grown.clear()
            rows = await events_after(ground, tenant_id, key, after, PAGE)
            for row in rows:
                after, kind = row["version"], row["type"]
                ended = kind in ENDS or (ended and kind != REVIVED)
                body = orjson.dumps(shown(row))
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (after, kind.encode(), body)
            if rows:
                continue
            if ended:
                return
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await grown.wait()
            except TimeoutError:
                yield b": still here\n\n"
    except Problem as problem:  # the answer has begun: the client comes back by itself
        log.warning("events_broken_off", execution=key, error=problem.detail)
    finally:
        watching.end(key, grown)
