"""People and memory: they answer what the engine asks, at once, late, twice, or never.

Their services are not part of the platform yet, so these stand in for them: they read the
questions from the topics, know one that comes again by its id, and answer like any outsider.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from perdure_common.shell import codec
from perdure_common.shell.ports import Record
from perdure_contracts.asking import AskMemory, CancelInteraction, NoteAnswer, RequestInteraction
from perdure_contracts.message import NAMES

from simulation.load import PARTITIONS, Load
from simulation.stage import Stage

PEOPLE, MEMORY = "perdure.hil.commands.v1", "perdure.memory.commands.v1"
LOOK_S = 0.2
TYPES = tuple(NAMES[kind] for kind in (RequestInteraction, AskMemory, CancelInteraction))

WAYS = ("soon", "soon", "soon", "late", "twice", "taken", "fails", "never")
"""How a question may be answered."""

Question = RequestInteraction | AskMemory


@dataclass
class Others:
    """Those who are asked. `given` has, by question, the answers that it got."""

    stage: Stage
    load: Load
    questions: dict[str, Question] = field(default_factory=dict)
    given: dict[str, list[NoteAnswer]] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    chance: Random = field(default_factory=Random)
    _read: dict[tuple[str, int], int] = field(default_factory=dict)
    _answering: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def work(self) -> None:
        """Read questions and answer them, for ever."""
        while True:
            for record in self._new():
                question = self._take(record)
                if question is not None:
                    way = self.chance.choice(WAYS)
                    self.stage.watch.fault(f"{type(question).__name__} is answered: {way}")
                    self._spawn(self._answer(question, way))
            await asyncio.sleep(LOOK_S)

    async def answer_all(self) -> None:
        """Answer, at last, what is still wanted: nothing was said, or Kafka has lost it."""
        for record in self._new():
            self._take(record)
        rows = self.stage.databases["engine"].store.tables.get("workflow_executions", ())
        left = {row["execution_id"] for row in rows if row["status"] == "WAITING_FOR_HUMAN"}
        for id, question in list(self.questions.items()):
            if question.execution_id in left and id not in self.withdrawn:
                final = [each for each in self.given.get(id, ()) if each.outcome != "taken"]
                if final:
                    await self._tell(final[-1], 0.0)
                else:
                    await self._say(question, "answered")

    def _new(self) -> list[Record]:
        """Return the records that came since the last look; the ends of these topics stay."""
        found: list[Record] = []
        for topic in (PEOPLE, MEMORY):
            for partition in range(PARTITIONS):
                log = self.stage.broker.log((topic, partition))
                at = self._read.get((topic, partition), log.begin)
                found.extend(log.records[at - log.begin :])
                self._read[topic, partition] = log.end
        return found

    def _take(self, record: Record) -> Question | None:
        """Take a question in; None if it is none, or was asked before."""
        name = (codec.header(record.headers, "ce_type") or b"").decode()
        if name not in TYPES:
            return None
        message: Any = codec.decode_body(name, record.value)
        if isinstance(message, RequestInteraction) and message.asked_by != "engine":
            return None
        if isinstance(message, CancelInteraction):
            self.withdrawn.add(message.interaction_id)
            return None
        id = id_of(message)
        known = self.questions.setdefault(id, message)
        if known is message:
            return message
        if known != message:
            self.stage.watch.breaks("I6", f"question {id} was asked in two ways")
        final = [each for each in self.given.get(id, ()) if each.outcome != "taken"]
        if final:  # whoever asks again has forgotten the answer
            self._spawn(self._tell(final[-1], self.chance.uniform(0.0, 2.0)))
        return None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _tell(self, answer: NoteAnswer, after_s: float) -> None:
        await asyncio.sleep(after_s)
        said = self.given.setdefault(answer.wait_id, [])
        said.append(answer)
        id = f"answer-{answer.wait_id}-{len(said)}"
        await self.load.command("engine", answer.execution_id, answer, id)

    async def _answer(self, question: Question, way: str) -> None:
        chance = self.chance
        if way == "never":
            return
        await asyncio.sleep(chance.uniform(3.0, 12.0) if way == "late" else chance.uniform(0.0, 1))
        if way == "taken":
            await self._say(question, "taken")
            await asyncio.sleep(chance.uniform(0.0, 5.0))
        await self._say(question, "failed" if way == "fails" else "answered")
        if way == "twice":
            await asyncio.sleep(chance.choice((0.0, 0.0, 1.0)))
            await self._say(question, "answered")

    async def _say(self, question: Question, outcome: Any) -> None:
        person = isinstance(question, RequestInteraction)
        port, items = "main", None
        if outcome != "answered":
            port = ""
        elif person:
            port = self.chance.choice(("approved", "rejected"))
        else:
            items = [{"n": self.chance.randrange(100)}]
        answer = NoteAnswer(
            execution_id=question.execution_id,
            wait_id=id_of(question),
            service="hil" if person else "memory",
            outcome=outcome,
            port=port,
            items=items,
            by="somebody",
        )
        await self._tell(answer, 0.0)


def id_of(question: Question) -> str:
    """Return the id by which a question is known when it comes again."""
    if isinstance(question, RequestInteraction):
        return question.interaction_id
    return question.request_id
