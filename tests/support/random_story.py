"""A random execution, its children and its reruns, with everything that others may do to them.

Runners answer in any order, too late or never, people and memory answer, events come early, late,
twice or never, processes die, somebody pauses, marks a node, cancels, revives, forks. One `Random`
decides. Messages between executions keep their order from one to the other, and no other.
`world_of` (met_world.py) reads afterwards what the specification must be told.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from families import ENGINE, Family
from met_world import Deeds, items_of
from perdure_common.decider import Outgoing, Rejected
from perdure_contracts.asking import NoteAnswer
from perdure_contracts.control import (
    AdoptRuns,
    MarkNode,
    PauseExecution,
    RerunBegun,
    RerunExecution,
    ResumeExecution,
)
from perdure_contracts.engine import CancelExecution, RecoveryVerdict, StartExecution
from perdure_contracts.flow import ResumeWait, SignalExecution
from perdure_engine.executions.state import Run, is_open, wake_at
from perdure_engine.executions.state_flow import Waiting
from playing import EXECUTION_ID, Play, failed
from random_faults import Faults
from random_waits import EVENTS
from specification import Said, Scope
from specification.graph import read
from specification.nodes import ports_of
from specification.words import Answers

STEPS_MAX = 900
SOON = timedelta(seconds=1)
"""Before that no attempt is lost, and no retry due: only a WAIT has such instants."""

AGAIN = "0190f3c0-0000-7000-8000-0000000000ff"
"""The execution that a rerun begins."""

MARKED = ("HTTP_REQUEST", "WAIT", "STORE", "SUB_WORKFLOW", "APPROVAL", "INPUT", "SELECTION",
          "REVIEW")  # fmt: skip
VERDICTS_MAX = 3

DEEDS = ("crash", "late", "lose", "signal", "pause", "mark", "repeat", "fork", "cancel", "revive",
         "rerun")  # fmt: skip
"""What may happen beside what is expected."""


def goes_on(play: Play) -> bool:
    """Tell whether an execution has begun, or is to begin, and has not ended."""
    return is_open(play.state) or (play.state.status == "NEW" and bool(play.events))


Action = Callable[[], object]


@dataclass
class Story:
    """Executions that are played at random until all of them have ended."""

    definition: Mapping[str, Any]
    workflows: Mapping[str, Mapping[str, Any]]
    fails: Answers
    random: Random
    seen: Counter[str] = field(default_factory=Counter)
    deeds: Deeds = field(default_factory=Deeds)
    queues: dict[tuple[str, str], deque[Outgoing]] = field(default_factory=dict)
    said: list[tuple[Play, Any]] = field(default_factory=list)
    """What was taken and may come again."""

    allowed: frozenset[str] = frozenset(DEEDS)
    """Which of `DEEDS` may happen."""

    def __post_init__(self) -> None:
        self.faults = Faults(self.random, self.seen)
        self.family = Family(self.workflows)
        self.plays = self.family.plays
        self._signals = 0
        self._revivals = 0
        self.calm = 0.0

    def play(self, data: Any, pins: Any = None) -> Play:
        """Play the execution and all that follows from it to their ends."""
        first = Play(self.definition, snapshots=False, others=self.workflows)
        self.plays[EXECUTION_ID] = first
        more = {} if pins is None else {"pin_data": pins}
        first.start(data, **more)
        for step in range(STEPS_MAX):
            self._collect()
            if not self._goes_on():
                if not self._after_the_end():
                    return first
                continue
            if step > STEPS_MAX // 2:
                self.calm = 1.0  # nothing but what lets it come to its end
            self._step()
        raise AssertionError("the executions do not end")

    def answers_of(self, play: Play) -> Answers:
        """Return how a runner fails the items of an execution for good; children heal nowhere."""
        if play.execution_id not in (EXECUTION_ID, AGAIN):
            return self.fails

        def healed(node_id: str, scope: Scope, json: dict[str, Any]) -> str | None:
            known = (node_id, scope) in self.deeds.healed
            return None if known else self.fails(node_id, scope, json)

        return healed

    # One step ------------------------------------------------------------------------------

    def _goes_on(self) -> bool:
        return any(self.queues.values()) or any(map(goes_on, self.plays.values()))

    def _collect(self) -> None:
        """Take what executions send each other; what goes to others nobody reads."""
        for name, play in self.plays.items():
            sent, play.outgoing = play.outgoing, []
            for outgoing in sent:
                if outgoing.topic == ENGINE:
                    to = (name, outgoing.stream)
                    self.queues.setdefault(to, deque()).append(outgoing)

    def _step(self) -> None:
        random = self.random
        actions: list[Action] = [self._deliverer(queue) for queue in self.queues.values() if queue]
        wakes: list[Play] = []
        unlikely = random.random() < 0.2 and not self.calm
        for play in [each for each in self.plays.values() if goes_on(each)]:
            self._fault(play, 0.0 if self.calm else 0.05)
            if play.state.status == "NEW":
                actions.append(play.wake)
                continue
            actions.extend(self._expected(play))
            at = wake_at(play.state)
            if at is not None:
                wakes.append(play)
                busy = bool(play.state.tokens)
                late = random.random() < (0.02 if busy else 0.05)
                if at - play.now < SOON or (late and (not busy or self._may("lose"))):
                    actions.append(play.wake)
            if unlikely:
                actions.extend(self._unlikely(play))
        if actions:
            random.choice(actions)()
        elif wakes:
            random.choice(wakes).wake()
        else:
            self._resume_something()

    def _fault(self, play: Play, chance: float) -> None:
        """Let an execution lose its state, and an answer come that is too late."""
        if self._chance("crash", chance):
            self.faults.crash(play)
        if self._chance("late", 2 * chance):
            self.faults.late(play)

    def _deliverer(self, queue: "deque[Outgoing]") -> Action:
        return lambda: self.family.deliver(queue.popleft())

    def _expected(self, play: Play) -> list[Action]:
        """Return what runners, people, memory, events and recovery may answer now."""
        state = play.state
        found: list[Action] = [
            lambda place=place: self._answer(play, place) for place in sorted(state.tokens.values())
        ]
        waits = {} if state.flow is None else state.flow.waits
        for place, waiting in sorted(waits.items()):
            if waiting.kind in ("event", "webhook", "person", "memory"):
                found.append(lambda place=place, waiting=waiting: self._tell(play, place, waiting))
        for place in sorted(state.open):
            known = state.runs[place].dispatch
            if known is not None and known.verdict_until is not None and not known.token:
                found.append(lambda place=place: self._verdict(play, state.runs[place]))
        return found

    def _unlikely(self, play: Play) -> list[Action]:
        """Return what may happen, and mostly does not."""
        found: list[tuple[str, Action]] = [
            ("signal", lambda: self._signal(play, self.random.choice(EVENTS), ""))
        ]
        if play.state.status == "PAUSED":
            return [*self._allowed(found), lambda: self._resume(play)]
        if play.state.status == "RUNNING":
            command = PauseExecution(execution_id=play.execution_id)
            found.append(("pause", lambda: self._give(play, command, "paused")))
        if play.state.open and self.random.random() < 0.5:
            places = sorted(play.state.open)
            found.append(
                ("mark", lambda: self._mark(play, play.state.runs[self.random.choice(places)]))
            )
        if self.said:
            found.append(("repeat", self._repeat))
        if play.execution_id == EXECUTION_ID and AGAIN not in self.plays:
            found.append(("fork", lambda: self._rerun(play, fork=True)))
        if self.random.random() < (0.02 if play.execution_id == EXECUTION_ID else 0.1):
            found.append(("cancel", lambda: self._cancel(play)))
        return self._allowed(found)

    def _allowed(self, actions: list[tuple[str, Action]]) -> list[Action]:
        return [action for deed, action in actions if self._may(deed)]

    def _may(self, deed: str) -> bool:
        """Tell whether a deed may happen now."""
        return deed in self.allowed and not self.calm

    def _resume_something(self) -> None:
        paused = [each for each in self.plays.values() if each.state.status == "PAUSED"]
        assert paused, "an execution waits for nothing"
        self._resume(self.random.choice(paused))

    # What others do ----------------------------------------------------------------------------

    def _give(self, play: Play, command: Any, what: str) -> bool:
        """Give a command that may be refused; return whether it was taken."""
        taken = not isinstance(play.ask(command), Rejected)
        self.seen[what if taken else f"{what} refused"] += 1
        return taken

    def _resume(self, play: Play) -> None:
        play.now += timedelta(seconds=self.random.choice((0.0, 0.3, 3_600.0)))
        self._give(play, ResumeExecution(execution_id=play.execution_id), "resumed")

    def _cancel(self, play: Play) -> None:
        execution_id = play.execution_id
        command = CancelExecution(execution_id=execution_id, reason="enough", asked_by="me")
        self._give(play, command, "canceled")

    def _answer(self, play: Play, place: str) -> None:
        """Answer an attempt as its items say; what can pass fails once."""
        task, run, answers = play.task(place), play.state.runs[place], self.answers_of(play)
        errors = {
            at: failed("lasting", retryable=task.attempt < 2)
            for at, json in enumerate(task.items)
            if answers(task.node_id, run.scope, json)
        }
        result = play.result(place, errors=errors)
        play.give(result)
        self.said.append((play, result))

    def _verdict(self, play: Play, run: Run) -> None:
        """Let recovery answer; a mock fails as often as it says, so it is not tried more often."""
        known = run.dispatch
        assert known is not None
        pins = {} if play.state.given is None else play.state.given.pins
        again = run.attempt < VERDICTS_MAX and run.node_id not in pins
        verdict = self.random.choice(("retry", "retry", "hold") if again else ("give_up",))
        command = RecoveryVerdict(
            failure_id=known.failure_id,
            execution_id=play.execution_id,
            node_id=run.node_id,
            verdict=verdict,
            delay_s=self.random.choice((0.0, 5.0)) if verdict == "retry" else 0.0,
        )
        self._give(play, command, f"verdict {verdict}")

    def _tell(self, play: Play, place: str, waiting: Waiting) -> None:
        """Tell a run what it waits for: once, or an answer and then another one."""
        run = play.state.runs[place]
        if waiting.kind == "event":
            self._signal(play, waiting.name, waiting.key if self.random.random() < 0.5 else "")
        elif waiting.kind == "webhook":
            self._call(play, run.node_id if self.random.random() < 0.5 else "")
        else:
            self._note(play, place, waiting)

    def _payload(self) -> Any:
        count = self.random.choice((1, 1, 1, 0, 2))
        items = [{"n": self.random.randint(0, 6)} for _ in range(count)]
        return items[0] if count == 1 and self.random.random() < 0.5 else items

    def _signal(self, play: Play, name: str, key: str) -> None:
        command = SignalExecution(
            execution_id=play.execution_id,
            name=name,
            signal_id=self._new_signal(play),
            payload=self.deeds.payloads[play.execution_id, str(self._signals)],
            key=key,
        )
        if self._give(play, command, "signal"):
            self.said.append((play, command))

    def _call(self, play: Play, node_id: str) -> None:
        assert play.state.flow is not None
        command = ResumeWait(
            execution_id=play.execution_id,
            token=play.state.flow.resume_token,
            signal_id=self._new_signal(play),
            payload=self.deeds.payloads[play.execution_id, str(self._signals)],
            node_id=node_id,
        )
        if self._give(play, command, "called"):
            self.said.append((play, command))

    def _new_signal(self, play: Play) -> str:
        self._signals += 1
        self.deeds.payloads[play.execution_id, str(self._signals)] = self._payload()
        return str(self._signals)

    def _note(self, play: Play, place: str, waiting: Waiting) -> None:
        """Let people or memory take a question, answer it, or fail."""
        random = self.random
        person = waiting.kind == "person"
        service: Any = "hil" if person else "memory"
        fields: dict[str, Any] = {"wait_id": waiting.wait_id, "service": service, "by": "ann"}
        if random.random() < 0.2 and not waiting.taken:
            taken = NoteAnswer(execution_id=play.execution_id, outcome="taken", **fields)
            self._give(play, taken, "taken")
            return
        if random.random() < 0.15:
            kind = "interaction_failed" if person else "memory_failed"
            said, fields["outcome"] = Said(failure=kind), "failed"
        else:
            node_id = play.state.runs[place].node_id
            port = random.choice(ports_of(read(play.definition), node_id))
            items: Any = items_of(self._payload())
            if person and random.random() < 0.5:
                items = None
            told = {"outcome": port, "by": "ann"} if person else None
            said = Said(port, items, told=told)
            fields |= {"outcome": "answered", "port": port, "items": items}
        command = NoteAnswer(execution_id=play.execution_id, **fields)
        self.deeds.answers[waiting.wait_id] = said
        play.give(command)
        self.seen[f"{service} answered"] += 1
        self.said.append((play, command))

    def _repeat(self) -> None:
        """Say again what was said before: it has no effect."""
        play, command = self.random.choice(self.said)
        before = len(play.events)
        assert isinstance(play.ask(command), Rejected), f"{command} was taken twice"
        assert len(play.events) == before
        self.seen["said twice"] += 1

    # What people do by hand ----------------------------------------------------------------------

    def _mark(self, play: Play, run: Run) -> bool:
        node = play.workflow.by_id[run.node_id]
        if node.node_subtype not in MARKED:
            return False
        random, ports = self.random, ports_of(read(play.definition), run.node_id)
        data, emitted = random.choice((
            (None, ports[0]),
            ({"n": 1}, {ports[0]: [{"n": 1}]}),
            ([{"n": 2}, {"n": 3}], {ports[0]: [{"n": 2}, {"n": 3}]}),
            ({"ports": {ports[-1]: [{"n": 4}]}}, {ports[-1]: [{"n": 4}]}),
        ))  # fmt: skip
        outcome: Any = random.choice(("done", "done", "skipped"))
        command = MarkNode(
            execution_id=play.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            outcome=outcome,
            data=data,
        )
        number = run.run + (0 if is_open(play.state) else 1)
        at = (play.execution_id, run.node_id, run.scope, number)
        self.deeds.marked[at] = None if outcome == "skipped" else emitted
        return self._give(play, command, f"marked {outcome}")

    def _after_the_end(self) -> bool:
        """Let people look at what has ended: revive it, or run it again as a new execution."""
        first = self.plays[EXECUTION_ID]
        for play in self.plays.values():
            self._fault(play, 0.3)
        badly = [r for r in first.state.runs.values() if r.status in ("ERROR", "CANCELED")]
        again = AGAIN in self.plays
        if badly and not self._revivals and not again and self._chance("revive", 0.5):
            self._revivals += 1
            run = self.random.choice(badly)
            if self.random.random() < 0.4:
                return self._mark(first, run)
            taken = self._give(first, first.retry(run.node_id, scope=run.scope), "revived")
            if taken:
                self.deeds.healed.add((run.node_id, run.scope))
            return taken
        return not again and self._chance("rerun", 0.3) and self._rerun(first, fork=False)

    def _chance(self, deed: str, chance: float) -> bool:
        return deed in self.allowed and self.random.random() < chance

    def _rerun(self, play: Play, *, fork: bool) -> bool:
        """Begin a new execution from one, while it runs or when it has ended."""
        command = RerunExecution(
            execution_id=EXECUTION_ID,
            new_execution_id=AGAIN,
            origin=(origin := self.random.choice(("failed", "start", "node"))),
            node_id=self.random.choice(sorted(play.workflow.by_id)) if origin == "node" else "",
            fork=fork,
        )
        play.sent.clear()
        self.deeds.before = len(play.events)
        if not self._give(play, command, f"forked {origin}" if fork else f"rerun {origin}"):
            return False
        self.deeds.adopted = play.told(RerunBegun)[-1].adopted
        new = Play(
            self.definition,
            snapshots=False,
            others=self.workflows,
            execution_id=AGAIN,
            now=play.now,
        )
        self.plays[AGAIN] = new
        for message in play.sent:
            if isinstance(message, StartExecution | AdoptRuns):
                new.give(message)
        play.outgoing = [o for o in play.outgoing if o.stream != AGAIN]
        return True
