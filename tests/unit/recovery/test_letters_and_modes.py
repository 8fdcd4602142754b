"""Dead letters go back where they came from, once; modes are set by people."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from perdure_common.decider import Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import partition_of
from perdure_common.shell import fold
from perdure_contracts.dead_letters import (
    DeadLetterKept,
    EditDeadLetter,
    KeepDeadLetter,
    LetterCommand,
    RedriveDeadLetter,
)
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Envelope
from perdure_contracts.patterns import NoteOccurrence
from perdure_contracts.recovery import ModeSet, SetMode
from perdure_contracts.shell import NO_SUCH_TOPIC, DeadLettered, Unpark
from perdure_recovery import letter_words, letters, modes
from perdure_recovery.experience import policy_in
from perdure_recovery.hear import hear
from recovery_story import Story, failed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = DeadLettered(
    topic="perdure.triggers.v1",
    partition=3,
    offset=17,
    code="invalid_body",
    reason="the body is no JSON",
    value=b'{"password": "hunter2", "n": 1}',
    key=b"k",
    headers=(("ce_type", b"perdure.trigger.manual"), ("ce_source", b"/me"), ("x-prev", b"4")),
    received_ms=1_767_225_600_000,
)
ENVELOPE = Envelope(
    id="scheduler/0/1.1",
    source="/scheduler/triggers/3",
    type="shell.dead-lettered.v1",
    tenant_id="t",
    topic="perdure.triggers.v1.dlt",
)


class Box:
    """One letter's stream; what is decided about it is in test_letter_decisions.py."""

    def __init__(self, record: DeadLettered = RECORD) -> None:
        kept = hear(record, ENVELOPE)
        assert isinstance(kept, KeepDeadLetter)
        self.kept = kept
        self.stream = letters.stream_of(kept)
        self.state = letters.Letter()
        self.rows: list[Upsert] = []
        self.sent: list[Outgoing] = []

    def does(self, command: LetterCommand) -> Rejected | int:
        """Return the refusal, or how many events followed."""
        decided = letters.decide(self.state, command, {}, NOW)
        if isinstance(decided, Rejected):
            return decided
        for event in decided:
            self.state = letters.evolve(self.state, event)
            recorded = Recorded(event, "t", self.stream, len(self.rows) + 1, NOW)
            upserts = letters.project(self.state, recorded)
            self.rows += [each for each in upserts if each.table == letters.TABLE]
            messages = letters.route(self.state, recorded)
            self.sent += [m for m in messages if not isinstance(m.message, NoteOccurrence)]
        return len(decided)

    def settle(self, action: Any = "retry") -> Rejected | int:
        command = RedriveDeadLetter(letter=self.stream, asked_by="ann", action=action)
        assert letters.stream_of(command) == self.stream
        return self.does(command)


def test_a_letter_is_kept_with_its_bytes_and_shown_without_its_secrets() -> None:
    box = Box()
    assert box.does(box.kept) == 1
    assert box.does(box.kept) == 0
    (row,) = box.rows
    assert row.set["raw"] == RECORD.value
    assert row.set["payload"] == {"password": "<secret>", "n": 1}
    assert (row.set["source"], row.set["event_type"]) == ("/me", "perdure.trigger.manual")
    assert row.set["service"] == "scheduler"
    assert row.set["status"] == "waiting"


@pytest.mark.parametrize("received_ms", [10**17, -(10**17), 2**63 - 1, -1])
def test_a_letter_is_kept_whenever_its_record_says_that_it_was_sent(received_ms: int) -> None:
    box = Box(replace(RECORD, received_ms=received_ms))
    assert box.does(box.kept) == 1
    received = box.rows[0].set["received_at"]
    assert isinstance(received, datetime)
    assert 1970 <= received.year <= 9999


