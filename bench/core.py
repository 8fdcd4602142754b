"""What the engine's core costs without a shell, a database or Kafka: microseconds per step.

Executions of chains of 3 and 10 steps are decided, folded, projected, routed and encoded in
memory, as the shell does it; dispatched steps are answered by the runner's code, whose time is
told apart. `PROFILE=1` shows where the time goes.

    python -m bench.core
"""

import cProfile
import json
import os
import pstats
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from perdure_common.cycles import freeze
from perdure_common.decider import Recorded, Upsert
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts.engine import NodeTask, StartExecution
from perdure_contracts.executions import ExecutionEvent
from perdure_contracts.message import NAMES
from perdure_engine.definition import validate
from perdure_engine.executions.decider import decider_with
from perdure_engine.executions.state import Execution
from perdure_engine.runner.answers import answer_of
from perdure_engine.runner.perform import at_once

from bench.engine import CHAINS
from bench.load import INPUT

BATCH = 50
"""Executions that share one instant, and are measured together."""

BATCHES = 60
WORKFLOW_ID = str(uuid.UUID(int=1))
decider = decider_with(10.0)


@dataclass
class Shell:
    """As much of a shell as the core needs; `runner_s` is what the runner's code took."""

    rows: list[Upsert] = field(default_factory=list)
    written: int = 0
    events: int = 0
    runner_s: float = 0.0

    def run(self, start: bytes, version: Mapping[str, Any], now: datetime) -> None:
        """Play one execution from its start to its end."""
        state: Execution = decider.initial
        waiting = [decode_body(NAMES[StartExecution], start)]
        count = 0

        def happen(event: ExecutionEvent) -> Execution:
            nonlocal state, count
            count += 1
            self.written += len(encode_body(event))
            state = decider.evolve(state, event)
            recorded = Recorded(event, "tenant", state.execution_id, count, now)
            for outgoing in decider.route(state, recorded):
                waiting.append(self._answered(encode_body(outgoing.message)))
            self.rows.extend(decider.project(state, recorded))
            return state

        act = decider.act
        assert act is not None
        while waiting:
            command = waiting.pop()
            lookups = decider.facts(state, command)
            facts = {name: (version,) for name in lookups}
            refused = act(state, command, facts, now, happen)
            assert refused is None, refused
            decider.wake_at(state)
        assert state.status == "SUCCESS", state.status
        self.events += count

    def _answered(self, body: bytes) -> Any:
        began = time.process_time()
        task = decode_body(NAMES[NodeTask], body)
        answer = at_once(task, "runner")
        assert answer is not None
        record = answer_of(answer, "tenant", "runner", 8)
        self.runner_s += time.process_time() - began
        return decode_body("engine.node-result.v1", record.value)


def starts(count: int) -> list[bytes]:
    """Return encoded starts of as many executions."""
    return [
        msgspec.json.encode(
            StartExecution(
                execution_id=str(uuid.uuid4()),
                workflow_id=WORKFLOW_ID,
                version=1,
                node_id="start",
                mode="MANUAL",
                triggered_by="MANUAL:start",
                trigger={"id": "bench", "source": "/bench", "type": "perdure.trigger.manual"},
                data=INPUT,
            )
        )
        for _ in range(count)
    ]


def measure(definition: dict[str, Any]) -> dict[str, float]:
    """Return the microseconds per step and per event of a chain: the best of some batches.

    The best, because whatever else runs on the machine makes the others slower.
    """
    validation = validate(definition)
    version = {"definition": definition, "sha256": validation.sha256, "workspace_id": WORKFLOW_ID}
    steps = (len(definition["nodes"]) - 1) * BATCH
    bodies = starts(BATCH)
    best: dict[str, float] = {}
    for _ in range(BATCHES):
        shell = Shell()
        now = datetime.now(UTC)
        began = time.process_time()
        for body in bodies:
            shell.run(body, version, now)
        core_s = time.process_time() - began - shell.runner_s
        found = {
            "core_us_per_step": core_s / steps * 1e6,
            "core_us_per_event": core_s / shell.events * 1e6,
            "runner_us_per_step": shell.runner_s / steps * 1e6,
        }
        best = {name: min(value, best.get(name, value)) for name, value in found.items()}
    return best


MEANING = {
    f"{kind}{count}_{key}": f"{what}, in chains of {count} {kind} steps"
    for kind in ("inline", "dispatched")
    for count in (3, 10)
    for key, what in (
        ("core_us_per_step", "deciding, folding, projecting, routing and encoding a step"),
        ("core_us_per_event", "the same for an event"),
        ("runner_us_per_step", "what the runner's own code does for a step"),
    )
    if key != "runner_us_per_step" or kind == "dispatched"
}


def main() -> int:
    """Measure every chain."""
    result: dict[str, float] = {}
    freeze()
    for name, definition in CHAINS.items():
        profile = cProfile.Profile() if os.environ.get("PROFILE") == "1" else None
        if profile is not None:
            profile.enable()
        found = measure(definition)
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        for key, value in found.items():
            if f"{name}_{key}" in MEANING:
                result[f"{name}_{key}"] = round(value, 1)
        print(name, ", ".join(f"{key} {value:.1f}" for key, value in found.items()))
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
