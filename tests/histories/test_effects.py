"""A recorded history makes the rows and messages that it made then.

The `.effects` beside each history has them (tests/support/pinned.py writes it once). A change of a
projection or of a route shows as a difference here: tables of those who upgrade are not written
anew, and `perdure verify` compares what was sent with what the core makes of it now.
"""

from pathlib import Path

import pytest
from pinned import effects, histories, pin_of

HISTORIES = histories()


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: f"{path.parts[-2]}-{path.stem}")
def test_a_recorded_history_makes_the_rows_and_messages_of_then(history: Path) -> None:
    assert pin_of(history).exists(), "pin it: python tests/support/pinned.py"
    assert effects(history) == pin_of(history).read_text("utf-8")


def test_every_pin_belongs_to_a_history() -> None:
    there = {pin for history in HISTORIES for pin in [pin_of(history)]}
    assert set(HISTORIES[0].parents[2].glob("*/*/*.effects")) == there
