"""A history once recorded must always fold to the state it folded to then.

Each `.jsonl` is a stream of the decider that its folder is named after; the `.state` beside it
is what it folded to when it was recorded. Neither is edited after a release.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from perdure_common.decider import Decider
from perdure_common.shell.codec import decode_body
from perdure_recovery.app import service

DECIDERS: dict[str, Decider[Any, Any, Any]] = {d.name: d for d in service.deciders}
HISTORIES = sorted(Path(__file__).parent.glob("*/*.jsonl"))


class Row(msgspec.Struct):
    """A line of a history."""

    type: str
    data: msgspec.Raw


def test_every_kind_of_stream_has_a_history() -> None:
    assert {history.parent.name for history in HISTORIES} == set(DECIDERS)


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_folds_to_the_state_of_then(history: Path) -> None:
    lines = history.read_text(encoding="utf-8").splitlines()
    rows = [msgspec.json.decode(line, type=Row) for line in lines]
    decider = DECIDERS[history.parent.name]
    state = decider.fold([decode_body(row.type, bytes(row.data)) for row in rows])
    kind: Any = decider.initial.__class__
    expected = msgspec.json.decode(history.with_suffix(".state").read_bytes(), type=kind)
    assert state == expected
