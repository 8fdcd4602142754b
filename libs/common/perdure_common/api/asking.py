"""How an HTTP API writes: it sends a command by the bus, as any outsider does, and waits.

The API itself changes nothing. What it sends is settled like every command from outside: by
(tenant, source, id), under which the service keeps what became of it. A caller's
`Idempotency-Key` becomes that id, so a request that is sent again gets the first one's answer.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from fastapi import Request
from perdure_contracts.message import NAMES

from perdure_common import fault
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.shell import codec
from perdure_common.shell.commanding import commanded
from perdure_common.shell.intake import STREAM_MAX
from perdure_common.shell.ports import Bus, Outbound, Unreachable

ANSWER_S = 10.0
"""How long an answer is waited for before the caller is told where to look for it."""

LOOK_S = (0.005, 0.1)
"""How long to wait between two looks for an answer: at first, and at most."""

KEY_MAX = 200
"""Characters of an idempotency key."""

TENANT_HEADER = "x-perdure-tenant"
KEY_HEADER = "idempotency-key"

STATUSES: Mapping[str, int] = {
    "execution_not_found": 404,
    "version_not_found": 404,
    "node_not_found": 404,
    "workflow_not_found": 404,
    "unknown_workflow": 404,
    "template_not_found": 404,
    "invalid_workflow_id": 422,
    "invalid_definition": 422,
    "invalid_execution_id": 422,
    "invalid_overrides": 422,
    "invalid_template": 422,
    "invalid_variable": 422,
    "invalid_concurrency_key": 422,
    "variable_not_found": 404,
    "variable_too_large": 413,
    "static_data_too_large": 413,
    "invalid_delay": 422,
    "invalid_pin_data": 422,
    "unknown_port": 422,
    "invalid_signal": 422,
    "wrong_token": 403,
    "payload_too_large": 413,
    "data_too_large": 413,
    "invalid_stream": 422,
    "invalid_body": 422,
    "trigger_not_found": 422,
    "unknown_version": 404,
    "not_serving": 404,
    "invalid_backfill": 422,
    "backfill_in_future": 422,
    "backfill_too_large": 422,
    "backfill_too_old": 422,
}
"""The HTTP status of refusals by their code; every other refusal is a conflict (409): the stream
does not take the command as it stands now."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """A command that was sent: `source` and `id` name it, `answer` is what became of it.

    `answer` is None if nothing was known in time; the command may still be carried out.
    """

    source: str
    id: str
    stream: str
    answer: Mapping[str, Any] | None

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the events that the command led to."""
        return tuple(self.answer.get("events", ())) if self.answer is not None else ()

    @property
    def accepted(self) -> dict[str, Any]:
        """What every answer to a write says of the command."""
        command = {"source": self.source, "id": self.id}
        return {"command": command, "settled": self.answer is not None}


@dataclass
class Asking:
    """Sends commands for the callers of a service's API, to it and to others."""

    service: str
    bus: Bus
    reading: Reading
    tenant_id: str
    partitions: int
    answer_s: float = ANSWER_S
    _source: str = field(init=False)

    def __post_init__(self) -> None:
        self._source = f"/api/{self.service}"

    def check_tenant(self, request: Request) -> None:
        """Refuse to write for another tenant than the installation's.

        Raises:
            Problem: `other_tenant`.
        """
        named = request.headers.get(TENANT_HEADER)
        if named and named != self.tenant_id:
            raise Problem(
                403,
                "other_tenant",
                "this service writes for the tenant of its installation alone; leave "
                "X-Perdure-Tenant out",
            )

    async def ask(
        self,
        request: Request,
        stream: str,
        message: object,
        *,
        topic: str | None = None,
        id: str | None = None,
    ) -> Asked:
        """Send a command to the service and wait for what becomes of it.

        `id` takes the place of the caller's key, where a request sends several commands.

        Raises:
            Problem: It is refused (`code` is the refusal's), too large, or cannot be sent.
        """
        sent = await self.send(request, self.service, stream, message, topic=topic, id=id)
        return Asked(sent["source"], sent["id"], stream, await self._answer(sent))

    async def send(
        self,
        request: Request,
        service: str,
        stream: str,
        message: object,
        *,
        topic: str | None = None,
        id: str | None = None,
    ) -> dict[str, str]:
        """Send a command to a service; return the `source` and `id` by which it is known.

        Raises:
            Problem: It is too large, or cannot be sent.
        """
        self.check_tenant(request)
        topic = topic or f"perdure.{service}.commands.v1"
        id = id or _key(request) or str(uuid.uuid4())
        if len(stream) > STREAM_MAX or not stream.isprintable():
            text = f"{stream[:80]!r} names nothing: at most {STREAM_MAX} printable characters do"
            raise Problem(422, "invalid_stream", text)
        record = commanded(message, topic, stream, self.partitions, id=id, source=self._source)
        size = len(record.value)
        if size > codec.MESSAGE_BYTES_MAX:
            raise Problem(
                413,
                "body_too_large",
                f"{NAMES[type(message)]} would have {size:,} bytes, at most "
                f"{codec.MESSAGE_BYTES_MAX:,} can be sent; make it smaller, or pass a reference",
            )
        await self._send(record)
        fault.point("after_ask_before_answer")
        return {"source": self._source, "id": id}

    async def _send(self, record: Outbound) -> None:
        try:
            (error,) = await self.bus.send([record])
        except Unreachable as unreachable:
            error = unreachable
        if error is not None:
            log.warning("command_not_sent", topic=record.topic, error=repr(error))
            raise Problem(
                503,
                "bus_unreachable",
                "Kafka does not take the command now; try again in a moment, with the same "
                "Idempotency-Key if it must not be carried out twice",
            )

    async def _answer(self, sent: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Wait for what became of a command; None if nothing is known in time.

        Raises:
            Problem: It was refused.
        """
        loop = asyncio.get_running_loop()
        limit = loop.time() + self.answer_s
        pause_s = LOOK_S[0]
        while True:
            found = await self.reading.answer(self.tenant_id, sent["source"], sent["id"])
            if found is not None:
                return _told(orjson.loads(found)["answer"])
            if loop.time() > limit:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.4, LOOK_S[1])


def _told(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer that is no refusal.

    Raises:
        Problem: It is one.
    """
    rejected = answer.get("rejected")
    if rejected is not None:
        raise refused(str(rejected["code"]), str(rejected["reason"]))
    if "parked" in answer:
        raise Problem(
            409,
            "parked",
            f"{answer['stream']} waits for a person, and this command behind it; `perdure "
            "dead-letters list` shows why, `redrive` lets it go on",
        )
    return answer


def refused(code: str, reason: str) -> Problem:
    """Return a refusal of a core as a problem."""
    return Problem(STATUSES.get(code, 409), code, reason)


def _key(request: Request) -> str | None:
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= KEY_MAX or not key.isprintable():
        raise Problem(
            400,
            "invalid_idempotency_key",
            f"Idempotency-Key must have 1 to {KEY_MAX} printable characters",
        )
    return key