def test_a_letter_lies_in_the_shard_that_hears_of_it() -> None:
    told_to = f"{RECORD.topic}/{RECORD.partition}/{RECORD.offset}"
    assert partition_of(Box().stream, 8) == partition_of(told_to, 8)
    parked = replace(RECORD, stream="0190-execution/fetch")
    assert partition_of(Box(parked).stream, 64) == partition_of(parked.stream, 64)


def test_a_redriven_record_leaves_as_it_came_but_without_its_number() -> None:
    box = Box()
    box.does(box.kept)
    assert box.settle() == 1
    (sent,) = box.sent
    assert (sent.topic, sent.partition) == (RECORD.topic, RECORD.partition)
    tried = (("x-attempts", b"1"), ("x-redriven", box.kept.letter_id.encode()))
    assert sent.raw == (RECORD.key, RECORD.value, RECORD.headers[:2] + tried)
    row = box.rows[-1]
    assert row.key == {"id": box.kept.letter_id}
    assert (row.set["status"], row.set["retry_count"]) == ("redriven", 1)


def test_a_record_that_fails_again_says_how_often_it_was_tried() -> None:
    record = RECORD
    for tried in (1, 2, 3):
        box = Box(record)
        box.does(box.kept)
        assert box.rows[0].set["attempts"] == tried
        box.settle()
        raw = box.sent[0].raw
        assert raw is not None
        record = replace(RECORD, headers=raw[2], offset=RECORD.offset + tried)
    odd = replace(RECORD, headers=(("x-attempts", b"-1e9"),))
    assert Box(odd).kept.attempts == 1


def redriven_by(box: Box) -> DeadLettered:
    """Return the record as it fails again where it was sent to."""
    box.does(box.kept)
    box.settle()
    raw = box.sent[0].raw
    assert raw is not None
    return replace(RECORD, value=raw[1], headers=raw[2], offset=RECORD.offset + 100)


def test_a_record_that_was_sent_again_twice_because_of_a_crash_is_one_letter() -> None:
    first = redriven_by(Box())
    second = replace(first, offset=first.offset + 1)
    box, copy = Box(first), Box(second)
    assert copy.kept.letter_id == box.kept.letter_id != Box().kept.letter_id
    assert box.does(box.kept) == 1
    assert box.does(copy.kept) == 0
    assert box.settle() == 1
    assert box.does(copy.kept) == 0, "it was settled, and its copy with it"


def test_each_time_a_record_is_sent_again_it_may_become_another_letter() -> None:
    first = redriven_by(Box())
    second = redriven_by(Box(first))
    assert [name for name, _ in second.headers].count("x-redriven") == 1
    ids = {Box(each).kept.letter_id for each in (RECORD, first, second)}
    assert len(ids) == 3


def test_what_somebody_else_sends_under_the_name_of_a_letter_is_a_letter_of_its_own() -> None:
    again = redriven_by(Box())
    ours = Box(again).kept.letter_id
    assert Box(replace(again, value=b"theirs")).kept.letter_id != ours
    assert Box(replace(again, stream="0190-execution/fetch")).kept.letter_id != ours


def test_letters_that_are_alike_have_one_signature_whatever_is_in_them() -> None:
    def of(**changes: Any) -> str:
        box = Box(replace(RECORD, **changes))
        box.does(box.kept)
        return str(box.rows[0].set["pattern_signature"])

    assert of().startswith("v1:")
    assert of(offset=18, value=b"{", reason="the body is no JSON") == of()
    assert of(reason="no number at byte 17") == of(reason="no number at byte 4711")
    assert of(reason="the body is too deep") != of()
    assert of(code="unreadable") != of()


def test_a_letter_of_before_that_was_journalled_without_a_signature_still_has_a_row() -> None:
    kept = DeadLetterKept(letter_id="l", service="scheduler", letter=RECORD)
    state = letters.evolve(letters.Letter(), kept)
    (row,) = letters.project(state, Recorded(kept, "t", "s", 1, NOW))
    assert (row.set["attempts"], row.set["pattern_signature"]) == (1, "")
    assert row.set["pattern_id"] is None


