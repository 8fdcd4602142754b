"""Numbers of a shard that were skipped by a fence or purged are not missing; others are."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow
from perdure_common.verify import journal
from perdure_common.verify.archive import Marks, Purged
from perdure_contracts.message import NAMES
from perdure_contracts.shell import ShardRestored
from tally import TALLY, Added

AT = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, LAST = 4, 1_000
"""The numbers that a restore has skipped."""


def row(seq: int, event: object) -> JournalRow:
    body = codec.encode_body(event).decode()
    name = NAMES[type(event)]
    return JournalRow(
        "0", seq, f"s{seq}", 1, "t", name, body, codec.encode_meta(codec.Meta(cause="c")), AT
    )


async def missing(rows: list[JournalRow], purged: int, last_sent: int = LAST + 1) -> list[str]:
    """Return what is said about a shard of which these rows are left."""

    async def page(shard: str, after: int, limit: int) -> list[JournalRow]:
        return [each for each in rows if each.seq > after][:limit]

    async def gone() -> dict[str, Purged]:
        return {"0": Purged(purged, AT)} if purged else {}

    sent = {("shop", 3): codec.number(last_sent, 1)}
    archive: Any = SimpleNamespace(store=SimpleNamespace(journal=page), purged=gone)
    marks = Marks("0", 1, rows[-1].seq + 1, 0, 0, {}, {}, sent)
    findings, unused = await journal.shards(TALLY, archive, [marks])
    assert unused["0"] == [range(FIRST, LAST + 1)]
    return [each.found for each in findings.violations]


def left(*before: int) -> list[JournalRow]:
    restored = ShardRestored(shard="0", first=FIRST, last=LAST)
    added = Added(amount=1, account="a")
    return [*(row(seq, added) for seq in before), row(LAST + 1, restored), row(LAST + 2, added)]


async def test_what_a_fence_has_skipped_is_not_missing() -> None:
    assert await missing(left(1, 2, 3), purged=0) == []


async def test_a_place_that_was_not_told_of_a_fence_is_named() -> None:
    (found,) = await missing(left(1, 2, 3), purged=0, last_sent=3)
    assert found == "shop/3 was not told which numbers were skipped for a restore"


async def test_what_was_purged_right_before_a_fence_is_counted_as_purged() -> None:
    assert await missing(left(1), purged=2) == []
    (found,) = await missing(left(1), purged=1)
    assert found == "2 numbers are missing, of which 1 were purged"


async def test_what_is_missing_before_a_fence_is_told() -> None:
    (found,) = await missing(left(1), purged=0)
    assert "number 4" in found
