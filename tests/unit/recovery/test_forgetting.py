"""What is settled, over or at rest says until when it is kept; what is open is kept for good."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from perdure_common.decider import Recorded, Upsert
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts.breakers import BreakerState, BreakerTurned
from perdure_contracts.dead_letters import (
    DeadLetterKept,
    DeadLetterReopened,
    DeadLetterSettled,
    EditDeadLetter,
    KeepDeadLetter,
    LetterCommand,
    LetterEvent,
    RedriveDeadLetter,
)
from perdure_contracts.deciding import FailureCounted, IncidentClosed, IncidentEvent, IncidentOpened
from perdure_contracts.shell import DeadLettered
from perdure_recovery import breakers, incidents, letters
from perdure_recovery.cleaning import CLEANED
from perdure_recovery.retention import FOREVER, SHORT

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = (Path(__file__).parents[3] / "migrations/recovery/schema.sql").read_text("utf-8")
RECORD = DeadLettered(
    topic="perdure.engine.commands.v1", partition=3, offset=17, code="poison", reason="bad",
    value=b'{"n": 1}', stream="e1",
)  # fmt: skip
KEEP = KeepDeadLetter(letter_id="l", service="engine", letter=RECORD, told_by="/engine/1/7.1")
STREAM = letters.stream_of(KEEP)
Row = dict[str, object]


class Story:
    """One letter's stream, an hour from each command to the next, and its row."""

    def __init__(self) -> None:
        self.state = letters.Letter()
        self.now = NOW
        self.row: Row | None = None
        self.upserts: list[Upsert] = []

    def does(self, command: LetterCommand) -> "Story":
        self.now += timedelta(hours=1)
        decided = letters.decide(self.state, command, {}, self.now)
        assert isinstance(decided, tuple)
        self.hears(decided)
        return self

    def hears(self, events: Sequence[LetterEvent]) -> None:
        for event in events:
            self.state = letters.evolve(self.state, event)
            at = self.now + timedelta(seconds=1)  # it is written down a little later
            recorded = Recorded(event, "t", STREAM, len(self.upserts) + 1, at)
            upserts = letters.project(self.state, recorded)
            for upsert in (each for each in upserts if each.table == letters.TABLE):
                assert not upsert.add
                self.row = {**(self.row or {}), **upsert.set}
                self.upserts.append(upsert)

    def settle(self, action: Any = "retry") -> "Story":
        return self.does(RedriveDeadLetter(letter=STREAM, asked_by="ann", action=action))

    def kept_until(self) -> object:
        assert self.row is not None
        return self.row["kept_until"]


def again(number: int) -> KeepDeadLetter:
    return replace(KEEP, told_by=f"/engine/1/{number}.1")


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_a_letter_that_was_settled_is_kept_for_a_time_and_one_that_waits_for_good(
    action: str,
) -> None:
    story = Story().does(KEEP)
    assert story.kept_until() == FOREVER
    story.settle(action)
    assert story.kept_until() == story.now + SHORT
    story.does(again(8))
    assert story.kept_until() == FOREVER, "it waits again"
    story.settle("drop")
    assert story.kept_until() == story.now + SHORT


def test_an_edited_letter_waits_and_is_kept() -> None:
    story = Story()
    story.does(replace(KEEP, letter=replace(RECORD, stream="")))
    story.does(EditDeadLetter(letter=STREAM, value=b"{}", edited_by="ann"))
    assert story.kept_until() == FOREVER


def test_a_letter_that_is_opened_again_after_it_was_forgotten_has_the_row_that_it_had() -> None:
    kept, forgotten = Story(), Story()
    for story in (kept, forgotten):
        story.does(KEEP).settle().does(again(8)).settle()
    forgotten.row = None
    for story in (kept, forgotten):
        story.does(again(9))
    assert forgotten.row is not None
    assert kept.row is not None
    unset = {"pattern_id"}  # the column is empty unless it is set, as here
    assert {k: v for k, v in kept.row.items() if k not in unset} == forgotten.row
    assert kept.row["pattern_id"] is None
    assert forgotten.row["created_at"] == NOW + timedelta(hours=1)
    assert forgotten.row["retry_count"] == 2
    for story in (kept, forgotten):
        story.settle()
    assert forgotten.row["retry_count"] == kept.row["retry_count"] == 3
    assert set(required("dead_letters")) - {"id"} <= set(forgotten.row)


