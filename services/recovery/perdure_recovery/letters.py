"""Dead letters: records that a service could not apply, kept until a person settles them.

A stream of its own for each letter. `retry` sends the record, bytes and all, to where it
came from, or lets the stream go on that it has parked; `drop` settles it without. Its body may
be edited before. A letter that waits is settled only once. A record that was sent again and fails
again is a new letter; a parked stream that stops again behind its record waits for the same one,
which is opened again: there are never two of them that wait for one record (ADR 0056).
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from perdure_common.decider import Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import routing_key
from perdure_common.scrub import scrub_json, scrub_text
from perdure_contracts.dead_letters import (
    DeadLetterEdited,
    DeadLetterKept,
    DeadLetterReopened,
    DeadLetterSettled,
    EditDeadLetter,
    KeepDeadLetter,
    LetterCommand,
    LetterEvent,
)
from perdure_contracts.shell import DeadLettered, Unpark

from .instants import parsed, written
from .letter_decisions import decision_rows, occurrence_of, settled_rows
from .letter_words import words_of
from .retention import FOREVER, SHORT

TABLE = "dead_letters"
ATTEMPTS = "x-attempts"
"""The header in which a record that is sent again says how often it was tried before."""
REDRIVEN = "x-redriven"
"""The header in which a record that is sent again names its letter: after a crash it may be sent
twice, and if it fails again both copies are one letter."""
LAST_MS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)
"""Senders choose the timestamps of records; later ones have no date."""
EDITED_MAX = 512 * 1024
"""Bytes of an edited body, so that the command that brings it, in base64, can be sent."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, the service that could not apply it, and how it was settled.

    `edited` is the body that it will be sent with instead of its own, `attempts` how often the
    record was tried, `told_by` the last message that told of it. It was `kept_at` that instant
    (empty: before that was said), and sent again so many times (`retries`). It is `decided` where
    there is a row of the decision about it.
    """

    service: str = ""
    letter: DeadLettered | None = None
    settled: str = ""
    edited: bytes | None = None
    attempts: int = 1
    told_by: str = ""
    kept_at: str = ""
    retries: int = 0
    decided: bool = False


def stream_of(command: LetterCommand) -> str:
    """Return the stream of a letter, in the shard of the partition that brings it."""
    if isinstance(command, KeepDeadLetter):
        record = command.letter
        return f"{routing_key(record.stream or record.topic)}/{command.letter_id}"
    return command.letter


def decide(
    state: Letter, command: LetterCommand, facts: Facts, now: datetime
) -> tuple[LetterEvent, ...] | Rejected:
    """Return that a letter is kept, or settled."""
    del facts  # a letter knows only itself
    if isinstance(command, KeepDeadLetter):
        return _kept(state, command, now)
    if state.letter is None:
        return Rejected(f"there is no dead letter {command.letter!r}", "not_found")
    if state.settled:
        return Rejected(
            f"dead letter {command.letter!r} was settled ({state.settled}); if its record fails "
            "again there is a new dead letter for it, or this one waits again",
            "already_settled",
        )
    if isinstance(command, EditDeadLetter):
        return _edited(state.letter, command, now)
    return (
        DeadLetterSettled(
            letter_id=command.letter.rpartition("/")[2],
            action=command.action,
            asked_by=command.asked_by,
            settled_at=written(now),
        ),
    )


def _kept(state: Letter, command: KeepDeadLetter, now: datetime) -> tuple[LetterEvent, ...]:
    """Keep what is told for the first time; open the letter of a parked stream again."""
    if state.letter is None:
        kept = DeadLetterKept(
            letter_id=command.letter_id,
            service=command.service,
            letter=command.letter,
            attempts=command.attempts,
            signature=command.signature,
            pattern_id=command.pattern_id,
            family_branch=command.family_branch,
            told_by=command.told_by,
            kept_at=written(now),
            decided=not command.pattern_id,
        )
        return (kept,)
    if not command.letter.stream or not _is_news(state.told_by, command.told_by):
        return ()
    return (
        DeadLetterReopened(
            letter_id=command.letter_id,
            letter=command.letter,
            attempts=state.attempts + 1,
            signature=command.signature,
            family_branch=command.family_branch,
            told_by=command.told_by,
        ),
    )


def _is_news(before: str, told_by: str) -> bool:
    """Return whether a message tells of something later: numbers of one shard only grow."""
    source, _, number = told_by.rpartition("/")
    source_before, _, number_before = before.rpartition("/")
    if source != source_before:
        return bool(told_by)
    return _numbers(number) > _numbers(number_before)


def _numbers(number: str) -> tuple[int, ...]:
    return tuple(
        int(each) if each.isdecimal() and len(each) < 20 else 0 for each in number.split(".")
    )


def _edited(
    record: DeadLettered, command: EditDeadLetter, now: datetime
) -> tuple[LetterEvent, ...] | Rejected:
    if record.stream:
        return Rejected(
            f"its record waits in the parked stream {record.stream!r} and goes on as it is; drop "
            "it and send the command that was meant",
            "not_editable",
        )
    if len(command.value) > EDITED_MAX:
        return Rejected(
            f"the body has {len(command.value):,} bytes; a record may have {EDITED_MAX:,}",
            "payload_too_large",
        )
    return (
        DeadLetterEdited(
            letter_id=command.letter.rpartition("/")[2],
            value=command.value,
            edited_by=command.edited_by,
            reason=scrub_text(command.reason),
            edited_at=written(now),
        ),
    )


def evolve(state: Letter, event: LetterEvent) -> Letter:
    """Return the letter as it stands after `event`."""
    if isinstance(event, DeadLetterEdited):
        return replace(state, edited=event.value)
    if isinstance(event, DeadLetterKept):
        return Letter(
            event.service,
            event.letter,
            attempts=event.attempts,
            told_by=event.told_by,
            kept_at=event.kept_at,
            decided=event.decided,
        )
    if isinstance(event, DeadLetterReopened):
        return replace(
            state,
            letter=event.letter,
            settled="",
            attempts=event.attempts,
            told_by=event.told_by,
        )
    if event.action == "retry":
        return replace(state, settled="redriven", retries=state.retries + 1)
    return replace(state, settled="dropped")


def project(state: Letter, recorded: Recorded[LetterEvent]) -> tuple[Upsert, ...]:
    """Return the letter's row, and those of the decision about it.

    Once it was settled it may be forgotten, so what opens a letter again writes all of it anew.
    """
    event = recorded.event
    key = {"id": event.letter_id}
    if isinstance(event, DeadLetterEdited):
        edited = {
            "edited_raw": event.value,
            "edited_payload": _payload(event.value),
            "edited_by": event.edited_by,
            "edited_at": event.edited_at,
            "edit_reason": event.reason,
        }
        return (Upsert(TABLE, key, edited),)
    if isinstance(event, DeadLetterSettled):
        row: dict[str, object] = {
            "status": state.settled,
            "processed_at": event.settled_at,
            "settled_by": event.asked_by,
            "retry_count": state.retries,
            "kept_until": parsed(event.settled_at) + SHORT,
        }
        return (Upsert(TABLE, key, row), *(settled_rows(event) if state.decided else ()))
    row = {
        **_row(state, recorded.stream, event),
        "tenant_id": recorded.tenant_id,
        "last_failed_at": recorded.recorded_at,
        "kept_until": FOREVER,
    }
    if state.kept_at:
        row["created_at"] = parsed(state.kept_at)
    at = written(recorded.recorded_at)
    decided = decision_rows(recorded.tenant_id, event, at) if state.decided else ()
    if isinstance(event, DeadLetterReopened):
        waits = {"processed_at": None, "settled_by": None, "retry_count": state.retries}
        return (Upsert(TABLE, key, {**row, **waits}), *decided)
    row |= {
        "pattern_id": event.pattern_id or None,
        "created_at": row.get("created_at", recorded.recorded_at),
    }
    return (Upsert(TABLE, key, row, new=True), *decided)


def _row(
    state: Letter, stream: str, event: DeadLetterKept | DeadLetterReopened
) -> dict[str, object]:
    """Return what a letter's row says of its record, and of what is wrong with it."""
    record = event.letter
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    received = datetime.fromtimestamp(min(max(0, record.received_ms), LAST_MS) / 1000, tz=UTC)
    return {
        "stream": stream,
        "service": state.service,
        "source": headers.get("ce_source", record.topic),
        "event_type": headers.get("ce_type", "unreadable"),
        "payload": _payload(record.value),
        "error": f"{record.code}: {record.reason}",
        **words_of(record.code),
        "attempts": event.attempts,
        "pattern_signature": event.signature,
        "family_branch": event.family_branch,
        "status": "waiting",
        "topic": record.topic,
        "partition": record.partition,
        "record_offset": record.offset,
        "raw": record.value,
        "record_key": record.key,
        "headers": {name: scrub_text(value) for name, value in headers.items()},
        "sha256": hashlib.sha256(record.value).hexdigest(),
        "parked_stream": record.stream,
        "received_at": received if record.received_ms else None,
    }


