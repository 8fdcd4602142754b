"""What a step of the engine's core takes, counted instead of timed: the same on every machine.

    python tests/support/step_costs.py

prints, for each chain of the benchmark `core`, the function calls, events, rows and bytes of the
journal of one execution. Compiled modules hide their calls, so it runs from the sources.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

os.environ["PERDURE_NATIVE"] = "off"
sys.path.insert(0, str(Path(__file__).parents[2]))

from perdure_engine.definition import validate

from bench.core import CHAINS, WORKFLOW_ID, Shell, starts


def counted(work: Callable[[], None]) -> int:
    """Return how many functions are called, of Python and of C."""
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        del frame, argument
        counts[event] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counts["call"] + counts["c_call"]


def costs(definition: dict[str, Any]) -> dict[str, int]:
    """Return what one execution of a chain takes, once everything is loaded."""
    version = {
        "definition": definition,
        "sha256": validate(definition).sha256,
        "workspace_id": WORKFLOW_ID,
    }
    first, second = starts(2)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    Shell().run(first, version, now)
    shell = Shell()
    calls = counted(lambda: shell.run(second, version, now))
    return {
        "calls": calls,
        "events": shell.events,
        "rows": len(shell.rows),
        "journal_bytes": shell.written,
    }


if __name__ == "__main__":
    print(json.dumps({name: costs(definition) for name, definition in CHAINS.items()}))
