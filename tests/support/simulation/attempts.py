"""What attempts of nodes must keep at every step: their tasks, their answers, their time-outs.

A task is not done with before it is answered, claimed or too late. A time-out does not win
over an answer that was in the topic before it fell due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, Outbound, Record, TopicPartition
from perdure_contracts.engine import (
    NodeCanceled,
    NodeCompleted,
    NodeErrored,
    NodeResult,
    NodeTask,
    Scope,
)
from perdure_contracts.executions import AttemptFailed, NodeScheduled
from perdure_contracts.message import NAMES
from perdure_engine.runner.work import TASKS

from simulation.loop import now

SKEW_S = 1.2
"""The most by which the clocks of two processes differ, and a little."""

_RESULT = NAMES[NodeResult].encode()
_TASK = NAMES[NodeTask].encode()
_ENDS = {NAMES[kind] for kind in (AttemptFailed, NodeCompleted, NodeErrored, NodeCanceled)}


@dataclass
class _Attempt:
    token: str
    deadline: datetime
    settled: bool = False
    answered_at: datetime | None = None
    answered_on: TopicPartition = ("", 0)
    lost: bool = False


class Attempts:
    """Every attempt that the journal knows."""

    def __init__(self, breaks: Callable[[str, str], None]) -> None:
        self._breaks = breaks
        self._attempts: dict[str, _Attempt] = {}
        self._under_way: dict[tuple[str, str, Scope], _Attempt] = {}
        self._parked: set[str] = set()
        self._answers: dict[str, tuple[datetime, TopicPartition]] = {}
        self._tasks: dict[str, set[TopicPartition]] = {}
        self.unreliable: Callable[[TopicPartition], bool] = lambda place: False

    def forget(self) -> None:
        """Begin anew, as the tables do that a backup sets back."""
        self._attempts.clear()
        self._under_way.clear()
        self._parked.clear()

    def settled(self, token: str) -> bool:
        """Return whether the store has what became of an attempt, or its answer in a queue."""
        return self._attempts[token].settled or token in self._parked

    def row(self, row: JournalRow) -> str:
        """See a row of the engine; return the token of the attempt that it begins."""
        if row.type == NAMES[NodeScheduled]:
            event: NodeScheduled = codec.event_of(row)
            attempt = _Attempt(event.token, datetime.fromisoformat(event.deadline))
            if event.token in self._answers:  # in the time that a restore has forgotten
                attempt.answered_at, attempt.answered_on = self._answers[event.token]
                attempt.lost = True
            self._attempts[event.token] = attempt
            self._under_way[row.stream, event.node_id, event.scope] = attempt
            return event.token
        if row.type in _ENDS:
            ended = codec.event_of(row)
            attempt = self._under_way.pop((row.stream, ended.node_id, ended.scope), None)
            if attempt is not None:
                attempt.settled = True
            if isinstance(ended, AttemptFailed) and not ended.runner and attempt is not None:
                self._timed_out(ended, attempt)
        return ""

    def _timed_out(self, event: AttemptFailed, attempt: _Attempt) -> None:
        at = attempt.answered_at
        if event.error.type != "timeout" or at is None or attempt.lost:
            return
        if self.unreliable(attempt.answered_on):
            return  # its reader may have passed over what was written at offsets that came again
        late_s = (attempt.deadline - at).total_seconds()
        if late_s > SKEW_S:
            text = f"attempt {event.token} timed out; its answer was there {late_s:.3f} s before"
            self._breaks("wake", text)

    def record(self, record: Record) -> None:
        """See a record of any topic."""
        if record.topic == TASKS and codec.header(record.headers, "ce_type") == _TASK:
            token = codec.decode_body(_TASK.decode(), record.value).token
            self._tasks.setdefault(token, set()).add((record.topic, record.partition))
        if codec.header(record.headers, "ce_type") == _RESULT:
            result: NodeResult = codec.decode_body(_RESULT.decode(), record.value)
            attempt = self._attempts.get(result.token)
            self._answers.setdefault(result.token, (now(), (record.topic, record.partition)))
            if attempt is not None and attempt.answered_at is None:
                attempt.answered_at = now()
                attempt.answered_on = (record.topic, record.partition)

    def parked(self, record: Record) -> None:
        """See a record that waits behind a parked stream: it is safe there."""
        if codec.header(record.headers, "ce_type") == _RESULT:
            result: NodeResult = codec.decode_body(_RESULT.decode(), record.value)
            self._parked.add(result.token)

    def lost(self, record: Outbound | Record) -> None:
        """See a record that Kafka acknowledges and loses: an answer is given all the same."""
        if codec.header(record.headers, "ce_type") == _RESULT:
            result: NodeResult = codec.decode_body(_RESULT.decode(), record.value)
            attempt = self._attempts.get(result.token)
            if attempt is not None:
                attempt.answered_at = attempt.answered_at or now()
                attempt.lost = True

    def done_with(self, record: Record, claimed: Callable[[str], bool]) -> None:
        """See a task that runners will not read again."""
        if record.topic != TASKS or codec.header(record.headers, "ce_type") != _TASK:
            return
        if self.unreliable((record.topic, record.partition)):
            return  # what has the offset of a lost record is lost with it: its time-out comes
        task: NodeTask = codec.decode_body(_TASK.decode(), record.value)
        attempt = self._attempts.get(task.token)
        if attempt is None or attempt.settled or attempt.answered_at is not None:
            return
        if task.avoid and len(self._tasks[task.token]) > 1:
            return  # the runner that is to be avoided has passed it on
        late_s = (now() - datetime.fromisoformat(task.deadline)).total_seconds()
        if not claimed(task.token) and late_s < -SKEW_S:
            self._breaks("runner", f"task {task.token} is done with before it has an answer")