def test_a_letter_that_a_failure_made_leads_to_its_pattern() -> None:
    story = Story()
    stopped = ErrorFacts(type="cancelled", message="stopped by ann", dependency="http:shop")
    story.hears(failed(error=stopped, attempt=3))
    [seen] = [each for each in story.sent if isinstance(each, NoteOccurrence)]
    (kept,) = [each for each in story.sent if isinstance(each, KeepDeadLetter)]
    assert kept.attempts == 3
    assert kept.pattern_id == seen.pattern_id
    assert kept.signature == seen.pattern.signature
    assert kept.family_branch != ""


def test_a_parked_stream_goes_on_instead() -> None:
    box = Box(replace(RECORD, topic="perdure.engine.events.v1", stream="e/n"))
    box.does(box.kept)
    box.settle()
    (sent,) = box.sent
    assert sent == Outgoing(
        "perdure.scheduler.commands.v1",
        "e/n",
        Unpark(stream="e/n", action="retry", of=("perdure.engine.events.v1", 3, 17)),
    )


def test_a_dropped_letter_sends_nothing_but_still_frees_its_stream() -> None:
    box = Box()
    box.does(box.kept)
    box.settle("drop")
    assert box.sent == []
    assert box.rows[-1].set["status"] == "dropped"
    parked = Box(replace(RECORD, stream="e/n"))
    parked.does(parked.kept)
    parked.settle("drop")
    place = (RECORD.topic, RECORD.partition, RECORD.offset)
    assert parked.sent[0].message == Unpark(stream="e/n", action="drop", of=place)


PARKED = replace(RECORD, topic="perdure.engine.commands.v1", stream="e1", code="poison")


def told(record: DeadLettered, number: str) -> KeepDeadLetter:
    """Return what recovery hears of a dead letter that a shard tells under a number."""
    kept = hear(record, replace(ENVELOPE, id=f"engine/1/{number}", source="/engine/1"))
    assert isinstance(kept, KeepDeadLetter)
    return kept


def test_the_letter_of_a_parked_stream_that_stops_again_waits_again() -> None:
    box, kept = Box(PARKED), told(PARKED, "7.1")
    box.does(kept)
    for number, tried in (("9.1", 2), ("10.1", 3)):
        assert box.settle() == 1
        assert box.does(told(replace(PARKED, reason="still bad"), number)) == 1
        row = box.rows[-1]
        assert row.key == {"id": kept.letter_id}
        assert (row.set["status"], row.set["attempts"]) == ("waiting", tried)
        assert row.set["error"] == "poison: still bad"
        assert (row.set["processed_at"], row.set["settled_by"]) == (None, None)
        assert row.set["last_failed_at"] == NOW
        assert row.set["retry_count"] == tried - 1, "how often it was sent again stays"
    assert box.settle("drop") == 1
    actions = [each.message.action for each in box.sent if isinstance(each.message, Unpark)]
    assert actions == ["retry", "retry", "drop"]
    again = box.settle()
    assert isinstance(again, Rejected)
    assert again.code == "already_settled"


@pytest.mark.parametrize("number", ["7.1", "6.900", "7.0"])
def test_what_was_told_before_opens_no_letter_again(number: str) -> None:
    box = Box(PARKED)
    box.does(told(PARKED, "7.1"))
    box.settle()
    assert box.does(told(PARKED, number)) == 0
    assert box.state.settled == "redriven"


def test_a_letter_that_waits_and_is_told_again_is_one_letter_that_says_the_newest() -> None:
    box = Box(PARKED)
    box.does(told(PARKED, "7.1"))
    assert box.does(told(replace(PARKED, reason="other"), "8.1")) == 1
    assert (box.rows[-1].set["status"], box.rows[-1].set["attempts"]) == ("waiting", 2)
    assert box.settle() == 1
    assert len(box.sent) == 1


