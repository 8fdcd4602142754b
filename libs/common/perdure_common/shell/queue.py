"""Records that wait in memory for a batch, counted by what they weigh."""

from collections import deque
from collections.abc import Iterable

from perdure_common.shell.ports import Record

OVERHEAD_BYTES = 400
"""What a record takes beside its value: key, headers, the objects."""


class Queue(deque[Record]):
    """A queue of records that knows how many bytes it holds. Only these methods change it."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        super().__init__()
        self.bytes = 0
        for record in records:
            self.append(record)

    def append(self, x: Record, /) -> None:
        """Put a record at the end."""
        self.bytes += weight(x)
        super().append(x)

    def popleft(self) -> Record:
        """Take the first record."""
        record = super().popleft()
        self.bytes -= weight(record)
        return record


def weight(record: Record) -> int:
    """Return how many bytes a record takes in memory, about."""
    return len(record.value or b"") + OVERHEAD_BYTES
