"""What every store must do, whatever it is made of."""

import dataclasses
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from perdure_common import migrate
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.decider import Lookup, Upsert
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
A, B, C = (f"00000000-0000-7000-8000-00000000000{n}" for n in "abc")

TABLES = """
-- migrate:up
CREATE TABLE thing (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name varchar(40) NOT NULL,
    body text,
    count integer NOT NULL DEFAULT 0,
    doc jsonb,
    at timestamptz,
    number bigint,
    lasts interval,
    ratio numeric(6, 3),
    open boolean,
    tags text[]
);
CREATE TABLE latest (
    tenant_id text NOT NULL,
    place text NOT NULL,
    at timestamptz,
    number bigint,
    says text,
    count integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, place)
);
-- migrate:down
DROP TABLE latest;
DROP TABLE thing;
"""


@pytest.fixture
async def postgres(database: str, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    shutil.copytree(migrate.folder() / migrate.SHELL, tmp_path / migrate.SHELL)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "0001_tables.sql").write_text(TABLES)
    await migrate.up(database, "shop", tmp_path)
    store = PostgresStore(database, "shop")
    yield store
    await store.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore("shop")
    return request.getfixturevalue("postgres")


def row(seq: int, stream: str = "s", version: int = 1, shard: str = "0", **rest: Any) -> JournalRow:
    made = JournalRow(shard, seq, stream, version, TENANT, "shop.sold.v1", "{}", "", NOW)
    return dataclasses.replace(made, **rest)


def thing(key: str, set_: Mapping[str, object] | None = None, **rest: Any) -> Upsert:
    """A row that carries all that a new one needs."""
    return Upsert("thing", {"id": key}, {"tenant_id": TENANT, "name": "n", **(set_ or {})}, **rest)


async def begun(store: Store, *shards: str) -> None:
    await store.claim(shards or ("0",), "me")


async def write(store: Store, *upserts: Upsert, shard: str = "0") -> None:
    """Commit rows of tables alone: numbers are not used up."""
    epoch = (await store.epochs([shard]))[shard]
    await store.commit([ShardCommit(shard, epoch, 1, 1, upserts=list(upserts))])


async def read(store: Store, key: str, *columns: str) -> Any:
    """Return one thing's columns, a single one by itself, None when it is not there."""
    [found] = await store.look_up(TENANT, [Lookup("thing", {"id": key}, columns)])
    if not found:
        return None
    [only] = found
    return only[columns[0]] if len(columns) == 1 else tuple(only[c] for c in columns)


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
    commit = ShardCommit("0", 1, 1, 1, rows=[row(1)], upserts=[thing(A, new=True)])
    with pytest.raises(Fenced) as fenced:
        await store.commit([commit])
    assert fenced.value.shards == ("0",)
    assert await store.journal("0", 0, 10) == []
    assert await read(store, A, "name") is None


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


async def test_marks_only_move_forward(store: Store) -> None:
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
    assert (claim.consumed, claim.sent, claim.heard) == (high.consumed, high.sent, high.heard)


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


# Projections ---------------------------------------------------------------------------


async def test_values_of_every_type_come_back_as_json_has_them(store: Store) -> None:
    await begun(store)
    values = {
        "doc": {"a": [1, None, True, {"b": "ç"}], "t": ("x",)},
        "at": NOW,
        "number": 2**62,
        "lasts": timedelta(minutes=2),
        "ratio": 0.125,
        "open": True,
        "tags": ("a", 'quo"te', "back\\slash", "comma, {brace}", ""),
    }
    await write(store, thing(A, values, new=True))
    assert await read(store, A, *values, "tenant_id") == (
        {"a": [1, None, True, {"b": "ç"}], "t": ["x"]},
        "2026-03-01T12:00:00.123456Z",
        2**62,
        120.0,
        0.125,
        True,
        ["a", 'quo"te', "back\\slash", "comma, {brace}", ""],
        TENANT,
    )


async def test_a_json_text_stays_a_text_and_null_stays_null(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, {"doc": "7", "tags": None}), thing(B, {"doc": None, "tags": []}))
    assert await read(store, A, "doc", "tags") == ("7", None)
    assert await read(store, B, "doc", "tags") == (None, [])


