"""What an execution leaves behind goes by itself: nothing of it waits for Python's collector.

The collector looks once a minute (`perdure_common.cycles`). What only it can free is memory that
grows all that minute, and is cold when it is used again.
"""

import gc
from typing import Any

import pytest
from playing import failed, http, node, play, workflow

DISPATCHED = workflow([http("a"), http("b")], ["t>a", "a>b"])
BROKEN = workflow([http("a", max_retries=0)], ["t>a"], recovery="off")
COUNTED = workflow(
    [
        node("each", "FLOW.FOREACH"),
        node("body", "ACTION.SET", parameters={"values": {"twice": "{{ $json.n * 2 }}"}}),
        node("if", "FLOW.IF", parameters={"condition": "{{ $json.twice > 2 }}"}),
    ],
    ["t>each", "each.item>body", "body>each", "each.done>if"],
)


def dispatched() -> None:
    played = play(DISPATCHED, {}, snapshots=False)
    played.answer("a")
    played.answer("b")
    assert played.state.status == "SUCCESS"


def broken() -> None:
    played = play(BROKEN, {}, snapshots=False)
    played.answer("a", error=failed("bad_data"))
    assert played.state.status == "ERROR"


def counted() -> None:
    data: Any = [{"json": {"n": n}} for n in range(5)]
    assert play(COUNTED, data, snapshots=False).state.status == "SUCCESS"


@pytest.mark.parametrize("story", [dispatched, broken, counted])
def test_an_execution_leaves_no_cycle_of_references(story: Any) -> None:
    story()  # what is made once and kept is made now
    gc.collect()
    gc.disable()
    try:
        story()
        assert gc.collect() == 0
    finally:
        gc.enable()
