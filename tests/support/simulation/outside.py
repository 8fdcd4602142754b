"""The world outside: requests that fail or hang, and effects counted by their key.

A keyed effect happens once whatever is asked; an unsafe one as often as it is asked.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from perdure_contracts.engine import ErrorFacts, NodeResult, NodeTask
from perdure_engine.runner import perform as performing
from perdure_engine.runner.dependencies import Dependencies
from perdure_engine.runner.http_request import Failed
from perdure_engine.runner.progress import Silent
from perdure_engine.runner.secrets import NoCredentials

from simulation.agents import NO_MODELS
from simulation.stores import SimClaims

_TASK: ContextVar[NodeTask | None] = ContextVar("the task that is performed", default=None)


@dataclass
class Moods:
    """How likely each answer is."""

    slow: float = 0.0
    refused: float = 0.0
    busy: float = 0.0
    cut: float = 0.0
    silent: float = 0.0


@dataclass
class World:
    """What is outside. `done` counts effects by key, `asked` the requests.

    `broken` hears of an effect that must not have been.
    """

    chance: random.Random
    fault: Callable[[str], None]
    broken: Callable[[str, str], None]
    moods: Moods = field(default_factory=Moods)
    done: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    changed: Callable[[str], None] = lambda key: None

    def happens(self, what: str, probability: float) -> bool:
        """Return whether something goes wrong now, and count it."""
        if probability and self.chance.random() < probability:
            self.fault(what)
            return True
        return False

    async def request(
        self, parameters: Mapping[str, Any], key: str, claims: SimClaims | None
    ) -> dict[str, Any] | Failed:
        """Answer one request."""
        task = _TASK.get()
        assert task is not None
        self.asked[key] += 1
        moods, timeout_s = self.moods, float(parameters.get("timeout_s") or 30.0)
        patient = task.length == "long" or task.effect == "unsafe"
        slow = self.happens("request slow", moods.slow * (4 if patient else 1))
        usual_s = self.chance.choice((0.004, 0.004, 0.1, 0.5))
        await asyncio.sleep(self.chance.uniform(0.3, timeout_s * 0.8) if slow else usual_s)
        if self.happens("connection refused", moods.refused):
            return _failed("connect_failed", "nobody listens", "not_sent")
        if self.happens("server busy", moods.busy):
            return _failed("http_status", "answered 503", "unknown", 503)
        self._take_effect(task, parameters, key, claims)
        if self.happens("answer cut off", moods.cut):
            return _failed("connection_reset", "the exchange broke off", "unknown")
        if self.happens("answer never comes", moods.silent):
            await asyncio.sleep(timeout_s)
            return _failed("read_timeout", "no complete answer in time", "unknown")
        return {"status": 200, "headers": {}, "body": {"key": key}}

    def _take_effect(
        self, task: NodeTask, parameters: Mapping[str, Any], key: str, claims: SimClaims | None
    ) -> None:
        if task.effect == "pure":
            return
        if claims is not None and task.token in claims.told_lost:
            self.broken("lease", f"an effect under {task.token}, of which the loss was known")
        if task.effect == "keyed":
            self.done[key] = 1
        else:
            self.done[key] += 1
            if self.done[key] > 1:
                self.broken("I1", f"the unsafe effect {key} happened {self.done[key]} times")
        self.changed(key)


@dataclass
class Tools:
    """What a runner reaches this world with."""

    world: World
    claims: SimClaims | None = None
    credentials: NoCredentials = field(default_factory=NoCredentials)
    dependencies: Dependencies = field(default_factory=Dependencies)
    substeps: Any = None
    progress: Silent = field(default_factory=Silent)
    models: Any = field(default_factory=lambda: NO_MODELS)
    model_prices: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    files: Any = None
    file_bytes_max: int = 0


async def _http_request(
    tools: Any, parameters: Mapping[str, Any], key: str, files: Any
) -> dict[str, Any] | Failed:
    del files
    return await tools.world.request(parameters, key, tools.claims)


PERFORMERS = {("EXTERNAL_ACTION", "HTTP_REQUEST"): _http_request}
"""In place of the runner's own, which would reach the real world."""


async def perform(tools: Tools, task: NodeTask, runner: str) -> NodeResult:
    """Do the work of a task as the runner does, against this world."""
    _TASK.set(task)
    reached: Any = tools
    return await performing.perform(reached, task, runner)


def _failed(kind: str, text: str, effect: Any, status: int | None = None) -> Failed:
    return Failed(
        ErrorFacts(
            type=kind,
            message=f"sim.example {text}",
            retryable=True,
            status_code=status,
            stage="run",
            dependency="http:sim.example",
            effect_state=effect,
        )
    )
