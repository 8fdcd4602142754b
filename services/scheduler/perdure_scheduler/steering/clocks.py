"""Clocks by HTTP: when a CRON trigger fires next, and firings of the past that did not happen."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import Request
from perdure_common.api.asking import refused
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import number, only, query, reads, tags, writes
from perdure_common.api.problem import Problem
from perdure_common.decider import Rejected
from perdure_common.run import utc_now
from perdure_common.shell import remake
from perdure_common.shell.intake import Registry
from perdure_contracts.cron import BackfillCron, CronFired
from perdure_contracts.message import NAMES, Json

from perdure_scheduler.cron_decide import cron_facts, decide_cron, stream_of
from perdure_scheduler.cron_state import CronTrigger
from perdure_scheduler.cron_text import CronError
from perdure_scheduler.preview import upcoming

from .ground import TRIGGER, Ground

COUNT, COUNT_MAX = 5, 100
"""Firings that are shown; a hundred leap days lie four centuries ahead, and are looked for here."""

Text = Annotated[str, msgspec.Meta(max_length=255)]


class Clock(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of a CRON node, which need not be part of any workflow."""

    parameters: dict[str, Json]
    count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)] = COUNT
    after: datetime | None = None


class Firing(msgspec.Struct):
    """A firing: when by the clocks, in UTC, and when with its jitter."""

    scheduled_at: str
    scheduled_local: str
    fires_at: str


class Firings(msgspec.Struct):
    """What comes next."""

    firings: list[Firing]


class Next(Firings, kw_only=True):
    """What comes next of a trigger that serves; while it is not `is_active` nothing happens."""

    workflow_id: str
    node_id: str
    timezone: str
    is_active: bool


class Backfill(msgspec.Struct, forbid_unknown_fields=True):
    """Firings of [first, until) that did not happen are to; with `force` all, once more.

    With `dry_run` nothing happens, and `firings` has those that would.
    """

    first: datetime
    until: datetime
    force: bool = False
    dry_run: bool = False
    asked_by: Text = ""


class Planned(msgspec.Struct):
    """A firing of the past that would happen."""

    scheduled_at: str
    scheduled_local: str
    execution_id: str | None


class Backfilled(msgspec.Struct):
    """How many firings happen now, or would.

    `/v1/trigger_deliveries?source=/scheduler/cron` has the executions of those that happened.
    """

    workflow_id: str
    node_id: str
    dry_run: bool
    fired: int
    firings: list[Planned]
    settled: bool
    command: dict[str, str] | None


def add(ground: Ground) -> None:
    """Add the endpoints."""
    add_next(ground)
    add_backfill(ground)


def add_next(ground: Ground) -> None:
    """Add what shows the firings to come, of a trigger and of an expression."""

    async def following(request: Request, key: str, node_id: str) -> dict[str, Any]:
        only(request, ("count", "after"))
        count = number(request, "count", COUNT, 1, COUNT_MAX)
        row = await ground.clock(key, node_id)
        after = _zoned("after", _instant(request.query_params.get("after")))
        settled = _instant(row["settled_until"])
        since = max(each for each in (after or utc_now(), settled) if each is not None)
        found = await _shown(row["trigger_config"], since, count, key, node_id)
        return {
            "workflow_id": key,
            "node_id": node_id,
            "timezone": row["trigger_config"].get("timezone", "UTC"),
            "is_active": row["is_active"],
            "firings": found,
        }

    async def previewed(request: Request) -> dict[str, Any]:
        body = await read_body(request, Clock)
        after = _zoned("after", body.after) or utc_now()
        return {"firings": await _shown(body.parameters, after, body.count)}

    ground.app.add_api_route(
        TRIGGER + "/next",
        following,
        name="next_firings",
        summary="Show when a CRON trigger fires next",
        tags=tags("triggers"),
        openapi_extra=reads(
            query("count", "integer", "how many", minimum=1, maximum=COUNT_MAX, default=COUNT),
            query("after", about="after this instant instead of now", format="date-time"),
        ),
        responses=responses(200, Next, "The firings, soonest first."),
    )
    ground.app.add_api_route(
        "/v1/cron_previews",
        previewed,
        methods=["POST"],
        name="preview_firings",
        summary="Show when a CRON node with these parameters would fire; nothing is kept",
        tags=tags("triggers"),
        openapi_extra={"requestBody": body_schema(Clock)},
        responses=responses(200, Firings, "The firings, soonest first."),
    )


