"""What is kept of an outsider's message: what became of it, and what its body was.

Tenant, source and id say that it is the same message, whatever it says. One that says something
else than the first is most often a sender whose ids are not unique, and is told in the log.
"""

import zlib
from collections.abc import Mapping

import msgspec
import structlog

from perdure_common.shell import codec
from perdure_common.shell.intake import Taken
from perdure_common.shell.ports import Record

ID_MAX = 200
"""Characters of a source or an id that the log shows."""

log = structlog.get_logger(__name__)


class _Kept(msgspec.Struct):
    body: str = ""


_kept = msgspec.json.Decoder(_Kept)


def settled(fields: Mapping[str, object], record: Record) -> str:
    """Return what is kept of a message, as JSON text: what became of it, and its digest."""
    return codec.answer({**fields, "body": _digest(record)})


def tell_if_other(kept: str, taken: Taken) -> None:
    """Log that a message that came again has another body than the first."""
    assert taken.outsider is not None
    _, source, message_id = taken.outsider
    before = _kept.decode(kept).body
    if before and before != _digest(taken.record):
        log.warning(
            "id_reused",
            topic=taken.record.topic,
            source=source[:ID_MAX],
            message_id=message_id[:ID_MAX],
            hint="the first message with this source and id took effect; this one did nothing",
        )


def _digest(record: Record) -> str:
    return f"{zlib.crc32(record.value):08x}"
