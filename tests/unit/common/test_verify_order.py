"""What of one source took effect on a stream took effect in the order in which it was said (I5)."""

from datetime import UTC, datetime, timedelta

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, ShardCommit
from perdure_common.verify import journal
from perdure_common.verify.memory import MemoryArchive
from perdure_contracts.message import NAMES
from perdure_contracts.shell import CommandRejected
from tally import TALLY, Added

AT = datetime(2026, 1, 1, tzinfo=UTC)
ADDED = Added(amount=1, account="a")
REFUSED = CommandRejected(command_id="5", command="tally.add.v1", code="zero", reason="no")


async def told(*events: tuple[object, str]) -> list[str]:
    """Return what is said of a stream with these events, each by a message of `shop/0`."""
    store = MemoryStore("tally")
    (claim,) = await store.claim(["0"], "test")
    commit = ShardCommit("0", claim.epoch, 1, 1)
    for n, (event, number) in enumerate(events, 1):
        meta = codec.encode_meta(codec.Meta(cause=f"shop/0/{number}"))
        body = codec.encode_body(event).decode()
        at = AT + timedelta(seconds=n)
        commit.rows.append(JournalRow("0", n, "a", n, "t", NAMES[type(event)], body, meta, at))
    await store.commit([commit])
    found = await journal.streams(TALLY, MemoryArchive(store), AT + timedelta(days=1))
    return [f"{each.promise} {each.found}" for each in found.violations]


async def test_what_took_effect_before_an_earlier_message_is_told() -> None:
    assert await told((ADDED, "3.1"), (ADDED, "5.1")) == []
    (found,) = await told((ADDED, "5.1"), (ADDED, "3.1"))
    assert found == "I5 version 2 is by shop/0/3.1, after a later message"


async def test_what_was_refused_before_an_earlier_message_of_another_topic_came_is_not() -> None:
    """A start waits in its own topic; a cancel of it comes first, and finds nothing."""
    assert await told((REFUSED, "5.1"), (ADDED, "3.1")) == []