def test_a_letter_from_before_its_instant_was_said_has_the_row_that_it_had() -> None:
    story = Story()
    old = DeadLetterKept(letter_id="l", service="engine", letter=RECORD, told_by=KEEP.told_by)
    assert b"kept_at" not in encode_body(old)
    assert decode_body("recovery.dead-letter-kept.v1", encode_body(old)) == old
    story.hears([old])
    first = story.upserts[-1]
    assert first.new
    assert first.set["created_at"] == story.now + timedelta(seconds=1)
    settled_at = "2026-01-02T00:00:00.000000Z"
    story.hears(
        [DeadLetterSettled(letter_id="l", action="retry", asked_by="ann", settled_at=settled_at)]
    )
    assert story.kept_until() == datetime(2026, 1, 2, tzinfo=UTC) + SHORT
    reopened = DeadLetterReopened(
        letter_id="l", letter=RECORD, attempts=2, signature="", family_branch="",
        told_by="/engine/1/8.1",
    )  # fmt: skip
    story.hears([reopened])
    assert "created_at" not in story.upserts[-1].set, "the one of then stays"
    assert set(required("dead_letters")) - {"id"} <= set(story.upserts[-1].set)


def test_an_incident_that_is_over_is_kept_for_a_time() -> None:
    line = "p/incident"
    opened = IncidentOpened(
        line=line, incident_id="i", pattern_id="p", workspace_id="ws", signature="s",
        dependency="http:x", failure_type="network", failures=10, opened_at=at(NOW),
    )  # fmt: skip
    over = NOW + timedelta(hours=2)
    closed = IncidentClosed(
        line=line, incident_id="i", pattern_id="p", failures=11, opened_at=at(NOW),
        closed_at=at(over),
    )  # fmt: skip
    counted = FailureCounted(line=line, pattern_id="p", failure_id="f", counted_at=at(NOW))
    late = replace(counted, failure_id="g", counted_at=at(over))
    story: list[IncidentEvent] = [opened, counted, closed, late]
    state, rows = incidents.Incident(), [Upsert("", {}, {})]
    for event in story:
        state = incidents.evolve(state, event)
        rows += incidents.project(state, Recorded(event, "t", line, 1, over))
    until = [row.set["kept_until"] for row in rows if "kept_until" in row.set]
    assert until == [FOREVER, over + SHORT]


@pytest.mark.parametrize(
    ("state", "until"), [("closed", NOW + SHORT), ("open", FOREVER), ("half_open", FOREVER)]
)
def test_a_breaker_at_rest_is_kept_for_a_time_and_its_row_can_be_made_anew(
    state: BreakerState, until: datetime
) -> None:
    turned = BreakerTurned(
        breaker_id="b", dependency="http:x", credential="", state=state, until=None, times=1,
        reason="r", turned_at=at(NOW),
    )  # fmt: skip
    (row,) = breakers.project(breakers.Breaker(), Recorded(turned, "t", "b/breaker", 1, NOW))
    assert row.set["kept_until"] == until
    assert set(required("recovery_breakers")) <= {*row.key, *row.set}


def test_the_database_cleans_the_tables_of_which_a_replay_leaves_out_old_rows() -> None:
    function = SCHEMA.split("FUNCTION cleanup_old_recovery_data(")[1].split("$function$")[1]
    named = re.search(r"FOREACH name IN ARRAY ARRAY\[(.*?)\]", function, re.DOTALL)
    assert named is not None
    assert set(re.findall(r"'(\w+)'", named[1])) == set(CLEANED)
    assert {"dead_letters", "recovery_incidents", "recovery_breakers"} < set(CLEANED)
    for table in CLEANED:
        assert "\n    kept_until timestamp with time zone" in described(table)


def at(moment: datetime) -> str:
    return moment.isoformat()


def described(table: str) -> str:
    """Return what the picture of the schema says of a table."""
    return SCHEMA.split(f"\nTABLE {table}\n")[1].split("\n\n")[0]


def required(table: str) -> list[str]:
    """Return the columns that a row cannot do without."""
    lines = (line.strip() for line in described(table).splitlines())
    return [
        line.split()[0] for line in lines if line.endswith(" NOT NULL") and " DEFAULT " not in line
    ]
