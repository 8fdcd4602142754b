"""An execution's events as they happen, by the engine's stream of them; broken connections heal.

Every event has its version in the stream. Whoever comes back names the last one he had, so
nothing is missing and nothing comes twice, whatever broke in between.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import quote

import httpx

from perdure_cli.client import Client, told
from perdure_cli.errors import CommandError

AGAIN_S = 0.5
"""How long to wait before a broken connection is made again."""

PATIENCE_S = 60.0
"""How long the engine may be away."""

SILENCE_S = 45.0
"""A connection on which nothing came for so long is dead: the engine says something sooner."""


@dataclass(frozen=True)
class Told:
    """An event of an execution: its version, its type, when, and what it says."""

    version: int
    type: str
    recorded_at: str
    data: Any


async def events_of(client: Client, execution_id: str, after: int = 0) -> AsyncGenerator[Told]:
    """Give the events of an execution behind a version until it has ended.

    Raises:
        CommandError: There is no such execution, or the engine stays away.
    """
    path = f"/v1/workflow_executions/{quote(execution_id, safe='')}/events"
    engines = cycle(client.urls("engine"))
    seen_at = time.monotonic()
    timeout = httpx.Timeout(10.0, read=SILENCE_S)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as http:
        while True:
            try:
                headers = {"last-event-id": str(after)} if after else {}
                async with http.stream("GET", next(engines) + path, headers=headers) as response:
                    if response.status_code == 204:
                        return
                    if not response.is_success and response.status_code != 503:
                        await response.aread()
                        told(response, "engine")
                    async for event in _read(response):
                        after, seen_at = event.version, time.monotonic()
                        yield event
            except httpx.HTTPError as error:
                if time.monotonic() - seen_at > PATIENCE_S:
                    raise CommandError(
                        f"the engine does not answer ({type(error).__name__}); `perdure status` "
                        f"shows what runs, `--after {after}` goes on from here",
                        code="unreachable",
                    ) from error
            await asyncio.sleep(AGAIN_S)


async def _read(response: httpx.Response) -> AsyncGenerator[Told]:
    """Give the events of one connection; one that was cut off in the middle is left out."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            body = json.loads(fields["data"])
            yield Told(int(fields["id"]), fields["event"], body["recorded_at"], body["data"])
            fields = {}
        else:
            fields = {}