def test_a_record_without_a_stream_that_is_told_again_opens_no_letter() -> None:
    box = Box()
    box.does(told(RECORD, "7.1"))
    box.settle()
    assert box.does(told(RECORD, "9.1")) == 0, "it was read again after a restore"


def test_a_message_with_an_odd_id_is_no_news() -> None:
    box = Box(PARKED)
    box.does(told(PARKED, "7.1"))
    for number in ("².1", "", "9" * 5_000, "x"):
        assert box.does(told(PARKED, number)) == 0
    nobody = hear(PARKED, replace(ENVELOPE, id=""))
    assert isinstance(nobody, KeepDeadLetter)
    assert box.does(nobody) == 0


def test_answers_that_lie_in_no_topic_have_letters_of_their_own() -> None:
    first = replace(PARKED, offset=-1, headers=(("ce_id", b"answer-1"),))
    second = replace(first, headers=(("ce_id", b"answer-2"),))
    assert told(first, "7.1").letter_id == told(first, "9.1").letter_id
    assert told(first, "7.1").letter_id != told(second, "9.1").letter_id
    assert told(PARKED, "7.1").letter_id == told(replace(PARKED, headers=()), "9.1").letter_id


def test_records_that_could_not_be_sent_have_letters_of_their_own() -> None:
    record = replace(RECORD, code=NO_SUCH_TOPIC, offset=-1, headers=())
    first, second, again = told(record, "7.1"), told(record, "9.1"), told(record, "7.1")
    assert first.letter_id == again.letter_id != second.letter_id


def test_a_letter_is_settled_once_and_must_exist() -> None:
    box = Box()
    missing = box.settle()
    assert isinstance(missing, Rejected)
    assert missing.code == "not_found"
    box.does(box.kept)
    box.settle()
    again = box.settle()
    assert isinstance(again, Rejected)
    assert again.code == "already_settled"


def test_bodies_that_are_no_json_are_shown_as_none() -> None:
    for value in (b"\xff{", b"[" * 100_000, json.dumps("x").encode()[:-1]):
        box = Box(replace(RECORD, value=value))
        box.does(box.kept)
        assert box.rows[0].set["payload"] is None


def test_people_set_modes_and_are_told_when_nothing_changes() -> None:
    command = SetMode(workspace_id="ws", mode="off", set_by="ann", reason="night")
    assert modes.stream_of(command) == "ws/mode"
    decided = modes.decide(modes.UNSET, command, {}, NOW)
    assert not isinstance(decided, Rejected)
    (event,) = decided
    assert event == ModeSet(
        workspace_id="ws",
        mode="off",
        set_by="ann",
        reason="night",
        people="ask",
        inherits=("sampler", "people"),
    )
    state = modes.evolve(modes.Mode(), event)
    assert isinstance(modes.decide(state, command, {}, NOW), Rejected)
    (row,) = modes.project(state, Recorded(event, "t", "ws/mode", 1, NOW))
    assert row.key == {"tenant_id": "t", "workspace_id": "ws"}
    assert row.set["mode"] == "off"
    assert modes.route(state, Recorded(event, "t", "ws/mode", 1, NOW)) == ()


def set_mode(state: modes.Mode, **fields: Any) -> tuple[modes.Mode, dict[str, Any]]:
    """Return the mode after somebody has set it, and its row."""
    told: dict[str, Any] = {"workspace_id": "ws", "mode": "auto", "set_by": "ann", **fields}
    command = SetMode(**told)
    decided = modes.decide(state, command, {}, NOW)
    assert not isinstance(decided, Rejected)
    (event,) = decided
    state = modes.evolve(state, event)
    (row,) = modes.project(state, Recorded(event, "t", "ws/mode", 1, NOW))
    return state, {**row.key, **row.set}


