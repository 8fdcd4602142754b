"""What gates must keep at every commit: no more executions are open than have slots.

Counted from the starts and ends in the journal, without a look at the gates themselves.
"""

from collections.abc import Callable, Mapping

from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow
from perdure_contracts.engine import (
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    ExecutionStarted,
)
from perdure_contracts.flow import ChildAccepted
from perdure_contracts.message import NAMES

_ENDS = {NAMES[kind] for kind in (ExecutionCompleted, ExecutionFailed, ExecutionCanceled)}


class Admission:
    """The open executions that count at gates.

    A child for which its parent waits runs under its parent's slot; one that a person revived
    takes a slot whether one is free or not.
    """

    def __init__(self, breaks: Callable[[str, str], None]) -> None:
        self._breaks = breaks
        self.open_max: int | None = None
        """How many may be open in all, if that is bounded."""

        self.open_max_of: Mapping[str, int] = {}
        """How many of a workflow may be open, for those that have a key."""

        self._open: dict[str, str] = {}
        self._children: set[str] = set()
        self.most = 0

    def row(self, row: JournalRow, *, check: bool = True) -> None:
        """See a row of the engine's journal; rows of before are not in the order of all shards."""
        if row.type == NAMES[ExecutionStarted]:
            event: ExecutionStarted = codec.event_of(row)
            self._open[row.stream] = event.workflow_id
            if check:
                self._check(row.stream)
        elif row.type == NAMES[ChildAccepted]:
            child: ChildAccepted = codec.event_of(row)
            if child.wait:
                self._children.add(row.stream)
        elif row.type in _ENDS or row.type == NAMES[ExecutionRevived]:
            self._open.pop(row.stream, None)

    def _check(self, stream: str) -> None:
        counted = [w for each, w in self._open.items() if each not in self._children]
        self.most = max(self.most, len(counted))
        if self.open_max is not None and len(counted) > self.open_max:
            self._breaks("gate", f"{stream} is open beside {len(counted) - 1} others")
        workflow_id = self._open[stream]
        most = self.open_max_of.get(workflow_id)
        of_workflow = sum(each == workflow_id for each in self._open.values())
        if most is not None and of_workflow > most:
            self._breaks("gate", f"{stream} is open beside {of_workflow - 1} of its workflow")

    def forget(self) -> None:
        """Begin anew, as the tables do that a backup sets back.

        Whoever was let in after the backup hears of it again, while its slot may go to another
        one first (docs/adr/0008): from now on this does not count.
        """
        self.open_max, self.open_max_of = None, {}
        self._open.clear()
        self._children.clear()
