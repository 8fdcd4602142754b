"""Streams in memory: whose they are, what is known of them, and who may share one."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from perdure_common.decider import Facts
from perdure_common.shell import codec, remake
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import JournalRow, Outbound, Refused, Unreachable
from perdure_contracts.cloudevents import CloudEvent
from perdure_contracts.message import NAMES, Envelope
from perdure_contracts.shell import CommandRejected
from tally import LEDGER, TALLY, TENANT, Add, Added, Note, Tally, in_memory, total
from virtual_time import BEGIN, timeless

MARKS = "perdure.marks.v1"


def hear(message: Any, envelope: Envelope) -> Any:
    """Take commands, and events of outsiders on the foreign topic."""
    if isinstance(message, CloudEvent):
        return codec.decode_body(message.type, message.data)
    return message


@timeless
async def test_two_foreign_shards_that_speak_of_one_stream_lose_nothing() -> None:
    memory = in_memory()
    memory.broker.create(MARKS, 2)
    stage = memory.stage()
    for n in range(6):
        body = codec.encode_body(Add(account="x", amount=1))
        await stage.put(MARKS, "any", body, f"{n}", partition=n % 2)
    process = stage.process(replace(TALLY, foreign=(MARKS,), hear=hear), lanes=1)

    async def all_counted() -> bool:
        return total(await stage.rows("tally", "tallies"), "x") == 6

    await stage.eventually(all_counted)
    assert total(await stage.rows("tally", "tallies"), "x") == 6
    await process.end()


@timeless
async def test_memory_of_a_stream_taken_for_new_in_vain_is_not_kept() -> None:
    memory = in_memory()
    stage = memory.stage()

    def nothing(state: Tally, command: Any, facts: Facts, now: Any) -> Any:
        return ()

    decider = replace(TALLY.deciders[0], decide=nothing, creates=(Add,))
    async with stage.running(replace(TALLY, deciders=(decider,))) as owner:
        await stage.ask(Add(account="a", amount=7), id="2")
        await asyncio.sleep(2.0)
        assert not any(shard.streams for shard in owner.shards.values())


@timeless
async def test_a_stream_that_is_over_leaves_the_memory_and_is_loaded_when_it_is_asked_again() -> (
    None
):
    memory = in_memory()
    stage = memory.stage()

    def enough(state: Tally) -> bool:
        return state.total >= 7

    decider = replace(TALLY.deciders[0], over=enough)
    async with stage.running(replace(TALLY, deciders=(decider,))) as owner:
        for amount, sum_, kept in ((3, 3, True), (4, 7, False), (1, 8, False)):
            await stage.ask(Add(account="a", amount=amount), id=str(sum_))

            async def told(sum_: int = sum_) -> bool:
                return total(await stage.rows("tally", "tallies"), "a") == sum_

            await stage.eventually(told)
            assert any("a" in shard.streams for shard in owner.shards.values()) == kept


@timeless
async def test_what_one_decider_has_refused_is_decided_by_another_as_if_it_were_new() -> None:
    memory = in_memory()
    stage, topic = memory.stage(), "perdure.tally.commands.v1"
    both = replace(TALLY, deciders=(*TALLY.deciders, LEDGER.deciders[0]))
    async with stage.running(both) as owner:
        await stage.ask(Add(account="a", amount=0), id="refused")
        body = codec.encode_body(Note(account="a", amount=7))
        await stage.put(topic, "a", body, "noted", kind=NAMES[Note])
        [entry] = await stage.until("tally", "entries", 1)
        assert entry["amount"] == 7
        assert not any(shard.parked for shard in owner.shards.values())


def rows(*events: tuple[str, object]) -> list[JournalRow]:
    return [
        JournalRow(
            "0", n, "a", n, tenant, NAMES[type(event)], codec.encode_body(event).decode(), "{}",
            BEGIN,
        )
        for n, (tenant, event) in enumerate(events, 1)
    ]  # fmt: skip


def test_a_stream_belongs_to_whoever_began_it_and_not_to_whom_it_was_refused() -> None:
    refused = CommandRejected(command_id="1", command="c", code="x", reason="r")
    added = Added(amount=1, account="a")
    registry = Registry(TALLY)
    assert remake.restore(registry, None, rows(("them", refused))).tenant_id == ""
    held = remake.restore(registry, None, rows(("them", refused), (TENANT, added)))
    assert (held.tenant_id, held.version) == (TENANT, 2)


@timeless
async def test_rows_that_count_are_not_counted_twice_when_one_of_them_is_refused() -> None:
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    commit, trouble = store.commit, {"left": 1}

    async def refuses(batch: Any) -> None:
        seen = [u for c in batch for u in c.upserts if u.table == "tallies_seen"]
        if any(u.key["account"] == "b" for u in seen):
            raise Refused("not this row")
        if any(u.key["account"] == "c" for u in seen) and trouble["left"]:
            trouble["left"] -= 1
            raise Unreachable("for a moment")
        await commit(batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "commit", refuses)
        for account in ("a", "b", "c"):
            await stage.ask(Add(account=account, amount=1), id=account)
        async with stage.running(TALLY):
            await stage.until("tally", "tallies_seen", 2)
            await asyncio.sleep(5.0)
            seen = {r["account"]: r["times"] for r in await stage.rows("tally", "tallies_seen")}
            assert seen == {"a": 1, "c": 1}


@timeless
async def test_a_message_of_a_shard_with_an_attribute_that_is_none_is_heard_as_a_letter() -> None:
    memory = in_memory()
    stage = memory.stage()
    spoilt: list[Outbound] = []
    append = memory.broker.append

    def spoil(client: str, record: Outbound) -> None:
        if b'"amount":2' in record.value and record.topic == "perdure.ledger.commands.v1":
            spoilt.append(record)
            record = structs.replace(record, headers=(*record.headers, ("ce_time", b"yesterday")))
        append(client, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.broker, "append", spoil)
        async with stage.running(TALLY), stage.running(LEDGER):
            for amount in (1, 2, 3):
                await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
            await stage.until("ledger", "entries", 2)
            await asyncio.sleep(10.0)
            assert len(await stage.everything("perdure.ledger.commands.v1.dlt")) == 1
    assert len(spoilt) == 1