def test_who_sets_the_mode_of_a_workspace_leaves_it_the_rest_of_what_holds_for_all() -> None:
    _, everywhere = set_mode(
        modes.UNSET, workspace_id="*", mode="auto", people="hold", sampler="bandit"
    )
    state, row = set_mode(modes.UNSET, mode="approve")
    assert policy_in({"modes": [everywhere, row]}, "ws") == ("bandit", "hold")
    state, row = set_mode(state, mode="approve", people="tell")
    assert policy_in({"modes": [everywhere, row]}, "ws") == ("bandit", "tell")
    _, row = set_mode(state, mode="observe")
    assert policy_in({"modes": [everywhere, row]}, "ws") == ("bandit", "tell"), "it stays"
    assert policy_in({"modes": [row]}, "ws") == ("rules", "tell")
    assert policy_in({}, "ws") == ("rules", "ask")


def test_an_edited_letter_is_sent_with_its_new_body_and_keeps_the_old_one() -> None:
    box = Box()
    box.does(box.kept)
    edit = EditDeadLetter(
        letter=box.stream, value=b'{"password": "s3cret", "n": 2}', edited_by="ann", reason="n"
    )
    assert box.does(hear(edit, ENVELOPE)) == 1  # pyright: ignore[reportArgumentType]
    assert box.rows[-1].set["edited_raw"] == edit.value
    assert box.rows[-1].set["edited_payload"] == {"password": "<secret>", "n": 2}
    assert box.sent == []
    assert box.settle() == 1
    (sent,) = box.sent
    assert sent.raw is not None
    assert sent.raw[1] == edit.value
    assert box.state.letter == RECORD


def test_a_letter_is_edited_neither_after_it_was_settled_nor_while_a_stream_waits() -> None:
    box = Box()
    box.does(box.kept)
    box.settle()
    edit = EditDeadLetter(letter=box.stream, value=b"{}", edited_by="ann")
    refused = box.does(edit)
    assert isinstance(refused, Rejected)
    assert refused.code == "already_settled"
    parked = Box(replace(RECORD, stream="e1"))
    parked.does(parked.kept)
    refused = parked.does(replace(edit, letter=parked.stream))
    assert isinstance(refused, Rejected)
    assert refused.code == "not_editable"


def test_a_body_that_no_command_can_bring_is_refused() -> None:
    box = Box()
    box.does(box.kept)
    value = b"x" * (letters.EDITED_MAX + 1)
    refused = box.does(EditDeadLetter(letter=box.stream, value=value, edited_by="ann"))
    assert isinstance(refused, Rejected)
    assert refused.code == "payload_too_large"


GIVEN = re.compile(r'(?m)(?:Rejected\([^)]*|_blame\([^)]*|^ {8,}code = )"([a-z_]+)"')


def codes_of_the_shell() -> set[str]:
    """Return the codes that the shell's own source gives to records that it refuses."""
    texts = (each.read_text("utf-8") for each in Path(fold.__file__).parent.glob("*.py"))
    lines = "\n".join(texts)
    return {*GIVEN.findall(lines), *re.findall(r'code = .* else "([a-z_]+)"', lines)}


def test_every_code_of_a_dead_letter_has_a_type_and_words() -> None:
    codes = codes_of_the_shell()
    assert {"poison", "unreadable", "invalid_body", "data_refused", "too_large"} <= codes
    assert set(letter_words.TYPES) == set(letter_words.ACTIONS)
    assert set(letter_words.TYPES) >= codes, "say in letter_words.py what it means"


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [("invalid_body", "validation", "dead-letters edit"), ("poison", "code_bug", "report"),
     ("quota_exhausted", "quota_exhausted", "quota"), ("cancelled", "cancelled", "send the record"),
     ("new_code", "unknown", "send the record")],
)  # fmt: skip
def test_a_letter_says_what_it_is_and_what_people_are_to_do(
    code: str, kind: str, says: str
) -> None:
    box = Box(replace(RECORD, code=code))
    box.does(box.kept)
    row = box.rows[0].set
    assert row["failure_type"] == kind
    assert row["recovery_strategy"] == "escalate_human"
    assert says in str(row["user_action_required"])
