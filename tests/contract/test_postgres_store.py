"""What only a server can do to the store: go away, deadlock, have two owners at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.decider import Lookup, Upsert
from perdure_common.shell.ports import (
    Fenced,
    JournalRow,
    Refused,
    ShardCommit,
    Unanswered,
    Unreachable,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = "00000000-0000-7000-8000-000000000001"
A = "00000000-0000-7000-8000-00000000000a"


@pytest.fixture
async def store(postgres: PostgresStore) -> PostgresStore:
    await postgres.claim(["0", "1"], "me")
    return postgres


@pytest.fixture
async def other(shop: str) -> AsyncIterator[Any]:
    """A connection beside the store's, for looking and for getting in the way."""
    connection: Any = await asyncpg.connect(
        shop, server_settings={"search_path": "shop", "application_name": "test"}
    )
    yield connection
    await connection.close()


@pytest.fixture
async def gate(shop: str) -> AsyncIterator[Any]:
    """One more connection."""
    connection: Any = await asyncpg.connect(shop, server_settings={"search_path": "shop"})
    yield connection
    await connection.close()


async def waiting(other: Any, count: int = 1, who: str = "perdure") -> list[int]:
    """Wait until so many of the store's connections wait for a lock; return their pids."""
    sql = """
        SELECT pid FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = $1 AND wait_event_type = 'Lock'
    """
    while True:
        pids = [row["pid"] for row in await other.fetch(sql, who)]
        if len(pids) >= count:
            return pids
        await asyncio.sleep(0.01)


async def end_all(other: Any) -> None:
    """End the store's connections, as a restart of the server would."""
    sql = """
        SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'perdure'
    """
    await other.fetch(sql)


def thing(key: str, **values: object) -> Upsert:
    return Upsert("thing", {"id": key}, {"tenant_id": TENANT, "name": "n", **values}, new=True)


async def test_a_commit_whose_connection_breaks_is_unanswered(
    store: PostgresStore, other: Any
) -> None:
    async with other.transaction():
        await other.execute("SELECT FROM shard WHERE id = '0' FOR UPDATE")
        commit = asyncio.create_task(store.commit([ShardCommit("0", 1, 1, 1)]))
        await waiting(other)
        await end_all(other)
        with pytest.raises(Unanswered):
            await commit


async def test_a_reader_whose_connection_breaks_finds_the_server_again(
    store: PostgresStore, other: Any
) -> None:
    async with other.transaction():
        await other.execute("LOCK TABLE journal_entry IN ACCESS EXCLUSIVE MODE")
        load = asyncio.create_task(store.load({"s": -1}))
        await waiting(other)
        await end_all(other)
        with pytest.raises(Unreachable):
            await load
    assert await store.load({"s": -1}) == {"s": (None, [])}


async def test_connections_that_were_ended_while_idle_are_replaced(
    store: PostgresStore, other: Any
) -> None:
    for _ in range(3):
        await end_all(other)
        await asyncio.sleep(0)
        try:
            await store.epochs(["0"])
        except Unreachable:
            assert await store.epochs(["0"]) == {"0": 1}
    await store.commit([ShardCommit("0", 1, 1, 1, published_seq=7)])
    [claim] = await store.claim(["0"], "me")
    assert claim.published_seq == 7


