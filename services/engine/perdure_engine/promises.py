"""What must hold of every execution's stream, whatever was asked of it; for `perdure verify`.

I1: an attempt begins once and is answered once, a node run ends once, all attempts of a node
have one idempotency key. I4: nothing follows the end but a revival, and nothing
a purge. I7 is about gates (gates/promises.py).
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from perdure_common.decider import Recorded
from perdure_contracts.admission import (
    ExecutionQueued,
    ExecutionRefused,
    GatePassed,
    SlotAwaited,
    SlotEvicted,
    SlotLeft,
    SlotRefused,
    SlotTaken,
)
from perdure_contracts.control import (
    CancelBegun,
    ErrorWorkflowStarted,
    ExecutionPaused,
    ExecutionResumed,
    RerunBegun,
    RunsAdopted,
)
from perdure_contracts.engine import (
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    ExecutionStarted,
    NodeCanceled,
    NodeCompleted,
    NodeErrored,
    NodeSkipped,
)
from perdure_contracts.executions import (
    AttemptFailed,
    IterationStarted,
    NodeScheduled,
    RegionEntered,
    RegionExited,
)
from perdure_contracts.files import FilesReferred
from perdure_contracts.flow import ChildAccepted, ChildEndTold, ChildRefused, WaitBegun
from perdure_contracts.kept import (
    StaticDataRefused,
    StaticDataUpdated,
    VariableDeleted,
    VariableSet,
)
from perdure_contracts.purging import ExecutionPurged
from perdure_contracts.stopping import ExecutionsStopped
from perdure_contracts.suspending import RunSuspended
from perdure_contracts.templates import TemplateRetired, TemplateSaved
from perdure_contracts.undoing import NodeCompensated
from perdure_contracts.workflows import DeploymentNoted, WorkflowSaved

from .executions.state import place_of
from .gates.promises import GateJudge

Broken: TypeAlias = tuple[str, str, str]

_ENDS = (ExecutionCompleted, ExecutionFailed, ExecutionCanceled, ExecutionRefused)
_OTHERS = (
    *(WorkflowSaved, DeploymentNoted, TemplateSaved, TemplateRetired, ExecutionsStopped),
    *(VariableSet, VariableDeleted, StaticDataUpdated, StaticDataRefused),
)
_GATES = (SlotTaken, SlotAwaited, SlotRefused, SlotEvicted, SlotLeft)
_BEFORE = (ExecutionCanceled, ExecutionRefused, FilesReferred, GatePassed, RunsAdopted)
"""What may happen to an execution that is there and has not begun."""
_RUN_ENDS = (NodeCompleted, NodeErrored, NodeSkipped, NodeCanceled)


class Judge:
    """Sees one stream; implements `perdure_common.service.Judge`."""

    def __init__(self) -> None:
        self._ended = ""
        self._begun = False
        self._accepted = False
        self._runs: dict[str, int] = {}
        self._open: dict[str, bool] = {}
        self._keys: dict[str, str] = {}
        self._attempts: dict[tuple[str, int], int] = {}
        self._under_way: dict[tuple[str, int], str] = {}
        self._completed: set[tuple[str, int, int]] = set()
        self._loops: set[str] = set()
        self._paused = self._canceling = False
        self._gate = GateJudge()

    def see(self, recorded: Recorded[Any]) -> Iterable[Broken]:
        """Return what the next event breaks."""
        event = recorded.event
        if isinstance(event, _OTHERS):
            return
        if isinstance(event, _GATES):
            yield from self._gate.see(event)
            return
        if isinstance(event, ExecutionPurged):
            yield from self._purged()
            return
        yield from self._order(event)
        if isinstance(event, NodeScheduled):
            yield from self._scheduled(event)
        elif isinstance(event, AttemptFailed | RunSuspended):
            yield from self._answered(event)
        elif isinstance(event, _RUN_ENDS):
            yield from self._run_ended(event)
        elif isinstance(event, WaitBegun):
            yield from self._waits(event)
        elif isinstance(event, RegionEntered):
            yield from self._entered(event)
        elif isinstance(event, RegionExited):
            self._loops.discard(place_of(event.node_id, event.scope))
        elif isinstance(event, NodeCompensated):
            self._keys.pop(place_of(event.node_id, event.scope), None)  # nothing is repeated
        elif isinstance(event, ExecutionRevived):
            self._open.update(dict.fromkeys(self._loops, True))  # these were stopped only

    def _purged(self) -> Iterable[Broken]:
        """A purge comes once, after the end; what was before it may be gone already."""
        if (self._begun or self._accepted) and not self._ended:
            yield "I4", "its purge", "it was purged before it had ended"
        if self._ended == ExecutionPurged.__name__:
            yield "I4", "its purge", "it was purged more than once"
        self._begun, self._ended = True, ExecutionPurged.__name__

    def _order(self, event: object) -> Iterable[Broken]:
        name = type(event).__name__
        if self._ended == ExecutionPurged.__name__:
            yield "I4", "its purge", f"{name} came after it"
            return
        if isinstance(event, ChildAccepted | ChildRefused):
            again = self._accepted and isinstance(event, ChildAccepted)
            if self._begun or self._ended or again:
                yield "I4", "its beginning", f"{name} came though it was there"
            self._accepted = True
            self._ended = name if isinstance(event, ChildRefused) else ""
            return
        if isinstance(event, ExecutionQueued):
            if self._begun or self._ended:
                yield "I4", "its beginning", "it was queued after it had begun"
            self._accepted = True
            return
        if isinstance(event, ExecutionStarted):
            if self._begun:
                yield "I4", "its beginning", "it began more than once"
            self._begun = True
        elif not self._begun and not (self._accepted and isinstance(event, _BEFORE)):
            yield "I4", "its beginning", f"{name} came before it began"
            self._begun = True
        if isinstance(event, ExecutionRevived):
            if not self._ended:
                yield "I4", "a revival", "it was revived before it had ended"
            self._ended = ""
        elif isinstance(event, RerunBegun | ErrorWorkflowStarted | ChildEndTold):
            return  # something is told to another execution; this one stays as it is
        elif self._ended:
            yield "I4", "its end", f"{name} came after {self._ended}"
        if isinstance(event, _ENDS):
            self._ended = name
        yield from self._pauses(event)

    def _pauses(self, event: object) -> Iterable[Broken]:
        """A pause is ended by its resumption or by the execution's end; nothing begins in it."""
        if isinstance(event, ExecutionPaused | ExecutionResumed):
            paused = isinstance(event, ExecutionPaused)
            if paused == self._paused:
                yield "I4", "a pause", f"{type(event).__name__} came twice"
            self._paused = paused
        elif isinstance(event, CancelBegun):
            self._canceling = True
        elif isinstance(event, _ENDS):
            self._paused = self._canceling = False
        elif self._canceling and isinstance(event, NodeScheduled | IterationStarted):
            yield "I4", "a cancel", f"node {event.node_id} began while it was being cancelled"
        elif self._paused and isinstance(event, NodeScheduled | IterationStarted):
            yield "I4", "a pause", f"node {event.node_id} began while it was paused"

    def _scheduled(self, event: NodeScheduled) -> Iterable[Broken]:
        place = place_of(event.node_id, event.scope)
        where, run = _where(event), (place, event.run)
        known = self._runs.get(place, 0)
        if event.run < known or (event.run == known and not self._open.get(place)):
            yield "I1", where, f"attempt {event.attempt} began after the run had ended"
        self._runs[place], self._open[place] = event.run, True
        last = self._attempts.get(run, 0)
        if event.attempt != last + 1:
            yield "I1", where, f"attempt {event.attempt} began after attempt {last}"
        if self._under_way.get(run):
            yield "I1", where, f"attempt {event.attempt} began before the one before was answered"
        self._attempts[run], self._under_way[run] = event.attempt, event.token
        if event.idempotency_key:
            key = self._keys.setdefault(place, event.idempotency_key)
            if key != event.idempotency_key:
                yield "I1", where, f"its effects have the keys {key} and {event.idempotency_key}"

    def _entered(self, event: RegionEntered) -> Iterable[Broken]:
        """A LOOP or FOREACH has a run that is open while it goes round."""
        place = place_of(event.node_id, event.scope)
        if not event.body:
            return
        if event.run <= self._runs.get(place, 0):
            yield "I1", _where(event), "it began more than once"
        self._runs[place], self._open[place] = event.run, True
        self._attempts[place, event.run] = 1
        self._loops.add(place)

    def _waits(self, event: WaitBegun) -> Iterable[Broken]:
        """A run that waits is open, once."""
        place = place_of(event.node_id, event.scope)
        if event.run <= self._runs.get(place, 0):
            yield "I1", _where(event), "it began more than once"
        self._runs[place], self._open[place] = event.run, True
        self._attempts[place, event.run] = 1

    def _answered(self, event: AttemptFailed | RunSuspended) -> Iterable[Broken]:
        run = (place_of(event.node_id, event.scope), event.run)
        if self._under_way.get(run) != event.token:
            yield (
                "I1",
                _where(event),
                f"attempt {event.attempt} was answered, but was not under way",
            )
        self._under_way[run] = ""

    def _run_ended(
        self, event: NodeCompleted | NodeErrored | NodeSkipped | NodeCanceled
    ) -> Iterable[Broken]:
        place = place_of(event.node_id, event.scope)
        where, run = _where(event), (place, event.run)
        if self._runs.get(place) == event.run and self._open.get(place) is False:
            yield "I1", where, f"it ended more than once, at last by {type(event).__name__}"
        if event.run < self._runs.get(place, 0):
            yield "I1", where, f"it ended after run {self._runs[place]} had begun"
        self._runs[place], self._open[place] = event.run, False
        if isinstance(event, NodeErrored):
            self._loops.discard(place)
        if isinstance(event, NodeCompleted):
            if (place, event.run, event.attempt) in self._completed:
                yield "I1", where, f"attempt {event.attempt} completed more than once"
            self._completed.add((place, event.run, event.attempt))
            if not event.inline and not self._attempts.get(run):
                yield "I1", where, "it completed without an attempt"
        self._under_way[run] = ""


def _where(
    event: NodeScheduled
    | AttemptFailed
    | RunSuspended
    | NodeCompleted
    | NodeErrored
    | NodeSkipped
    | NodeCanceled
    | RegionEntered
    | WaitBegun,
) -> str:
    return f"node {place_of(event.node_id, event.scope)}, run {event.run}"
