"""Waits for what executions answer: one question for all that wait here, again and again.

The answer is a row, wherever it was made: whichever replica holds the connection finds it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from perdure_common.shell.ports import Unreachable
from perdure_contracts.files import FileRef

from .store import HookStore

LOOK_S = 0.015
"""Between two looks for answers, while somebody waits."""

TROUBLE_S = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an execution answers; `ended` is how it ended, empty if a RESPOND node answered.

    `body` is JSON text. With a `file` that is the body.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    ended: str
    file: FileRef | None = None


class Answers:
    """Those who wait, by the executions that they wait for."""

    def __init__(self, store: HookStore) -> None:
        self._store = store
        self._waiting: dict[str, list[asyncio.Future[Answer | None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def waiting(self) -> int:
        """How many executions are waited for."""
        return len(self._waiting)

    async def wait(self, execution_id: str, limit_s: float) -> Answer | None:
        """Return what an execution answers, None if it has not in time, or the process stops."""
        if self._ended:
            return None
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Answer | None] = loop.create_future()
        self._waiting.setdefault(execution_id, []).append(mine)
        if self._looking is None:
            self._looking = loop.create_task(self._look())
        try:
            async with asyncio.timeout(limit_s):
                return await mine
        except TimeoutError:
            return None
        finally:
            others = self._waiting.get(execution_id, [])
            if mine in others:
                others.remove(mine)
            if not others:
                self._waiting.pop(execution_id, None)

    def end(self) -> None:
        """Let everybody go who waits: the process stops, and another one knows the answers."""
        self._ended = True
        waiting, self._waiting = self._waiting, {}
        for each in (one for several in waiting.values() for one in several):
            if not each.done():
                each.set_result(None)

    async def now(self, execution_id: str) -> Answer | None:
        """Return what an execution has answered, None if nothing yet.

        Raises:
            Unreachable: The table cannot be read.
        """
        rows = await self._store.run("answers", self._store.tenant_id, [execution_id])
        return _answer(rows[0]) if rows else None

    async def _look(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(LOOK_S)
                try:
                    asked = list(self._waiting)
                    rows = await self._store.run("answers", self._store.tenant_id, asked)
                except Unreachable as error:
                    log.warning("answers_not_found", error=str(error))
                    await asyncio.sleep(TROUBLE_S)
                    continue
                for row in rows:
                    for each in self._waiting.pop(row["execution_id"], ()):
                        if not each.done():
                            each.set_result(_answer(row))
        finally:
            self._looking = None


def _answer(row: Any) -> Answer:
    return Answer(
        status=row["status"],
        headers=orjson.loads(row["headers"]),
        body=row["body"] or "null",
        ended=row["ended"],
        file=None if row["file"] is None else orjson.loads(row["file"]),
    )