async def test_characters_that_cannot_be_kept_are_replaced(store: Store) -> None:
    await begun(store)
    doc = {"k\x00": ["a\x00b", "\ud800", {"c": "\\u0000"}]}
    values = {"body": "a\x00b\ud800😀", "doc": doc, "tags": ["\x00"]}
    await write(store, thing(A, values, new=True))
    assert await read(store, A, "body", "doc", "tags") == (
        "a\ufffdb\ufffd😀",
        {"k\ufffd": ["a\ufffdb", "\ufffd", {"c": "\\u0000"}]},
        ["\ufffd"],
    )


async def test_a_text_of_a_megabyte_is_kept(store: Store) -> None:
    await begun(store)
    text = "ß😀\n" * 150_000
    upserts = [thing(A, {"body": text, "doc": {"t": text}}, new=True)]
    written = row(1, data=text)
    await store.commit([ShardCommit("0", 1, 1, 1, rows=[written], upserts=upserts)])
    assert await read(store, A, "body", "doc") == (text, {"t": text})
    assert await store.journal("0", 0, 1) == [written]


async def test_a_row_promised_to_be_new_that_is_there_is_refused(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, {"body": "first"}, new=True))
    commit = ShardCommit("0", 1, 1, 1, rows=[row(1)])
    commit.upserts = [thing(B, new=True), thing(A, {"body": "second"}, new=True)]
    with pytest.raises(Refused, match="thing"):
        await store.commit([commit])
    assert await read(store, A, "body") == "first"
    assert await read(store, B, "body") is None
    assert await store.journal("0", 0, 9) == []


async def test_an_upsert_changes_what_it_names_and_leaves_the_rest(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, {"body": "text", "number": 1}, new=True))
    await write(store, Upsert("thing", {"id": A}, {"number": 2}))
    await write(store, thing(B, {"body": "made by an upsert"}))
    assert await read(store, A, "body", "number") == ("text", 2)
    assert await read(store, B, "body") == "made by an upsert"


async def test_counts_add_up(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, add={"count": 2}, new=True))
    await write(store, Upsert("thing", {"id": A}, {}, {"count": 3}))
    await write(store, Upsert("thing", {"id": A}, {"body": "x"}, {"count": -1}))
    key = {"tenant_id": TENANT, "place": "p"}
    await write(store, Upsert("latest", key, {}, {"count": 5}))
    await write(store, Upsert("latest", key, {}, {"count": 5}))
    assert await read(store, A, "count", "body") == (4, "x")
    lookup = Lookup("latest", {"place": "p"}, ("count",))
    assert await store.look_up(TENANT, [lookup]) == [[{"count": 10}]]


async def test_a_key_alone_makes_the_row_and_changes_nothing_later(store: Store) -> None:
    await begun(store)
    upsert = Upsert("latest", {"tenant_id": TENANT, "place": "p"})
    await write(store, upsert)
    await write(store, Upsert("latest", upsert.key, {"says": "x"}))
    await write(store, upsert)
    lookup = Lookup("latest", {}, ("place", "says"))
    assert await store.look_up(TENANT, [lookup]) == [[{"place": "p", "says": "x"}]]


async def test_a_guarded_row_does_not_go_back(store: Store) -> None:
    await begun(store)

    def says(at: datetime, number: int | None, text: str) -> Upsert:
        values = {"at": at, "number": number, "says": text}
        key = {"tenant_id": TENANT, "place": "p"}
        return Upsert("latest", key, values, {"count": 1}, guard=("at", "number"))

    async def stands() -> Any:
        lookup = Lookup("latest", {"place": "p"}, ("says", "count"))
        [[found]] = await store.look_up(TENANT, [lookup])
        return found["says"], found["count"]

    await write(store, says(NOW, 5, "first"))
    await write(store, says(NOW - timedelta(seconds=1), 9, "older"))
    assert await stands() == ("first", 1)
    await write(store, says(NOW, 4, "lower"))
    assert await stands() == ("first", 1)
    await write(store, says(NOW, 5, "same"))
    assert await stands() == ("same", 2)
    await write(store, says(NOW + timedelta(seconds=1), None, "newer"))
    assert await stands() == ("newer", 3)
    await write(store, says(NOW + timedelta(seconds=1), 1, "nothing stood against it"))
    assert await stands() == ("nothing stood against it", 4)


