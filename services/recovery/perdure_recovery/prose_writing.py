"""Asks a language model to put explanations into other words, beside the decisions.

Off unless `PERDURE_PROSE_URL` and `PERDURE_PROSE_MODEL` are set (any API in the form of OpenAI's
chat completions). Only explanations are asked about whose decision is over, once each, by the
process that has the first shard; whatever goes wrong, the explanation stays as it is.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog
from perdure_common import fault
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.ids import derived, partition_of
from perdure_common.settings import Settings
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import NAMES
from perdure_contracts.telling import KeepProse

from .prose import judged, messages_for, stream_of

SQL: Mapping[str, str] = queries(Path(__file__).with_name("measures.sql"))
EVERY_S = 5.0
BATCH = 10
ANSWER_BYTES_MAX = 64 * 1024
REQUEST_S = 30.0
TOKENS_MAX = 400

log = structlog.get_logger(__name__)


class Writer:
    """Writes prose for what is over; `tenant_id` is whose explanations it looks for."""

    def __init__(self, settings: Settings, bus: Bus, reading: Reading) -> None:
        self._settings = settings
        self._bus = bus
        self._reading = reading

    async def write(self, client: httpx.AsyncClient) -> int:
        """Ask about some explanations; return about how many.

        Raises:
            httpx.HTTPError: The model does not answer well: the rest waits.
            Problem, Unreachable: The database or Kafka does not answer.
        """
        tenant_id = self._settings.tenant_id
        rows = await self._reading.rows(SQL["without_prose"], tenant_id, BATCH)
        for row in rows:
            text, refused = judged(await self._asked(client, row), row)
            message = KeepProse(
                execution_id=row["execution_id"],
                attempt_id=row["attempt_id"],
                text=text,
                model=self._settings.prose_model,
                refused=refused,
            )
            fault.point("after_prose_before_publish")
            await self._send(message)
        return len(rows)

    async def _asked(self, client: httpx.AsyncClient, row: Mapping[str, Any]) -> str:
        """Return what the model answers; what is no answer is an empty text, and refused."""
        body = {
            "model": self._settings.prose_model,
            "messages": messages_for(row),
            "max_tokens": TOKENS_MAX,
            "temperature": 0,
        }
        url = f"{self._settings.prose_url}/chat/completions"
        headers = {"authorization": f"Bearer {self._settings.prose_key}"}
        async with client.stream("POST", url, json=body, headers=headers) as answer:
            answer.raise_for_status()
            raw = b""
            async for part in answer.aiter_bytes():
                raw += part
                if len(raw) > ANSWER_BYTES_MAX:
                    return ""
        try:
            text = orjson.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            return ""
        return text if isinstance(text, str) else ""

    async def _send(self, message: KeepProse) -> None:
        stream = stream_of(message)
        event = CloudEvent(
            id=derived("prose", message.attempt_id),
            source="/recovery/prose",
            type=NAMES[KeepProse],
            subject=stream,
            time=datetime.now(UTC).isoformat(),
            datacontenttype="application/json",
            data=codec.encode_body(message),
        )
        headers, value = encode(event)
        place = partition_of(stream, self._settings.partitions)
        topic = "perdure.recovery.commands.v1"
        (error,) = await self._bus.send([Outbound(topic, place, value, stream.encode(), headers)])
        if error is not None:
            raise Unreachable(str(error))


async def keep_writing(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Write beside the owner until told to stop; at once over where it is switched off."""
    if not (settings.prose_url and settings.prose_model):
        return
    reading = Reading(settings.database_url, owner.service.name, connections=1)
    writer = Writer(settings, owner.bus, reading)
    try:
        async with httpx.AsyncClient(timeout=REQUEST_S, trust_env=False) as client:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), EVERY_S)
                if not stop.is_set() and "0" in owner.shards:
                    await _once(writer, client)
    finally:
        await reading.close()


async def _once(writer: Writer, client: httpx.AsyncClient) -> None:
    try:
        await writer.write(client)
    except (httpx.HTTPError, Problem, Unreachable) as error:
        log.warning("prose_not_written", error=repr(error))
    except Exception:  # decisions go on, whatever is wrong with the words
        log.exception("prose_not_written")
