"""What every store must do with the tables that people read."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_common.decider import Lookup, Page, Upsert
from perdure_common.shell.ports import JournalRow, Refused, ShardCommit, Store

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
TENANT = "00000000-0000-7000-8000-000000000001"
OTHER = "00000000-0000-7000-8000-000000000009"
A, B, C = (f"00000000-0000-7000-8000-00000000000{n}" for n in "abc")


def row(seq: int, data: str = "{}") -> JournalRow:
    return JournalRow("0", seq, "s", seq, TENANT, "shop.sold.v1", data, "", NOW)


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


async def test_a_guard_that_is_not_set_is_refused(store: Store) -> None:
    await begun(store)
    with pytest.raises(Refused, match="guard"):
        await write(store, Upsert("thing", {"id": A}, {"body": "x"}, guard=("number",)))


@pytest.mark.parametrize("keys", [(1, "one"), ({"a": 1}, {"b": 2})])
async def test_keys_that_do_not_compare_are_refused(store: Store, keys: tuple[object, ...]) -> None:
    await begun(store)
    with pytest.raises(Refused):
        await write(store, *(Upsert("latest", {"place": key, "tenant_id": "t"}) for key in keys))


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


async def test_a_page_has_the_highest_rows_below_where_the_one_before_ended(store: Store) -> None:
    await begun(store)
    rows = [f"00000000-0000-7000-9000-{n:012d}" for n in range(5)]
    await write(store, *(thing(key, {"body": "xyz"[n % 2]}) for n, key in enumerate(rows)))
    await write(store, thing(C, {"tenant_id": OTHER}))

    def page(most: int, before: str = "", **where: object) -> Lookup:
        return Lookup("thing", where, ("id",), page=Page("id", most, before))

    lookups = [page(2), page(2, rows[3]), page(9, rows[0]), page(2, body="x"), page(2, body="y")]
    found = await store.look_up(TENANT, lookups)
    ids = [[row["id"] for row in each] for each in found]
    assert ids == [rows[3:], rows[1:3], [], [rows[2], rows[4]], [rows[1], rows[3]]]


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