async def test_a_guard_holds_where_the_row_is_only_changed(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, {"number": 5, "body": "first"}, new=True))
    for number, text in ((4, "older"), (6, "newer"), (5, "older again")):
        change = Upsert("thing", {"id": A}, {"number": number, "body": text}, guard=("number",))
        await write(store, change)
    assert await read(store, A, "number", "body") == (6, "newer")


async def test_two_shards_may_write_one_row_in_one_batch(store: Store) -> None:
    await begun(store, "0", "1")
    key = {"tenant_id": TENANT, "place": "p"}
    old = Upsert("latest", key, {"number": 1, "says": "old"}, {"count": 1}, guard=("number",))
    new = Upsert("latest", key, {"number": 2, "says": "new"}, {"count": 1}, guard=("number",))
    zero, one = ShardCommit("0", 1, 1, 1, upserts=[new]), ShardCommit("1", 1, 1, 1, upserts=[old])
    await store.commit([zero, one])
    lookup = Lookup("latest", {}, ("number", "says", "count"))
    found = await store.look_up(TENANT, [lookup])
    assert found == [[{"number": 2, "says": "new", "count": 2}]]


async def test_rows_of_many_shapes_go_in_one_batch(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, {"body": "old"}, new=True))
    upserts = [Upsert("thing", {"id": A}, {"body": "changed"}), thing(B, {"number": 1}, new=True)]
    upserts += [thing(C, {"open": False}), Upsert("latest", {"tenant_id": TENANT, "place": "p"})]
    upserts += [
        thing(f"00000000-0000-7000-9000-{n:012d}", {"number": n}, new=True) for n in range(500)
    ]
    await write(store, *reversed(upserts))
    assert await read(store, A, "body") == "changed"
    assert await read(store, B, "number") == 1
    assert await read(store, C, "open") is False
    lookup = Lookup("thing", {"tenant_id": TENANT}, ("id",))
    assert [len(found) for found in await store.look_up(TENANT, [lookup])] == [503]


async def test_what_is_written_does_not_change_with_the_object_it_came_from(store: Store) -> None:
    await begun(store)
    doc = {"list": [1]}
    await write(store, thing(A, {"doc": doc}, new=True))
    doc["list"].append(2)
    assert await read(store, A, "doc") == {"list": [1]}


# Looking up ----------------------------------------------------------------------------


async def test_each_lookup_gets_its_own_rows_in_a_fixed_order(store: Store) -> None:
    await begun(store)
    await write(
        store,
        thing(A, {"body": "x", "number": 1}),
        thing(B, {"body": "x", "number": 2}),
        thing(C, {"body": "y", "number": 1}),
    )
    lookups = [
        Lookup("thing", {"body": "x", "number": 2}, ("id",)),
        Lookup("thing", {"number": 1, "body": ("x", "y")}, ("id",)),
        Lookup("thing", {"body": "x"}, ("number", "body")),
        Lookup("thing", {"body": "y", "number": 2}, ("id",)),
        Lookup("thing", {"body": ()}, ("id",)),
        Lookup("thing", {}, ("id",)),
        Lookup("thing", {"id": (B, A)}, ("id",)),
    ]
    assert await store.look_up(TENANT, lookups) == [
        [{"id": B}],
        [{"id": A}, {"id": C}],
        [{"number": 1, "body": "x"}, {"number": 2, "body": "x"}],
        [],
        [],
        [{"id": A}, {"id": B}, {"id": C}],
        [{"id": A}, {"id": B}],
    ]
    assert await store.look_up(TENANT, []) == []


async def test_nothing_and_instants_can_be_looked_for(store: Store) -> None:
    await begun(store)
    await write(store, thing(A, {"at": NOW, "open": True}), thing(B, {"at": None, "open": False}))
    lookups = [Lookup("thing", {"at": at}, ("id",)) for at in (NOW, None, (None, NOW))]
    lookups.append(Lookup("thing", {"open": False}, ("id",)))
    found = await store.look_up(TENANT, lookups)
    assert found == [[{"id": A}], [{"id": B}], [{"id": A}, {"id": B}], [{"id": B}]]


async def test_a_lookup_never_sees_another_tenant(store: Store) -> None:
    await begun(store)
    await write(store, thing(A), thing(B, {"tenant_id": OTHER}))
    everything, named = Lookup("thing", {}, ("id",)), Lookup("thing", {"id": A}, ("id",))
    found = await store.look_up(OTHER, [everything, named])
    assert found == [[{"id": B}], []]


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
