"""Dead letters: records that a service could not apply, kept until a person settles them.

A stream of its own for each letter. `retry` sends the record, bytes and all, to where it
came from, or lets the stream go on that it has parked; `drop` settles it without. Its body may
be edited before. If it fails again it is a new letter, which is why a letter is settled only once.
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
    DeadLetterSettled,
    EditDeadLetter,
    KeepDeadLetter,
    LetterCommand,
    LetterEvent,
)
from perdure_contracts.shell import DeadLettered, Unpark

from .instants import written
from .letter_words import words_of

TABLE = "dead_letters"
ATTEMPTS = "x-attempts"
"""The header in which a record that is sent again says how often it was tried before."""
EDITED_MAX = 512 * 1024
"""Bytes of an edited body, so that the command that brings it, in base64, can be sent."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, the service that could not apply it, and how it was settled.

    `edited` is the body that it will be sent with instead of its own.
    """

    service: str = ""
    letter: DeadLettered | None = None
    settled: str = ""
    edited: bytes | None = None


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
        kept = DeadLetterKept(
            letter_id=command.letter_id,
            service=command.service,
            letter=command.letter,
            attempts=command.attempts,
            signature=command.signature,
            pattern_id=command.pattern_id,
            family_branch=command.family_branch,
        )
        return () if state.letter is not None else (kept,)
    if state.letter is None:
        return Rejected(f"there is no dead letter {command.letter!r}", "not_found")
    if state.settled:
        return Rejected(
            f"dead letter {command.letter!r} was settled ({state.settled}); if its record failed "
            "again there is a new dead letter for it",
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
        return Letter(event.service, event.letter)
    return replace(state, settled="redriven" if event.action == "retry" else "dropped")


def project(state: Letter, recorded: Recorded[LetterEvent]) -> tuple[Upsert, ...]:
    """Return the letter's row."""
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
        }
        again = {"retry_count": 1} if event.action == "retry" else {}
        return (Upsert(TABLE, key, row, add=again),)
    record = event.letter
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    received = datetime.fromtimestamp(record.received_ms / 1000, tz=UTC)
    row = {
        "tenant_id": recorded.tenant_id,
        "stream": recorded.stream,
        "service": event.service,
        "source": headers.get("ce_source", record.topic),
        "event_type": headers.get("ce_type", "unreadable"),
        "payload": _payload(record.value),
        "error": f"{record.code}: {record.reason}",
        **words_of(record.code),
        "attempts": event.attempts,
        "pattern_signature": event.signature,
        "pattern_id": event.pattern_id or None,
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
        "created_at": recorded.recorded_at,
    }
    return (Upsert(TABLE, key, row, new=True),)


def route(state: Letter, recorded: Recorded[LetterEvent]) -> tuple[Outgoing, ...]:
    """Return what lets a settled letter's record, or its parked stream, go on."""
    event, record = recorded.event, state.letter
    if not isinstance(event, DeadLetterSettled) or record is None:
        return ()
    if record.stream:
        unpark = Unpark(stream=record.stream, action=event.action)
        return (Outgoing(f"perdure.{state.service}.commands.v1", record.stream, unpark),)
    if event.action == "drop":
        return ()
    # Without its number it is heard as from outside: the numbered place is settled for good.
    headers = tuple(each for each in record.headers if each[0] not in ("x-prev", ATTEMPTS))
    headers = (*headers, (ATTEMPTS, b"%d" % attempts_of(record)))
    raw = (record.key, record.value if state.edited is None else state.edited, headers)
    return (Outgoing(record.topic, recorded.stream, raw=raw, partition=record.partition),)


def attempts_of(record: DeadLettered) -> int:
    """Return how often a record was tried: once, and as often as it says before that."""
    before = dict(record.headers).get(ATTEMPTS, b"")
    return 1 + (int(before) if before.isdigit() and len(before) < 6 else 0)


def _payload(value: bytes) -> Any:
    """Return the body for people: scrubbed JSON, None where it is none."""
    try:
        return scrub_json(json.loads(value))
    except (ValueError, RecursionError):
        return None
