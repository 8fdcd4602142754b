"""Dead letters: records that a service could not apply, kept until a person settles them.

A stream of its own for each letter. `retry` sends the record, bytes and all, to where it
came from, or lets the stream go on that it has parked; `drop` settles it without. If it
fails again it is a new letter, which is why a letter is settled only once.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perdure_common.decider import Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import routing_key
from perdure_common.scrub import scrub_json, scrub_text
from perdure_contracts.recovery import (
    DeadLetterKept,
    DeadLetterSettled,
    KeepDeadLetter,
    LetterCommand,
    LetterEvent,
)
from perdure_contracts.shell import DeadLettered, Unpark

from .instants import written

TABLE = "dead_letters"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, the service that could not apply it, and how it was settled."""

    service: str = ""
    letter: DeadLettered | None = None
    settled: str = ""


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
            letter_id=command.letter_id, service=command.service, letter=command.letter
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
    return (
        DeadLetterSettled(
            letter_id=command.letter.rpartition("/")[2],
            action=command.action,
            asked_by=command.asked_by,
            settled_at=written(now),
        ),
    )


def evolve(state: Letter, event: LetterEvent) -> Letter:
    """Return the letter as it stands after `event`."""
    if isinstance(event, DeadLetterKept):
        return Letter(event.service, event.letter)
    return Letter(state.service, state.letter, "redriven" if event.action == "retry" else "dropped")


def project(state: Letter, recorded: Recorded[LetterEvent]) -> tuple[Upsert, ...]:
    """Return the letter's row."""
    event = recorded.event
    key = {"id": event.letter_id}
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
        "retry_count": 0,
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
    headers = tuple((name, value) for name, value in record.headers if name != "x-prev")
    raw = (record.key, record.value, headers)
    return (Outgoing(record.topic, recorded.stream, raw=raw, partition=record.partition),)


def _payload(value: bytes) -> Any:
    """Return the body for people: scrubbed JSON, None where it is none."""
    try:
        return scrub_json(json.loads(value))
    except (ValueError, RecursionError):
        return None