async def test_a_server_that_is_not_there_is_unreachable(unused_tcp_port: int) -> None:
    store = PostgresStore(f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/d", "shop")
    with pytest.raises(Unreachable):
        await store.claim(["0"], "me")
    with pytest.raises(Unreachable):
        await store.commit([ShardCommit("0", 1, 1, 1)])
    with pytest.raises(Unreachable):
        await store.look_up(TENANT, [Lookup("thing", {}, ("id",))])
    await store.close()


async def test_a_database_without_the_schema_says_what_to_run(database: str) -> None:
    store = PostgresStore(database, "never_migrated")
    with pytest.raises(Unreachable, match=r"perdure_common\.migrate up"):
        await store.claim(["0"], "me")
    await store.close()


async def test_an_owner_who_waits_for_a_claim_is_fenced_by_it(
    store: PostgresStore, other: Any
) -> None:
    """The zombie's batch is under way when the shard changes hands."""
    async with other.transaction():
        await other.fetch("SELECT * FROM claim_shards(ARRAY['0'], 'you')")
        row = JournalRow("0", 1, "s", 1, TENANT, "shop.sold.v1", "{}", "", NOW)
        upserts = [thing(A)]
        commit = asyncio.create_task(
            store.commit([ShardCommit("0", 1, 1, 1, rows=[row], upserts=upserts)])
        )
        await waiting(other)
    with pytest.raises(Fenced):
        await commit
    assert await other.fetchval("SELECT count(*) FROM journal") == 0
    assert await other.fetchval("SELECT count(*) FROM thing") == 0


async def test_a_claim_waits_for_a_batch_under_way_and_sees_it(
    store: PostgresStore, other: Any
) -> None:
    async with other.transaction():
        await other.execute("UPDATE shard SET next_seq = 5 WHERE id = '0'")
        await other.execute("INSERT INTO consumed VALUES ('0', 'a', 0, 7)")
        claim = asyncio.create_task(store.claim(["0"], "you"))
        await waiting(other)
    [found] = await claim
    assert (found.epoch, found.next_seq, found.consumed) == (2, 5, {("a", 0): 7})


async def test_a_deadlock_with_somebody_else_is_tried_again(
    store: PostgresStore, other: Any, gate: Any
) -> None:
    """A server looks for a deadlock once in each wait: the other one waits before the store does.

    The gate holds the store back until then, however busy the machine is.
    """

    def batch(number: int) -> list[ShardCommit]:
        keys = [{"tenant_id": TENANT, "place": place} for place in "ab"]
        upserts = [Upsert("latest", key, {"number": number}) for key in keys]
        return [ShardCommit("0", 1, 1, 1, upserts=upserts)]

    await store.commit(batch(1))
    await other.execute("SET deadlock_timeout = '1h'")  # the store's side is to find it
    shut, transaction = gate.transaction(), other.transaction()
    await shut.start()
    await transaction.start()
    await gate.execute("UPDATE latest SET number = 2 WHERE place = 'a'")
    await other.execute("UPDATE latest SET number = 2 WHERE place = 'b'")
    commit = asyncio.create_task(store.commit(batch(3)))
    await waiting(gate)  # it has locked its shard
    in_the_way = asyncio.create_task(other.execute("UPDATE shard SET owner = 'x' WHERE id = '0'"))
    await waiting(gate, who="test")
    await shut.commit()
    await in_the_way
    await transaction.commit()
    await commit
    assert await other.fetchval("SELECT array_agg(number) FROM latest") == [3, 3]


async def test_writers_of_the_same_rows_do_not_lose_counts(store: PostgresStore) -> None:
    table = "thing"
    keys = [f"00000000-0000-7000-8000-{n:012d}" for n in range(20)]
    await store.commit([ShardCommit("0", 1, 1, 1, upserts=[thing(k, number=1) for k in keys])])

    async def counts(shard: str, order: list[str]) -> None:
        for _ in range(20):
            upserts = [Upsert(table, {"id": key}, {}, {"number": 1}) for key in order]
            await store.commit([ShardCommit(shard, 1, 1, 1, upserts=upserts)])

    await asyncio.gather(counts("0", keys), counts("1", keys[::-1]))
    [rows] = await store.look_up(TENANT, [Lookup(table, {}, ("number",))])
    assert [row["number"] for row in rows] == [41] * 20


@pytest.mark.parametrize(
    ("upsert", "why"),
    [
        (thing(A, name="nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"), "too long"),
        (thing(A, number=-1), "thing_number_check"),
        (thing(A, number=2**63), "does not fit"),
        (thing(A, number="7"), "does not fit"),
        (thing(A, at="yesterday"), "thing.at"),
        (thing(A, doc={"x": object()}), "thing.doc"),
        (thing("no uuid"), "does not fit"),
        (thing(A, colour="red"), "no column 'colour'"),
        (Upsert("thing", {"id": A}, {"number": 1}), "thing.tenant_id"),
        (Upsert("thing", {"name": "n"}, {"tenant_id": TENANT, "id": A}), "ON CONFLICT"),
    ],
)
async def test_what_a_table_does_not_take_is_refused_with_the_place(
    store: PostgresStore, other: Any, upsert: Upsert, why: str
) -> None:
    row = JournalRow("0", 1, "s", 1, TENANT, "shop.sold.v1", "{}", "", NOW)
    with pytest.raises(Refused, match=why):
        await store.commit([ShardCommit("0", 1, 1, 1, rows=[row], upserts=[upsert])])
    assert await other.fetchval("SELECT count(*) FROM journal") == 0
    await store.commit([ShardCommit("0", 1, 1, 1, rows=[row], upserts=[thing(A)])])


async def test_a_table_that_is_not_there_parks_nothing_but_waits_for_the_migration(
    store: PostgresStore,
) -> None:
    with pytest.raises(Unreachable, match="perdure migrate"):
        await store.commit([ShardCommit("0", 1, 1, 1, upserts=[Upsert("nothing", {"id": A})])])
    with pytest.raises(Unreachable, match="perdure migrate"):
        await store.look_up(TENANT, [Lookup("nothing", {}, ("id",))])


@pytest.mark.parametrize(
    "lookup",
    [
        Lookup("thing", {}, ("colour",)),
        Lookup("thing", {"colour": 1}, ("id",)),
        Lookup("thing", {"id": "no uuid"}, ("id",)),
        Lookup("thing", {"number": "many"}, ("id",)),
    ],
)
async def test_a_lookup_that_no_table_can_answer_is_refused(
    store: PostgresStore, lookup: Lookup
) -> None:
    await store.commit([ShardCommit("0", 1, 1, 1, upserts=[thing(A)])])
    with pytest.raises(Refused):
        await store.look_up(TENANT, [lookup])
    assert await store.look_up(TENANT, [Lookup("thing", {}, ("id",))]) == [[{"id": A}]]


async def test_a_server_that_goes_away_during_a_lookup_blames_nobody(
    store: PostgresStore, other: Any
) -> None:
    await store.commit([ShardCommit("0", 1, 1, 1, upserts=[thing(A)])])
    async with other.transaction():
        await other.execute("LOCK TABLE thing IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(store.look_up(TENANT, [Lookup("thing", {}, ("id",))]))
        await waiting(other)
        await end_all(other)
        with pytest.raises(Unreachable):
            await asking
    assert await store.look_up(TENANT, [Lookup("thing", {}, ("id",))]) == [[{"id": A}]]


async def test_a_table_that_was_migrated_meanwhile_is_looked_at_again(
    store: PostgresStore, other: Any
) -> None:
    await store.commit([ShardCommit("0", 1, 1, 1, upserts=[thing(A, number=1)])])
    await other.execute("ALTER TABLE thing DROP COLUMN number")
    await other.execute("ALTER TABLE thing ADD COLUMN number text")
    b = A.replace("a", "b")
    batch = [ShardCommit("0", 1, 1, 1, upserts=[thing(b, number="one")])]
    with pytest.raises(Refused):
        await store.commit(batch)
    await store.commit(batch)
    assert await other.fetchval("SELECT number FROM thing WHERE id = $1", b) == "one"


async def test_the_store_writes_in_the_role_of_the_shell(store: PostgresStore, other: Any) -> None:
    sql = "SELECT has_table_privilege($1, 'shop.journal', $2)"
    assert await other.fetchval(sql, "shop_shell", "INSERT") is True
    assert await other.fetchval(sql, "shop_api", "SELECT") is True
    assert await other.fetchval(sql, "shop_api", "INSERT") is False
    await other.execute("REVOKE INSERT ON thing FROM shop_shell")
    with pytest.raises(Unreachable, match="permission denied"):
        await store.commit([ShardCommit("0", 1, 1, 1, upserts=[thing(A)])])


async def test_a_claim_that_is_cancelled_while_it_waits_is_cancelled_and_no_error(
    store: PostgresStore, other: Any
) -> None:
    """Its connection is dropped, and so is the transaction that it was in."""
    async with other.transaction():
        await other.fetch("SELECT * FROM claim_shards(ARRAY['0'], 'you')")
        claiming = asyncio.create_task(store.claim(["0"], "me"))
        await waiting(other)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
    [claim] = await store.claim(["0"], "me")
    assert claim.epoch > 1
