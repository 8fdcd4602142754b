"""The store in memory stages the trouble that tests ask for."""

import pytest
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Upsert
from perdure_common.shell.ports import ShardCommit, Unanswered, Unreachable


def commit(number: int) -> list[ShardCommit]:
    key = {"tenant_id": "t", "place": "p"}
    return [ShardCommit("0", 1, 1, 1, upserts=[Upsert("latest", key, {"number": number})])]


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore("shop")
    await store.claim(["0"], "me")
    return store


async def test_an_answer_can_be_lost_after_the_batch_was_written(store: MemoryStore) -> None:
    store.lose_answer(written=True)
    with pytest.raises(Unanswered):
        await store.commit(commit(1))
    assert store.tables == {"latest": [{"place": "p", "tenant_id": "t", "number": 1}]}
    await store.commit(commit(2))
    assert store.tables["latest"][0]["number"] == 2


async def test_an_answer_can_be_lost_before_the_batch_was_written(store: MemoryStore) -> None:
    store.lose_answer(written=False)
    with pytest.raises(Unanswered):
        await store.commit(commit(1))
    assert store.tables == {}


async def test_a_store_that_is_down_is_unreachable_and_forgets_nothing(store: MemoryStore) -> None:
    await store.commit(commit(1))
    store.down = True
    with pytest.raises(Unreachable):
        await store.commit(commit(2))
    with pytest.raises(Unreachable):
        await store.claim(["0"], "you")
    with pytest.raises(Unreachable):
        await store.load({"s": -1})
    store.down = False
    assert await store.epochs(["0"]) == {"0": 1}
    assert store.tables["latest"][0]["number"] == 1