def add_backfill(ground: Ground) -> None:
    """Add what makes firings of the past happen."""
    registry = Registry(ground.service)

    async def backfilled(request: Request, key: str, node_id: str) -> dict[str, Any]:
        body = await read_body(request, Backfill)
        ground.asking.check_tenant(request)
        await ground.clock(key, node_id)
        first, until = _zoned("first", body.first), _zoned("until", body.until)
        assert first is not None and until is not None
        message = BackfillCron(
            workflow_id=key,
            node_id=node_id,
            first=first.isoformat(),
            until=until.isoformat(),
            force_id=_force_id(request) if body.force else "",
            asked_by=body.asked_by,
        )
        found: dict[str, Any] = {"workflow_id": key, "node_id": node_id, "dry_run": body.dry_run}
        if body.dry_run:
            plan = await _plan(ground, registry, message)
            firings = [_planned(each, known=not body.force) for each in plan]
            known = {"fired": len(firings), "firings": firings}
            return {**found, **known, "settled": True, "command": None}
        asked = await ground.asking.ask(request, stream_of(key, node_id), message)
        fired = asked.events.count(NAMES[CronFired])
        return {**found, "fired": fired, "firings": [], **asked.accepted}

    ground.app.add_api_route(
        TRIGGER + "/backfill",
        backfilled,
        methods=["POST"],
        name="backfill_trigger",
        summary="Let firings of the past happen that did not; with a dry run",
        tags=tags("triggers"),
        openapi_extra=writes(body_schema(Backfill)),
        responses=responses(200, Backfilled, "What happens, or would."),
    )


async def _shown(
    parameters: Any, after: datetime, count: int, workflow_id: str = "", node_id: str = ""
) -> list[dict[str, str]]:
    """Return firings to come; rare ones take longer to find than the shards may wait."""
    try:
        return await asyncio.to_thread(
            upcoming, parameters, after, count, workflow_id=workflow_id, node_id=node_id
        )
    except CronError as error:
        raise Problem(422, error.code, str(error)) from None
    except OverflowError:
        raise Problem(422, "invalid_instant", "`after` is at the end of time") from None


async def _plan(ground: Ground, registry: Registry, message: BackfillCron) -> list[CronFired]:
    """Return the firings that a backfill would lead to now: the core decides, nothing is kept.

    Raises:
        Problem: It would be refused.
    """
    stream = stream_of(message.workflow_id, message.node_id)
    held = (await remake.load(registry, ground.store, {stream: -1}))[stream]
    tenant_id = ground.asking.tenant_id
    is_ours = isinstance(held.state, CronTrigger) and held.tenant_id == tenant_id
    state = held.state if is_ours and isinstance(held.state, CronTrigger) else CronTrigger()
    lookups = cron_facts(state, message)
    rows = await ground.store.look_up(tenant_id, list(lookups.values()))
    facts = dict(zip(lookups, rows, strict=True))
    decided = await asyncio.to_thread(decide_cron, state, message, facts, utc_now())
    if isinstance(decided, Rejected):
        raise refused(decided.code, decided.reason)
    return [each for each in decided if isinstance(each, CronFired) and each.backfill]


def _planned(event: CronFired, *, known: bool) -> dict[str, Any]:
    """Return a firing; one that is forced gets its execution's id when it is carried out."""
    return {
        "scheduled_at": event.scheduled_at,
        "scheduled_local": event.scheduled_local,
        "execution_id": event.execution_id if known else None,
    }


def _force_id(request: Request) -> str:
    """Return what makes forced firings others: the same for a request that comes again."""
    return request.headers.get("idempotency-key") or str(uuid.uuid4())


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        text = "`after` must be an instant such as 2026-01-31T12:00:00Z"
        raise Problem(400, "invalid_instant", text) from None


def _zoned(name: str, at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise Problem(422, "invalid_instant", f"`{name}` needs a time zone, such as Z at its end")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise Problem(422, "invalid_instant", f"`{name}` is at the end of time") from None
