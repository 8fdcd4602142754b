"""How far a partition of tasks is finished: everything below an offset is done."""

from dataclasses import dataclass, field


@dataclass
class Prefix:
    """The finished prefix of one partition, though its tasks end in any order."""

    next: int
    """The first offset that is not done."""

    _open: dict[int, None] = field(default_factory=dict)
    _end: int = 0

    def __post_init__(self) -> None:
        self._end = self.next

    def begin(self, offset: int) -> bool:
        """Take an offset up; return False if it was taken up before."""
        if offset < self._end:
            return False
        self._open[offset] = None
        self._end = offset + 1
        return True

    def done(self, offset: int) -> None:
        """Note that an offset needs nothing more."""
        self._open.pop(offset, None)
        self.next = next(iter(self._open), self._end)

    @property
    def open(self) -> int:
        """How many offsets were taken up and are not done."""
        return len(self._open)
