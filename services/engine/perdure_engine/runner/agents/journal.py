"""What an agent has done already: each call is looked up here before it is made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from perdure_common.ids import sha256_of_json

from perdure_engine.runner.substeps import Agent, Kind, LeaseLost, Substep, Substeps, Usage


@dataclass
class Journal:
    """The sub-steps of one agent: those of earlier attempts, and those of this one.

    `asked` are the model's answers that this attempt has used, newest last.
    """

    store: Substeps
    agent: Agent
    known: dict[str, Substep] = field(default_factory=dict)
    used: Usage = field(default_factory=Usage)
    asked: list[str] = field(default_factory=list)
    repeated: int = 0
    _n: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def read(cls, store: Substeps, agent: Agent) -> "Journal":
        """Return the journal with what earlier attempts wrote."""
        made = cls(store, agent)
        for step in await store.of(agent):
            made.known[step.request] = step
            made._n = max(made._n, step.n)
            made._add(step.usage)
        return made

    def answer(self, request: str) -> Any | None:
        """Return the answer that stands there already, None if there is none."""
        step = self.known.get(request)
        if step is None or step.state != "finished":
            return None
        self.repeated += 1
        return json.loads(step.result)

    def begun_before(self, request: str) -> bool:
        """Tell whether an earlier attempt began a call and nobody knows what became of it."""
        step = self.known.get(request)
        return step is not None and step.state == "begun"

    def request_of(self, kind: Kind, asked: Any) -> str:
        """Return the name of a call: what is asked, and how often this attempt asked it before."""
        text = sha256_of_json([kind, asked])
        count = self._seen.get(text, 0)
        self._seen[text] = count + 1
        return text if not count else f"{text}.{count}"

    async def begin(self, request: str, kind: Kind, name: str) -> None:
        """Write down that a call is about to be made.

        Raises:
            LeaseLost: The attempt is not ours any more.
        """
        known = self.known.get(request)
        if known is None:
            self._n += 1
        n = self._n if known is None else known.n
        await self.store.begin(self.agent, Substep(request, n, kind, name[:200]))

    async def finish(
        self, request: str, kind: Kind, answer: Any, usage: Usage | None = None
    ) -> None:
        """Write down what a call gave."""
        usage = usage or Usage()
        step = Substep(request, self._n, kind, "", state="finished", result=json.dumps(answer),
                       usage=usage)  # fmt: skip
        await self.store.finish(self.agent, step)
        self.known[request] = step
        self._add(usage)

    async def void(self, requests: Sequence[str]) -> None:
        """Let the next attempt ask the model again: these answers led nowhere."""
        if requests:
            await self.store.void(self.agent, requests)

    def _add(self, usage: Usage) -> None:
        self.used = Usage(
            self.used.input_tokens + usage.input_tokens,
            self.used.output_tokens + usage.output_tokens,
            self.used.cost_usd + usage.cost_usd,
        )


__all__ = ["Agent", "Journal", "LeaseLost"]
