"""Services that are not here yet, played by a task on the real bus: people, and a memory.

It reads the commands that the engine sends to `hil` and `memory`, and answers by the engine's
commands, as those services will. What it has taken is kept; a question that comes twice is one.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from perdure_common.adapters.kafka import KafkaBus
from perdure_common.shell import codec
from perdure_contracts.asking import AskMemory, CancelInteraction, NoteAnswer, RequestInteraction
from platform_stage import PARTITIONS, Refused, Stage

TOPICS = ("perdure.hil.commands.v1", "perdure.memory.commands.v1")


@dataclass
class StandIn:
    """People and a memory; an async context manager that begins and ends their task.

    `decides` says how a question to people is answered (None: not yet), `remembers` what a memory
    gives. With `from_start` it takes what has waited in its topics too. `stale` are answers that
    nobody wanted any more.
    """

    stage: Stage
    decides: Callable[[RequestInteraction], str | None] = lambda request: "approved"
    remembers: Callable[[AskMemory], list[Any]] = lambda request: []
    asked: dict[str, RequestInteraction] = field(default_factory=dict[str, RequestInteraction])
    canceled: list[str] = field(default_factory=list[str])
    memory: dict[str, AskMemory] = field(default_factory=dict[str, AskMemory])
    stale: list[str] = field(default_factory=list[str])
    from_start: bool = False
    heard: int = 0

    async def __aenter__(self) -> "StandIn":
        ground = self.stage.ground
        self._bus = KafkaBus(ground.kafka_bootstrap, "stand-in", ground.prefix)
        places = [(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]
        bounds = await self._bus.bounds(places)
        self._bus.read(
            {place: bound[0 if self.from_start else 1] for place, bound in bounds.items()}
        )
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._bus.close()

    async def _work(self) -> None:
        while True:
            for record in await self._bus.fetch(100, 0.2):
                name = (codec.header(record.headers, "ce_type") or b"").decode()
                if name.startswith("shell."):
                    continue
                self.heard += 1
                await self._take(codec.decode_body(name, record.value))

    async def _take(self, message: object) -> None:
        match message:
            case RequestInteraction():
                again = message.interaction_id in self.asked
                self.asked[message.interaction_id] = message
                port = None if again else self.decides(message)
                if port is not None:
                    await self.answer(message, port)
            case CancelInteraction():
                self.canceled.append(message.interaction_id)
            case AskMemory():
                again = message.request_id in self.memory
                self.memory[message.request_id] = message
                if not again:
                    await self._say(
                        NoteAnswer(
                            execution_id=message.execution_id,
                            wait_id=message.request_id,
                            service="memory",
                            outcome="answered",
                            port="main",
                            items=self.remembers(message),
                        )
                    )
            case _:
                raise AssertionError(f"{message} is not for us")

    async def answer(self, request: RequestInteraction, port: str) -> None:
        """Let people answer a question: it was taken, and this is what they say."""
        said: dict[str, Any] = {
            "execution_id": request.execution_id,
            "wait_id": request.interaction_id,
            "service": "hil",
            "by": "ann",
        }
        await self._say(NoteAnswer(outcome="taken", **said))
        await self._say(NoteAnswer(outcome="answered", port=port, **said))

    async def _say(self, answer: NoteAnswer) -> None:
        try:
            await self.stage.ask("engine", answer.execution_id, answer)
        except Refused:
            self.stale.append(answer.wait_id)
