"""Every message that was ever released is still understood, with everything that it said.

Events of streams are recorded in histories, one folder for each kind of stream; all other messages
(commands, tasks, what shells say to each other) in `messages.jsonl`, each with every field set.
A new message needs a line there, or a history; neither is edited after a release.
"""

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts import schemas
from perdure_contracts.message import NAMES, TYPES
from perdure_engine.app import service as engine
from perdure_recovery.app import service as recovery
from perdure_scheduler.app import service as scheduler

HERE = Path(__file__).parent
FILES = [HERE / "messages.jsonl", *sorted(HERE.glob("*/*/*.jsonl"))]


class Row(msgspec.Struct):
    """A line of a history."""

    type: str
    data: msgspec.Raw


def rows(path: Path) -> list[Row]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [msgspec.json.decode(line, type=Row) for line in lines]


def lacking(recorded: Any, now: Any) -> list[str]:
    """Return which fields of a recorded value are not in what it is understood as."""
    if not isinstance(recorded, dict) or not isinstance(now, dict):
        return [] if recorded == now else [f"{recorded!r} became {now!r}"]
    old, new = cast("dict[str, Any]", recorded), cast("dict[str, Any]", now)
    found = [f"{name} is gone" for name in old if name not in new]
    for name in old.keys() & new.keys():
        found += [f"{name}: {each}" for each in lacking(old[name], new[name])]
    return found


def whole(value: Any) -> Any:
    """Return a message as JSON has it, with the fields that are as they are by default."""
    if isinstance(value, list | tuple):
        return [whole(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {str(key): whole(each) for key, each in cast("dict[Any, Any]", value).items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: whole(getattr(value, name)) for name in value.__dataclass_fields__}
    return msgspec.to_builtins(value)


def test_every_event_of_every_decider_stands_in_a_history_of_its_kind() -> None:
    missing: list[str] = []
    for service in (engine, recovery, scheduler):
        for decider in service.deciders:
            files = (HERE / service.name / decider.name).glob("*.jsonl")
            seen = {row.type for path in files for row in rows(path)}
            missing += sorted({NAMES[event] for event in decider.events} - seen)
    assert missing == []


def test_every_message_is_recorded_somewhere() -> None:
    schemas.generate()  # it loads every module that defines messages
    recorded = {row.type for path in FILES for row in rows(path)}
    ours = {name for name, cls in TYPES.items() if cls.__module__.startswith("perdure_contracts.")}
    assert ours - recorded == set()


# Histories of the other services hold fields on purpose that nobody knows.
@pytest.mark.parametrize(
    "path", [FILES[0], *sorted(HERE.glob("engine/*/*.jsonl"))], ids=lambda path: path.stem
)
def test_what_was_recorded_is_understood_and_loses_nothing(path: Path) -> None:
    for row in rows(path):
        now = whole(decode_body(row.type, encode_body(decode_body(row.type, bytes(row.data)))))
        assert lacking(msgspec.json.decode(row.data), now) == [], row.type
