"""An execution that is stopped after every step and goes on from what its journal says.

Random answers, failures, verdicts, time, duplicates, cancels and revivals, all from one `Random`.
After each command everything is made again from the recorded events: the state, the state from a
snapshot and the rest, and every row of the projections.
"""

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

import msgspec
from perdure_common.decider import Recorded
from perdure_common.shell.codec import decode_body
from perdure_contracts.asking import NoteAnswer
from perdure_contracts.control import MarkNode, PauseExecution, ResumeExecution
from perdure_contracts.engine import EffectState, NodeFailed, NodeResult, RecoveryVerdict
from perdure_contracts.executions import ExecutionCommand, ExecutionEvent
from perdure_contracts.flow import ResumeWait, SignalExecution
from perdure_contracts.message import NAMES
from perdure_engine.executions.state import Execution, Run, is_open, wake_at
from perdure_engine.executions.state_flow import Waiting
from playing import EXECUTION_ID, Play, Rows, decider, failed, write

REVIVALS_MAX = 2
STEPS_MAX = 60
"""After so many steps it is cancelled: what is long is not more than what is short."""


@dataclass(frozen=True)
class Line:
    """A row of the journal, as it is stored."""

    type: str
    data: bytes
    recorded_at: datetime


@dataclass
class Replayed:
    """A play and its journal, with snapshots taken on the way."""

    play: Play
    random: Random
    journal: list[Line] = field(default_factory=list)
    snapshots: list[tuple[int, bytes, Rows]] = field(default_factory=list)
    answered: list[NodeResult] = field(default_factory=list)
    revivals: int = 0
    steered: bool = False
    cancels: float = 0.01
    seen: Counter[str] = field(default_factory=Counter)

    def run(self, data: Any) -> None:
        """Start it, and take random steps until it has ended for good."""
        self.play.start(data)
        self._check()
        for step in range(10_000):
            if not is_open(self.play.state):
                if not self._revive():
                    return
            elif step >= STEPS_MAX:
                self.play.give(self.play.cancel())
            else:
                self._step()
            self._check()
        raise AssertionError("the execution does not end")

    # Steps -----------------------------------------------------------------------------

    def _step(self) -> None:
        flow = self.play.state.flow
        stopping = flow is not None and flow.stopping is not None
        if self.steered and not stopping and self.random.random() < 0.2:
            self._steer()
            return
        waits = self._waits()
        alone = not self.play.state.tokens and wake_at(self.play.state) is None
        if waits and (alone or self.random.random() < 0.3):
            self._tell(*self.random.choice(waits))
            return
        chance = self.random.random()
        places = sorted(self.play.state.tokens.values())
        asked = [
            place
            for place, run in sorted(self.play.state.runs.items())
            if run.dispatch is not None and run.dispatch.failure_id and place not in places
        ]
        if chance < self.cancels:
            self._give("canceled", self.play.cancel())
        elif chance < 0.05 and self.answered:
            self._give("duplicate", self.random.choice(self.answered))
        elif asked and chance < 0.5:
            self._verdict(self.random.choice(asked))
        elif places and chance < 0.93:
            self._answer(self.random.choice(places))
        elif wake_at(self.play.state) is not None:
            self.seen["woken"] += 1
            self.play.wake()
        elif places:
            self._answer(places[0])

    def _waits(self) -> list[tuple[str, Waiting]]:
        """Return the runs that somebody has to tell something: people, memory, whoever signals."""
        flow = self.play.state.flow
        waits = {} if flow is None else flow.waits
        kinds = ("person", "memory", "event", "webhook")
        return [(place, each) for place, each in sorted(waits.items()) if each.kind in kinds]

    def _tell(self, place: str, waiting: Waiting) -> None:
        """Tell a run what it waits for: its question is taken, answered, or fails."""
        state, random = self.play.state, self.random
        payload: Any = [{"n": random.randint(0, 6)} for _ in range(random.randint(0, 2))]
        id = f"said-{sum(self.seen.values())}"
        if waiting.kind == "event":
            signal = SignalExecution(
                execution_id=EXECUTION_ID, name=waiting.name, signal_id=id, payload=payload
            )
            self._give("signal", signal)
            return
        if waiting.kind == "webhook":
            assert state.flow is not None
            token = state.flow.resume_token
            call = ResumeWait(execution_id=EXECUTION_ID, token=token, signal_id=id, payload=payload)
            self._give("called", call)
            return
        service: Literal["hil", "memory"] = "hil" if waiting.kind == "person" else "memory"
        ports = self.play.workflow.by_id[state.runs[place].node_id].outputs
        outcome = random.choice(("taken", "answered", "answered", "answered", "failed"))
        answer = NoteAnswer(
            execution_id=EXECUTION_ID,
            wait_id=waiting.wait_id,
            service=service,
            outcome=outcome,
            port=random.choice(ports) if outcome == "answered" else "",
            items=random.choice((None, payload)),
            by="ann",
        )
        self._give(f"{service} {outcome}", answer)

    def _steer(self) -> None:
        """Do what people do to an execution: pause it, let it go on, settle a node."""
        state, random = self.play.state, self.random
        if state.status == "PAUSED" and random.random() < 0.6:
            self.play.now += timedelta(seconds=random.choice((0, 5, 3_600)))
            self._give("resumed", ResumeExecution(execution_id=EXECUTION_ID))
        elif state.status == "RUNNING" and random.random() < 0.5:
            self._give("paused", PauseExecution(execution_id=EXECUTION_ID, reason="a look"))
        elif state.open:
            self._mark(state.runs[random.choice(sorted(state.open))])

    def _mark(self, run: Run) -> None:
        outcome: Literal["done", "skipped"] = self.random.choice(("done", "skipped"))
        self._give(
            f"marked {outcome}",
            MarkNode(
                execution_id=EXECUTION_ID,
                node_id=run.node_id,
                scope=run.scope,
                outcome=outcome,
                data=self.random.choice((None, {"n": 1}, [{"n": 2}, {"n": 3}])),
            ),
        )

    def _give(self, what: str, command: ExecutionCommand) -> None:
        self.seen[what] += 1
        self.play.ask(command)

    def _answer(self, place: str) -> None:
        task, random = self.play.task(place), self.random
        kind = random.choices(("good", "items", "whole"), (4, 2, 3))[0]
        retryable = random.random() < 0.6
        # What may have happened can be undone; of what was refused nothing has.
        state: EffectState = "unknown" if "compensate" in task.parameters[0] else "not_sent"
        if kind == "whole":
            error = replace(failed("upstream", retryable=retryable), effect_state=state)
            result = self.play.result(place, error=error)
        else:
            errors = {
                at: replace(failed("picky", retryable=retryable), effect_state=state)
                for at in range(len(task.items))
                if kind == "items" and random.random() < 0.5
            }
            result = self.play.result(place, errors=errors)
            if int(task.token[:2], 16) % 3 == 0:
                result = with_files(result)
        self.answered.append(result)
        self.seen[f"answer {kind}"] += 1
        self.play.ask(result)

    def _verdict(self, place: str) -> None:
        run = self.play.state.runs[place]
        assert run.dispatch is not None
        verdict = self.random.choice(("retry", "retry", "hold", "give_up"))
        self.seen[f"verdict {verdict}"] += 1
        delay_s = self.random.choice((0.0, 30.0))
        undone = verdict == "retry" and self._can_be_undone(run) and self.random.random() < 0.5
        self.seen["verdict undo"] += undone
        self.play.ask(
            RecoveryVerdict(
                failure_id=run.dispatch.failure_id,
                execution_id=EXECUTION_ID,
                node_id=run.node_id,
                verdict=verdict,
                delay_s=delay_s,
                ask_again=verdict == "retry" and delay_s > 0 and run.attempt % 2 == 1,
                overrides={"compensate": True} if undone else None,
            )
        )

    def _can_be_undone(self, run: Run) -> bool:
        told = [each for each in self.play.told(NodeFailed) if each.node_id == run.node_id]
        means: Mapping[str, Any] = told[-1].means or {} if told else {}
        return means.get("skip_compensate") == "request"

    def _revive(self) -> bool:
        """Revive it at a run that failed; return False when it stays as it is."""
        failures = [
            run for run in self.play.state.runs.values() if run.status in ("ERROR", "CANCELED")
        ]
        if self.revivals == REVIVALS_MAX or not failures or self.random.random() < 0.4:
            return False
        self.revivals += 1
        run = self.random.choice(failures)
        if self.steered and self.random.random() < 0.5:
            before = len(self.play.events)
            self._mark(run)
            return len(self.play.events) > before
        refused = not isinstance(
            self.play.ask(self.play.retry(run.node_id, scope=run.scope)), tuple
        )
        self.seen["revival refused" if refused else "revived"] += 1
        return not refused

    # Replaying -------------------------------------------------------------------------

    def _check(self) -> None:
        """Make everything again from the journal, compare, and go on with what was made."""
        for event in self.play.events[len(self.journal) :]:
            name, at = NAMES[type(event)], self.play.times[len(self.journal)]
            self.seen[name] += 1
            self.journal.append(Line(name, msgspec.json.encode(event), at))
        state, rows = replay(self.journal)
        assert state == self.play.state, "the journal makes another state"
        assert rows == self.play.rows, different(rows, self.play.rows)
        if self.snapshots:
            count, snapshot, before = self.random.choice(self.snapshots)
            restored = msgspec.json.decode(snapshot, type=Execution)
            again, later = replay(self.journal[count:], restored, deepcopy(before), count)
            assert again == state, f"a snapshot of version {count} and the rest make another state"
            assert later == rows, different(later, rows)
        if self.random.random() < 0.2:
            taken = (len(self.journal), msgspec.json.encode(state), deepcopy(rows))
            self.snapshots.append(taken)
        self.play.state, self.play.rows = state, rows


def with_files(result: NodeResult) -> NodeResult:
    """Return an answer whose items carry a file each."""
    ref = {"file_id": result.token, "file_name": "a.txt", "mime_type": "text/plain", "size": 3}
    items = [item and {**item, "binary_ref": {"data": ref}} for item in result.ports["main"]]
    return replace(result, ports={"main": items})


def replay(
    journal: list[Line], state: Execution | None = None, rows: Rows | None = None, version: int = 0
) -> tuple[Execution, Rows]:
    """Return the state and the rows that journal lines make, on top of what is given."""
    state = decider.initial if state is None else state
    rows = {} if rows is None else rows
    for line in journal:
        version += 1
        event: ExecutionEvent = decode_body(line.type, line.data)
        state = decider.evolve(state, event)
        recorded = Recorded(event, "tenant", EXECUTION_ID, version, line.recorded_at)
        for upsert in decider.project(state, recorded):
            write(rows, upsert)
    return state, rows


def different(some: Rows, others: Rows) -> str:
    """Return which rows differ, and how."""
    keys = [key for key in {**some, **others} if some.get(key) != others.get(key)]
    return "; ".join(f"{key}: {some.get(key)} is not {others.get(key)}" for key in keys[:2])
