"""A history of an execution once recorded must always fold to the state it folded to then.

They come from random executions (`tests/support/replaying.py`) whose events differ. Each `.jsonl`
is a stream, the `.state` beside it is what it folded to. Neither is edited after a release.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from every_node import groups, played, runs
from perdure_common.shell.codec import decode_body
from perdure_engine.executions.state import Execution
from perdure_engine.nodes.registry import SPECIFICATIONS
from playing import decider

HISTORIES = sorted((Path(__file__).parent / "execution").glob("*.jsonl"))


class Row(msgspec.Struct):
    """A line of a history."""

    type: str
    data: msgspec.Raw


def events_of(history: Path) -> list[Any]:
    lines = history.read_text(encoding="utf-8").splitlines()
    found = [msgspec.json.decode(line, type=Row) for line in lines]
    return [decode_body(row.type, bytes(row.data)) for row in found]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_folds_to_the_state_of_then(history: Path) -> None:
    state = decider.fold(events_of(history))
    expected = history.with_suffix(".state").read_text(encoding="utf-8").strip()
    assert msgspec.json.decode(expected, type=Execution) == state


def test_the_histories_have_every_event() -> None:
    seen: set[type] = {type(event) for history in HISTORIES for event in events_of(history)}
    assert seen == set(decider.events)


def test_the_histories_have_a_node_of_every_subtype_that_has_runs() -> None:
    """What an agent has (tools) runs in its attempts, and has no events of its own."""
    seen: set[tuple[str, str]] = set()
    for history in HISTORIES:
        for event in events_of(history):
            kind = (getattr(event, "node_type", ""), getattr(event, "node_subtype", ""))
            seen.add(kind)
    missing = [(each.node_type, each.subtype) for each in SPECIFICATIONS if runs(each)]
    assert [each for each in missing if each not in seen] == [], "see tests/support/every_node.py"


@pytest.mark.parametrize("group", list(groups()), ids=lambda group: group[0].subtype)
def test_nodes_of_every_subtype_run_to_their_ends_together(group: Any) -> None:
    play = played(*group)
    assert (play.state.status, set(play.statuses().values())) == ("SUCCESS", {"SUCCESS"})
