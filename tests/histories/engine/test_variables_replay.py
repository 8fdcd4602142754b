"""A history of variables once recorded must always fold to the state it folded to then.

Each `.jsonl` is a stream, the `.state` beside it is what it folded to when it was recorded.
Neither is edited after a release.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from perdure_common.shell.codec import decode_body
from perdure_engine.keeping.deciders import of_variables as decider

HISTORIES = sorted((Path(__file__).parent / "variables").glob("*.jsonl"))


class Row(msgspec.Struct):
    """A line of a history."""

    type: str
    data: msgspec.Raw


def events_of(history: Path) -> list[Any]:
    rows = [
        msgspec.json.decode(line, type=Row)
        for line in history.read_text(encoding="utf-8").splitlines()
    ]
    return [decode_body(row.type, bytes(row.data)) for row in rows]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_folds_to_the_state_of_then(history: Path) -> None:
    state = decider.fold(events_of(history))
    expected = history.with_suffix(".state").read_text(encoding="utf-8").strip()
    assert msgspec.json.encode(state).decode() == expected
    assert msgspec.json.decode(expected, type=type(decider.initial)) == state


def test_the_histories_have_every_event() -> None:
    seen: set[type] = {type(event) for history in HISTORIES for event in events_of(history)}
    assert seen == set(decider.events)
