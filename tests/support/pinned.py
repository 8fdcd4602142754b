"""What recorded histories make: rows of tables and messages, as they are pinned beside them.

`python tests/support/pinned.py` writes the `.effects` of histories that have none yet. One that is
there is never written again: delete it first, if a change is meant, and read the difference.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from perdure_common.decider import Decider, Recorded
from perdure_common.shell.codec import decode_body
from perdure_contracts.message import NAMES
from perdure_engine.app import service as engine
from perdure_recovery.app import service as recovery
from perdure_scheduler.app import service as scheduler

HERE = Path(__file__).parents[1] / "histories"
BEGAN = datetime(2026, 1, 1, 13, tzinfo=UTC)
"""When the first event of each history was recorded; each next one a second later."""

TENANT, STREAM = "tenant", "stream"


class Line(msgspec.Struct):
    """A line of a history."""

    type: str
    data: msgspec.Raw


DECIDERS: dict[tuple[str, str], Decider[Any, Any, Any]] = {
    (service.name, decider.name): decider
    for service in (engine, recovery, scheduler)
    for decider in service.deciders
}


def histories() -> Sequence[Path]:
    """Return every history of a stream."""
    return sorted(HERE.glob("*/*/*.jsonl"))


def pin_of(history: Path) -> Path:
    """Return the file that has what a history makes."""
    return history.with_suffix(".effects")


def effects(history: Path) -> str:
    """Return the rows that a history leaves in tables, and what it sends, as text to compare."""
    decider = DECIDERS[history.parts[-3], history.parts[-2]]
    state = decider.initial
    rows: dict[str, dict[str, Any]] = {}
    messages: list[Any] = []
    for n, text in enumerate(history.read_text("utf-8").splitlines()):
        line = msgspec.json.decode(text, type=Line)
        event = decode_body(line.type, bytes(line.data))
        state = decider.evolve(state, event)
        recorded = Recorded(event, TENANT, STREAM, n + 1, BEGAN + timedelta(seconds=n))
        for upsert in decider.project(state, recorded):
            key = " ".join(str(value) for value in upsert.key.values())
            lazy = " (lazy)" if upsert.lazy else ""
            row = rows.setdefault(f"{upsert.table} {key}{lazy}", {**upsert.key})
            row.update(upsert.set)
            for column, amount in upsert.add.items():
                row[column] = row.get(column, 0) + amount
        for sent in decider.route(state, recorded):
            name = "a record as it was" if sent.message is None else NAMES[type(sent.message)]
            messages.append(
                {
                    "of": f"{n + 1} {line.type}",
                    "to": f"{sent.topic} {sent.stream}",
                    "partition": sent.partition,
                    "type": name,
                    "message": sent.raw if sent.message is None else sent.message,
                }
            )
    made = msgspec.json.encode({"rows": rows, "messages": messages}, enc_hook=str)
    whole = json.loads(made)
    return json.dumps(whole, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write what is not pinned yet."""
    for history in histories():
        pin = pin_of(history)
        if not pin.exists():
            pin.write_text(effects(history), encoding="utf-8")
            print(pin.relative_to(HERE))


if __name__ == "__main__":
    main()
