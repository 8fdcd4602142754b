"""What was read and changed nothing: it is passed over unread, and its marks can wait."""

from dataclasses import replace

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import codec
from perdure_common.shell.flush import flush
from perdure_common.shell.intake import Intake, Link, Registry
from perdure_common.shell.ports import Heard, JournalRow, Record, ShardCommit
from perdure_common.shell.shard import Shard
from perdure_contracts.message import NAMES
from tally import TALLY, TENANT, Add, Added
from virtual_time import BEGIN

PLACE = ("perdure.tally.events.v1", 0)
HEARD = (*PLACE, "/tally/0")


async def claimed(store: MemoryStore) -> Shard:
    [claim] = await store.claim(["0"], "me")
    return Shard.of(claim)


def passed(shard: Shard) -> ShardCommit:
    commit = ShardCommit("0", shard.epoch, shard.next_seq, 1)
    commit.consumed[PLACE], commit.heard[HEARD] = 7, Heard(1024)
    return commit


async def test_marks_that_were_put_off_are_written_by_the_next_flush() -> None:
    store = MemoryStore("ledger")
    shard = await claimed(store)
    commit = passed(shard)
    assert commit.is_marks()
    shard.put_off(commit)
    assert shard.consumed[PLACE] == 7
    assert not (await claimed(store)).consumed
    shard.epoch += 1
    await flush(store, [shard])
    again = await claimed(store)
    assert again.consumed == {PLACE: 7}
    assert again.heard == {HEARD: Heard(1024)}
    commits = store.commits
    shard.epoch += 1
    await flush(store, [shard])
    assert store.commits == commits


async def test_marks_that_were_put_off_go_with_the_next_batch_which_knows_better() -> None:
    shard = await claimed(MemoryStore("ledger"))
    shard.put_off(passed(shard))
    after = ShardCommit("0", shard.epoch, shard.next_seq, 1)
    after.consumed[PLACE] = 9
    shard.catch_up(after)
    assert after.consumed == {PLACE: 9}
    assert after.heard == {HEARD: Heard(1024)}
    shard.absorb(after, (), flushed=False)
    assert not any(shard.unwritten)


def test_a_message_of_no_concern_is_passed_over_unread_and_its_number_counts() -> None:
    service = replace(TALLY, name="ledger", hears=(PLACE[0],), concerns=(Add,))
    intake = Intake(Registry(service), tenant_id=TENANT, partitions=2)
    row = JournalRow("0", 5, "a", 1, TENANT, NAMES[Added], "", "", BEGIN)
    said = codec.outbound("tally", row, *PLACE, codec.number(5, 0), 1024, row.type, b"no json", "a")
    taken = intake.take(Record(*PLACE, 3, said.value, said.key, said.headers))
    assert taken.passed_over == "not_heard"
    assert taken.link == Link("/tally/0", codec.number(5, 0), 1024)