def route(state: Letter, recorded: Recorded[LetterEvent]) -> tuple[Outgoing, ...]:
    """Return what lets a settled letter's record, or its parked stream, go on.

    The pattern of a new one is told of it.
    """
    event, record = recorded.event, state.letter
    if isinstance(event, DeadLetterKept) and event.decided:
        return (occurrence_of(event, event.kept_at),)
    if not isinstance(event, DeadLetterSettled) or record is None:
        return ()
    if record.stream:
        place = (record.topic, record.partition, record.offset)
        unpark = Unpark(stream=record.stream, action=event.action, of=place)
        return (Outgoing(f"perdure.{state.service}.commands.v1", record.stream, unpark),)
    if event.action == "drop":
        return ()
    # Without its number it is heard as from outside: the numbered place is settled for good.
    ours = ("x-prev", ATTEMPTS, REDRIVEN)
    headers = tuple(each for each in record.headers if each[0] not in ours)
    headers = (*headers, (ATTEMPTS, b"%d" % attempts_of(record)))
    headers = (*headers, (REDRIVEN, event.letter_id.encode()))
    raw = (record.key, record.value if state.edited is None else state.edited, headers)
    return (Outgoing(record.topic, recorded.stream, raw=raw, partition=record.partition),)


def attempts_of(record: DeadLettered) -> int:
    """Return how often a record was tried: once, and as often as it says before that."""
    before = dict(record.headers).get(ATTEMPTS, b"")
    return 1 + (int(before) if before.isdigit() and len(before) < 6 else 0)


def copy_of(record: DeadLettered) -> tuple[str, str] | None:
    """Return what all copies of a record that was sent again have in common, None of any other.

    Its bytes are part of it: what somebody else sends under that name is a letter of its own.
    """
    sent_by = dict(record.headers).get(REDRIVEN, b"")
    if not sent_by or record.stream:
        return None
    return sent_by.decode("utf-8", "replace"), hashlib.sha256(record.value).hexdigest()


def _payload(value: bytes) -> Any:
    """Return the body for people: scrubbed JSON, None where it is none."""
    try:
        return scrub_json(json.loads(value))
    except (ValueError, RecursionError):
        return None
