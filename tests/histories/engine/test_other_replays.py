"""A history of any other stream once recorded must always fold to the state it folded to then.

Each folder but that of executions is named after a decider. Each `.jsonl` in it is a stream, the
`.state` beside it is what it folded to when it was recorded. Neither is edited after a release.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from perdure_common.decider import Decider
from perdure_common.shell.codec import decode_body
from perdure_engine.app import service

DECIDERS: dict[str, Decider[Any, Any, Any]] = {
    decider.name: decider for decider in service.deciders if decider.name != "execution"
}
HISTORIES = sorted(
    history
    for history in Path(__file__).parent.glob("*/*.jsonl")
    if history.parent.name != "execution"
)


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


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_history_folds_to_the_state_of_then(history: Path) -> None:
    decider = DECIDERS[history.parent.name]
    state = decider.fold(events_of(history))
    expected = history.with_suffix(".state").read_text(encoding="utf-8").strip()
    assert msgspec.json.encode(state).decode() == expected
    kind: Any = decider.initial.__class__
    assert msgspec.json.decode(expected, type=kind) == state


@pytest.mark.parametrize("name", DECIDERS)
def test_the_histories_have_every_event(name: str) -> None:
    of_it = [history for history in HISTORIES if history.parent.name == name]
    seen: set[type] = {type(event) for history in of_it for event in events_of(history)}
    assert seen == set(DECIDERS[name].events)
