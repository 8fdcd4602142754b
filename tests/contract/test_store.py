"""What every store must do, whatever it is made of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.decider import Lookup, Upsert
from perdure_common.shell import retention
from perdure_common.shell.ports import (
    Delivery,
    Fenced,
    Heard,
    JournalRow,
    ParkedMessage,
    Refused,
    Repeated,
    ShardCommit,
    Snapshot,
    Store,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
TENANT = "00000000-0000-7000-8000-000000000001"
OTHER = "00000000-0000-7000-8000-000000000009"


def row(seq: int, stream: str = "s", version: int = 1, shard: str = "0", **rest: Any) -> JournalRow:
    made = JournalRow(shard, seq, stream, version, TENANT, "shop.sold.v1", "{}", "", NOW)
    return structs.replace(made, **rest)


async def begun(store: Store, *shards: str) -> None:
    await store.claim(shards or ("0",), "me")


# Claiming and fencing ------------------------------------------------------------------


async def test_a_claim_of_a_new_shard_makes_it(store: Store) -> None:
    [claim] = await store.claim(["triggers/3"], "me")
    assert (claim.shard, claim.epoch, claim.next_seq) == ("triggers/3", 1, 1)
    assert (claim.published_seq, claim.projected_seq, claim.format) == (0, 0, 1)
    assert claim.recorded_at is None
    assert not (claim.consumed or claim.heard or claim.sent or claim.wakes or claim.parked)


async def test_each_claim_raises_the_epoch(store: Store) -> None:
    await store.claim(["0", "1"], "me")
    claims = await store.claim(["1", "2"], "you")
    assert [(c.shard, c.epoch) for c in claims] == [("1", 2), ("2", 1)]
    assert await store.epochs(["0", "1", "2", "3"]) == {"0": 1, "1": 2, "2": 1}


async def test_a_stale_epoch_is_fenced_and_nothing_is_written(store: Store) -> None:
    await begun(store)
    await begun(store)
    upsert = Upsert("latest", {"tenant_id": TENANT, "place": "p"}, new=True)
    commit = ShardCommit("0", 1, 1, 1, rows=[row(1)], upserts=[upsert])
    with pytest.raises(Fenced) as fenced:
        await store.commit([commit])
    assert fenced.value.shards == ("0",)
    assert await store.journal("0", 0, 10) == []
    assert await store.look_up(TENANT, [Lookup("latest", {}, ("place",))]) == [[]]


async def test_a_shard_that_nobody_claimed_is_fenced(store: Store) -> None:
    with pytest.raises(Fenced):
        await store.commit([ShardCommit("0", 1, 1, 1)])


async def test_a_batch_that_begins_at_another_number_is_fenced(store: Store) -> None:
    await begun(store)
    await store.commit([ShardCommit("0", 1, 1, 1, rows=[row(1)])])
    with pytest.raises(Fenced):
        await store.commit([ShardCommit("0", 1, 1, 1, rows=[row(1, "t")])])
    with pytest.raises(Fenced):
        await store.commit([ShardCommit("0", 1, 3, 1, rows=[row(3, "t")])])


async def test_one_fenced_shard_stops_the_whole_batch_and_is_named(store: Store) -> None:
    await begun(store, "0", "1", "2")
    await begun(store, "1")
    batch = [
        ShardCommit(shard, 1, 1, 1, rows=[row(1, f"s{shard}", shard=shard)]) for shard in "210"
    ]
    with pytest.raises(Fenced) as fenced:
        await store.commit(batch)
    assert fenced.value.shards == ("1",)
    assert all([await store.journal(shard, 0, 9) == [] for shard in "012"])
    await store.commit([commit for commit in batch if commit.shard != "1"])
    assert [len(await store.journal(shard, 0, 9)) for shard in "012"] == [1, 0, 1]


async def test_a_claim_finds_all_that_was_written(store: Store) -> None:
    await begun(store)
    commit = ShardCommit("0", 1, 1, 3, 1, 0)
    commit.rows = [row(1), row(2, version=2, recorded_at=NOW + timedelta(seconds=1))]
    commit.consumed = {("a", 0): 7, ("b", 1): 9}
    commit.heard = {("a", 0, "/x/0"): Heard(5, 0), ("a", 0, "/x/1"): Heard(6, 8)}
    commit.sent = {("c", 4): 1024}
    commit.wakes = {"s": NOW, "t": NOW, "none": None}
    await store.commit([commit])
    await store.commit([ShardCommit("0", 1, 3, 3, wakes={"t": None})])
    [claim] = await store.claim(["0"], "you")
    assert (claim.epoch, claim.next_seq, claim.published_seq) == (2, 3, 1)
    assert (claim.projected_seq, claim.format) == (0, 3)
    assert claim.recorded_at == NOW + timedelta(seconds=1)
    assert (claim.consumed, claim.heard, claim.sent) == (commit.consumed, commit.heard, commit.sent)
    assert claim.wakes == {"s": NOW}


async def test_shards_do_not_see_each_others_marks(store: Store) -> None:
    await begun(store, "0", "1")
    zero = ShardCommit("0", 1, 1, 1, consumed={("a", 0): 7}, wakes={"s": NOW})
    await store.commit([zero, ShardCommit("1", 1, 1, 1, consumed={("a", 1): 8})])
    claims = await store.claim(["1", "0"], "you")
    assert [c.consumed for c in claims] == [{("a", 1): 8}, {("a", 0): 7}]
    assert [c.wakes for c in claims] == [{}, {"s": NOW}]


async def test_marks_only_move_forward_except_where_a_topic_was_cut(store: Store) -> None:
    await begun(store)
    high = ShardCommit("0", 1, 1, 5, 40, 30)
    high.consumed, high.sent = {("a", 0): 7}, {("c", 4): 10}
    high.heard = {("a", 0, "/x/0"): Heard(5, 9)}
    low = ShardCommit("0", 1, 1, 4, 39, 29)
    low.consumed, low.sent = {("a", 0): 6}, {("c", 4): 9}
    low.heard = {("a", 0, "/x/0"): Heard(4, 0)}
    for commit in (high, low, ShardCommit("0", 1, 1, 1)):
        await store.commit([commit])
    [claim] = await store.claim(["0"], "me")
    assert (claim.published_seq, claim.projected_seq, claim.format) == (40, 30, 5)
    assert (claim.consumed, claim.sent, claim.heard) == (low.consumed, high.sent, high.heard)


async def test_a_gap_closes_when_its_source_is_heard_further(store: Store) -> None:
    await begun(store)
    for heard in (Heard(5, 0), Heard(5, 9), Heard(9, 0)):
        await store.commit([ShardCommit("0", 1, 1, 1, heard={("a", 0, "/x/0"): heard})])
    [claim] = await store.claim(["0"], "me")
    assert claim.heard == {("a", 0, "/x/0"): Heard(9, 0)}


# The journal ---------------------------------------------------------------------------


async def test_the_journal_comes_in_order_and_in_pages(store: Store) -> None:
    await begun(store)
    await store.commit([ShardCommit("0", 1, 1, 1, rows=[row(n, f"s{n}") for n in range(1, 8)])])
    await store.commit([ShardCommit("0", 1, 8, 1, rows=[row(n, f"s{n}") for n in range(8, 11)])])
    assert [r.seq for r in await store.journal("0", 0, 4)] == [1, 2, 3, 4]
    assert [r.seq for r in await store.journal("0", 4, 100)] == [5, 6, 7, 8, 9, 10]
    assert await store.journal("0", 10, 100) == []
    assert await store.journal("elsewhere", 0, 100) == []


def of_one_command(first: int, stream: str, version: int, count: int) -> list[JournalRow]:
    """Return rows of one stream as a command leaves them: the last sends something."""
    rows = [
        row(first + n, stream, version + n, data=f'{{"n": {n}.0, "text": "\\u0000 😀"}}')
        for n in range(count)
    ]
    rows = [structs.replace(each, meta='{"cause":"x"}') for each in rows]
    sending = structs.replace(rows[-1], type="shop.paid.v1", meta='{"cause":"x","prev":[3]}')
    return [*rows[:-1], sending]


async def test_rows_of_one_command_are_read_from_any_of_them_on(store: Store) -> None:
    await begun(store)
    rows = [*of_one_command(1, "s", 1, 4), row(5, "t"), *of_one_command(6, "s", 5, 3)]
    await store.commit([ShardCommit("0", 1, 1, 1, rows=rows)])
    more = of_one_command(9, "s", 8, 5)
    await store.commit([ShardCommit("0", 1, 9, 1, rows=more)])
    rows += more
    for after in range(14):
        for limit in (1, 2, 5, 100):
            assert await store.journal("0", after, limit) == rows[after : after + limit]


async def test_a_stream_is_read_from_its_snapshot_on_wherever_that_is(store: Store) -> None:
    await begun(store)
    rows = [*of_one_command(1, "s", 1, 4), row(5, "t"), *of_one_command(6, "s", 5, 3)]
    await store.commit([ShardCommit("0", 1, 1, 1, rows=rows)])
    mine = [each for each in rows if each.stream == "s"]
    assert (await store.load({"s": -1, "t": -1}))["s"] == (None, mine)
    for version in range(1, 8):
        snapshot = Snapshot("s", version, 1, "{}")
        await store.commit([ShardCommit("0", 1, 9, 1, snapshots=[snapshot])])
        assert (await store.load({"s": -1}))["s"] == (snapshot, mine[version:])


async def test_a_stream_that_is_there_already_is_found_by_the_first_of_its_rows(
    store: Store,
) -> None:
    await begun(store)
    await store.commit([ShardCommit("0", 1, 1, 1, rows=of_one_command(1, "s", 1, 4))])
    rows = [row(5, "new"), *of_one_command(6, "s", 1, 2)]
    with pytest.raises(Repeated) as repeated:
        await store.commit([ShardCommit("0", 1, 5, 1, rows=rows)])
    assert repeated.value.streams == ("s",)
    assert len(await store.journal("0", 0, 10)) == 4


async def test_a_row_is_read_as_it_was_written(store: Store) -> None:
    await begun(store)
    data = '{"text": "\\u0000 \\ud83d\\ude00 😀 \\"", "n": 1.0, "n2": 12345678901234567890123}'
    written = row(1, "ünï/côde", data=data, meta='{"cause":"x"}')
    await store.commit([ShardCommit("0", 1, 1, 1, rows=[written])])
    assert await store.journal("0", 0, 10) == [written]


async def test_a_stream_that_is_there_already_is_named_and_nothing_is_written(store: Store) -> None:
    await begun(store)
    await store.commit([ShardCommit("0", 1, 1, 1, rows=[row(1, "s"), row(2, "t")])])
    rows = [row(3, "new"), row(4, "t"), row(5, "s", 2)]
    with pytest.raises(Repeated) as repeated:
        await store.commit([ShardCommit("0", 1, 3, 1, rows=rows, consumed={("a", 0): 4})])
    assert repeated.value.streams == ("t",)
    assert len(await store.journal("0", 0, 10)) == 2
    [claim] = await store.claim(["0"], "me")
    assert (claim.next_seq, claim.consumed) == (3, {})


async def test_a_text_that_the_journal_cannot_keep_is_refused(store: Store) -> None:
    await begun(store)
    with pytest.raises(Refused):
        await store.commit([ShardCommit("0", 1, 1, 1, rows=[row(1, "a\x00b")])])
    assert await store.journal("0", 0, 10) == []


async def test_many_streams_are_loaded_at_once(store: Store) -> None:
    await begun(store, "0", "1")
    zero = [row(n, f"s{n % 5}", 1 + n // 5) for n in range(1, 21)]
    one = [row(n, f"z{n}", shard="1") for n in range(1, 4)]
    batch = [ShardCommit("0", 1, 1, 1, rows=zero), ShardCommit("1", 1, 1, 1, rows=one)]
    await store.commit(batch)
    found = await store.load({f"s{n}": -1 for n in range(5)} | {"z2": -1, "unknown": -1})
    assert {name: [r.version for r in rows] for name, (_, rows) in found.items()} == {
        "s0": [2, 3, 4, 5], "s1": [1, 2, 3, 4], "s2": [1, 2, 3, 4], "s3": [1, 2, 3, 4],
        "s4": [1, 2, 3, 4], "z2": [1], "unknown": [],
    }  # fmt: skip
    assert all(snapshot is None for snapshot, _ in found.values())
    assert await store.load({}) == {}


async def test_a_stream_is_loaded_from_its_newest_snapshot(store: Store) -> None:
    await begun(store)
    rows = [row(n, version=n) for n in range(1, 7)]
    snapshots = [Snapshot("s", 2, 1, '{"at": 2}'), Snapshot("s", 4, 1, '{"at": 4}')]
    await store.commit([ShardCommit("0", 1, 1, 1, rows=rows[:4], snapshots=snapshots[:1])])
    await store.commit([ShardCommit("0", 1, 5, 1, rows=rows[4:], snapshots=snapshots[1:])])
    assert await store.load({"s": -1}) == {"s": (snapshots[1], rows[4:])}
    assert await store.load({"s": 3}) == {"s": (snapshots[0], rows[2:])}
    assert await store.load({"s": 1}) == {"s": (None, rows)}
    assert await store.load({"s": 0}) == {"s": (None, rows)}


async def test_two_snapshots_of_a_stream_are_kept(store: Store) -> None:
    await begun(store)
    for version in (10, 20, 30):
        commit = ShardCommit("0", 1, 1, 1, snapshots=[Snapshot("s", version, 1, "{}")])
        await store.commit([commit])
    await store.commit([ShardCommit("0", 1, 1, 1, snapshots=[Snapshot("s", 30, 2, "[]")])])
    versions = [(await store.load({"s": n}))["s"][0] for n in (-1, 29, 19)]
    assert versions == [Snapshot("s", 30, 2, "[]"), Snapshot("s", 20, 1, "{}"), None]


# Outsiders and parked streams ----------------------------------------------------------


async def test_a_delivery_is_kept_with_its_answer(store: Store) -> None:
    await begun(store)
    deliveries = [
        Delivery(TENANT, "/s\x00", "1", '{"stream":"é"}'),
        Delivery(TENANT, "/s", "2", "{}"),
    ]
    await store.commit([ShardCommit("0", 1, 1, 1, deliveries=deliveries)])
    asked = [(TENANT, "/s\x00", "1"), (TENANT, "/s", "3"), (OTHER, "/s", "2")]
    assert await store.deliveries(asked) == {(TENANT, "/s\x00", "1"): '{"stream":"é"}'}
    assert await store.deliveries([]) == {}


async def test_old_deliveries_are_forgotten_a_few_at_a_time(store: Store) -> None:
    assert isinstance(store, PostgresStore | MemoryStore)
    await begun(store)
    deliveries = [Delivery(TENANT, "/s", str(n), "{}") for n in range(5)]
    await store.commit([ShardCommit("0", 1, 1, 0, deliveries=deliveries)])
    keys = [(TENANT, "/s", str(n)) for n in range(5)]
    assert await store.forget_deliveries(3600.0, 10) == 0
    assert len(await store.deliveries(keys)) == 5
    assert await store.forget_deliveries(-1.0, 2) == 2
    assert len(await store.deliveries(keys)) == 3
    assert await retention.sweep(store, -1.0) == 3
    assert await store.deliveries(keys) == {}


async def test_a_delivery_that_is_there_already_stops_the_batch(store: Store) -> None:
    await begun(store)
    delivery = Delivery(TENANT, "/s", "1", "{}")
    await store.commit([ShardCommit("0", 1, 1, 1, deliveries=[delivery])])
    again = ShardCommit("0", 1, 1, 1, rows=[row(1)], deliveries=[delivery])
    with pytest.raises(Repeated) as repeated:
        await store.commit([again])
    assert repeated.value.streams == ()
    assert await store.journal("0", 0, 1) == []


async def test_messages_wait_behind_a_parked_stream_in_order(store: Store) -> None:
    await begun(store)
    messages = [ParkedMessage("s", n, bytes([n, 0, 255])) for n in (1, 2, 3)]
    await store.commit([ShardCommit("0", 1, 1, 1, parked=messages)])
    [claim] = await store.claim(["0"], "me")
    assert claim.parked == {"s": 3}
    assert await store.parked("s", 2) == messages[:2]
    await store.commit([ShardCommit("0", 2, 1, 1, unparked=[("s", 1)])])
    assert await store.parked("s", 9) == messages[1:]
    more = ParkedMessage("s", 4, b"more")
    await store.commit([ShardCommit("0", 2, 1, 1, parked=[more], unparked=[("s", 2)])])
    [claim] = await store.claim(["0"], "me")
    assert claim.parked == {"s": 4}
    assert await store.parked("s", 9) == [messages[2], more]


async def test_a_stream_is_parked_until_its_last_message_is_gone(store: Store) -> None:
    await begun(store)
    messages = [ParkedMessage("s", 1, b"1"), ParkedMessage("t", 1, b"1")]
    await store.commit([ShardCommit("0", 1, 1, 1, parked=messages)])
    await store.commit([ShardCommit("0", 1, 1, 1, unparked=[("s", 1)])])
    [claim] = await store.claim(["0"], "me")
    assert claim.parked == {"t": 1}
    assert await store.parked("s", 9) == []


async def test_an_empty_batch_is_written_at_once(store: Store) -> None:
    await store.commit([])
    await begun(store)
    await store.commit([ShardCommit("0", 1, 1, 1)])
    assert await store.epochs(["0"]) == {"0": 1}
