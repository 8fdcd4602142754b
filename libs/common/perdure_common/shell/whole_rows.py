"""Journal rows with the payloads that had left them, for whoever folds them."""

from collections.abc import Sequence

import msgspec

from perdure_common.shell import codec
from perdure_common.shell.payloads import MissingPayload, PayloadStore, whole
from perdure_common.shell.ports import JournalRow

MARK = '"payloads":'
"""What stands in the meta of a row with references; almost none has any."""


async def whole_rows(payloads: PayloadStore, rows: Sequence[JournalRow]) -> Sequence[JournalRow]:
    """Return the rows; those that name payloads with their whole events.

    A row whose payload is gone says so when its event is asked for (`codec.event_of`).
    """
    if not any(MARK in row.meta for row in rows):
        return rows
    return [await whole_row(payloads, row) if MARK in row.meta else row for row in rows]


async def whole_row(payloads: PayloadStore, row: JournalRow) -> JournalRow:
    """Return a row with its whole event, if it names payloads."""
    if MARK not in row.meta:
        return row
    refs = codec.decode_meta(row.meta).payloads
    if not refs:
        return row
    texts = await payloads.get(row.tenant_id, {sha256 for _, sha256 in refs})
    try:
        event: object = whole(codec.decode_body(row.type, row.data), refs, texts)
    except MissingPayload as error:
        event = error
    more = sum(len(text) for text in texts.values())
    return msgspec.structs.replace(row, whole=event, more=more)
