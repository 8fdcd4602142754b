"""A clock that tests turn, for a real process: libfaketime, loaded into it before anything else.

Only the time of day is turned. What a process waits for, and its file system, stay as they are.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path


class TurnedClock:
    """The clock of the processes that run in `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.ahead = timedelta()
        self.turn(timedelta())

    def turn(self, ahead: timedelta) -> None:
        """Let the clock show another time from now on: `ahead` of ours, or behind."""
        self.ahead = ahead
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead.total_seconds():+.0f}\n", encoding="ascii")
        fresh.rename(self._file)

    def now(self) -> datetime:
        """Return what the clock shows."""
        return datetime.now(UTC) + self.ahead

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that give a process this clock."""
        library = resources.files("libfaketime") / "vendor/libfaketime/src/libfaketime.so.1"
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
