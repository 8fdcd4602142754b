"""Executions that call each other, played without a shell: what one sends another one takes."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perdure_common.decider import Outgoing, Rejected
from perdure_contracts.flow import StartChild
from playing import EXECUTION_ID, Play, workflow_id

ENGINE = "perdure.engine.commands.v1"


@dataclass
class Family:
    """The executions of some workflows, by their ids; the first one is `first`."""

    workflows: Mapping[str, Mapping[str, Any]]
    plays: dict[str, Play] = field(default_factory=dict)
    refused: list[Rejected] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)
    held: list[type] = field(default_factory=list)
    """Kinds of messages that are kept back, to be delivered by `release`."""

    kept: deque[Outgoing] = field(default_factory=deque)

    def start(self, name: str, data: Any = None, **more: Any) -> Play:
        """Start an execution of a workflow, and let the others follow."""
        play = Play(self.workflows[name], snapshots=False, others=self.workflows)
        self.plays[EXECUTION_ID] = play.start(data, **more)
        self.settle()
        return play

    @property
    def first(self) -> Play:
        """The execution that was started from outside."""
        return self.plays[EXECUTION_ID]

    @property
    def children(self) -> list[Play]:
        """The others, the oldest first."""
        return [play for key, play in self.plays.items() if key != EXECUTION_ID]

    def settle(self) -> None:
        """Deliver what was sent, and let children begin, until nothing more follows."""
        moved = True
        while moved:
            moved = False
            for play in list(self.plays.values()):
                sent, play.outgoing = play.outgoing, []
                for outgoing in sent:
                    moved = True
                    if type(outgoing.message) in self.held:
                        self.kept.append(outgoing)
                    else:
                        self.deliver(outgoing)
                if play.state.status == "NEW":
                    moved = True
                    play.wake()

    def release(self) -> None:
        """Deliver what was kept back."""
        self.held.clear()
        while self.kept:
            self.deliver(self.kept.popleft())
        self.settle()

    def deliver(self, outgoing: Outgoing) -> None:
        """Let an execution take a message; others than the engine's are only kept."""
        message: Any = outgoing.message
        if outgoing.topic != ENGINE:
            self.others.append(message)
            return
        assert outgoing.stream == message.execution_id
        if isinstance(message, StartChild) and message.execution_id not in self.plays:
            by_id = {workflow_id(name): each for name, each in self.workflows.items()}
            found = self.workflows.get(message.workflow) or by_id.get(message.workflow)
            definition = found or self.first.definition
            self.plays[message.execution_id] = Play(
                definition,
                snapshots=False,
                others=self.workflows,
                execution_id=message.execution_id,
                now=self.first.now,
            )
        target = self.plays[message.execution_id]
        answer = target.ask(message)
        if isinstance(answer, Rejected):
            self.refused.append(answer)
