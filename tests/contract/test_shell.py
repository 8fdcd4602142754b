"""The shell on both grounds: what is accepted is applied once, in order, and leaves once."""

from dataclasses import replace
from typing import Any

from perdure_common.decider import Facts
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_contracts.message import Envelope
from structlog.testing import capture_logs
from tally import LEDGER, TALLY, TENANT, Add, Stage, Tally, decide, total


async def test_a_command_becomes_a_row_and_a_message_to_the_next_service(stage: Stage) -> None:
    async with stage.running(TALLY), stage.running(LEDGER):
        await stage.ask(Add(account="a", amount=5), id="1")
        entries = await stage.until("ledger", "entries", 1)
        assert [(e["account"], e["n"], e["amount"]) for e in entries] == [("a", 1, 5)]
        assert total(await stage.rows("tally", "tallies"), "a") == 5
        seen = await stage.until("tally", "tallies_seen", 1)
        assert seen[0]["times"] == 1


async def test_an_outsiders_message_that_comes_twice_is_applied_once(stage: Stage) -> None:
    async with stage.running(TALLY), stage.running(LEDGER):
        for _ in range(3):
            await stage.ask(Add(account="a", amount=5), id="same")
        await stage.ask(Add(account="a", amount=2), id="other")
        entries = await stage.until("ledger", "entries", 2)
        assert [e["amount"] for e in sorted(entries, key=lambda e: e["n"])] == [5, 2]


async def test_an_id_that_comes_again_with_another_body_is_told_in_the_log(stage: Stage) -> None:
    with capture_logs() as lines:
        async with stage.running(TALLY), stage.running(LEDGER):
            for amount in (5, 5, 6):
                await stage.ask(Add(account="a", amount=amount), id="same")
            await stage.ask(Add(account="a", amount=0), id="none")
            await stage.ask(Add(account="a", amount=7), id="none")
            await stage.ask(Add(account="a", amount=2), id="last")
            entries = await stage.until("ledger", "entries", 2)
            assert [e["amount"] for e in sorted(entries, key=lambda e: e["n"])] == [5, 2]
    told = [line["message_id"] for line in lines if line["event"] == "id_reused"]
    assert told == ["same", "none"]


async def test_a_refusal_is_journalled_and_told(stage: Stage) -> None:
    async with stage.running(TALLY):
        await stage.ask(Add(account="a", amount=0), id="nothing")
        await stage.ask(Add(account="a", amount=4), id="something")
        await stage.until("tally", "tallies", 1)
        await stage.eventually(lambda: _has(stage, "perdure.tally.events.v1", 2))
        told = await stage.everything("perdure.tally.events.v1")
        types = [codec.header(r.headers, "ce_type") for r in told]
        assert types == [b"shell.command-rejected.v1", b"tally.added.v1"]
        assert b'"code":"zero"' in told[0].value


async def _has(stage: Stage, topic: str, count: int) -> bool:
    return len(await stage.everything(topic)) >= count


async def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_neighbours_go_on(
    stage: Stage,
) -> None:
    async with stage.running(TALLY):
        await stage.put("perdure.tally.commands.v1", "a", b"\xff{not json", "bad")
        await stage.ask(Add(account="a", amount=4), id="wrong", partition=1 - partition_of("a", 2))
        await stage.ask(Add(account="a", amount=7), id="good")
        rows = await stage.until("tally", "tallies", 1)
        assert total(rows, "a") == 7
        await stage.eventually(lambda: _has(stage, "perdure.tally.commands.v1.dlt", 2))
        letters = [
            codec.decode_body("shell.dead-lettered.v1", r.value)
            for r in await stage.everything("perdure.tally.commands.v1.dlt")
        ]
        by_code = {letter.code: letter for letter in letters}
        assert set(by_code) == {"invalid_body", "wrong_partition"}
        assert by_code["invalid_body"].value == b"\xff{not json"


async def test_poison_parks_its_stream_and_nothing_else(stage: Stage) -> None:
    async with stage.running(TALLY):
        for account in ("a", "b", "c"):
            await stage.ask(Add(account=account, amount=1), id=f"first {account}")
        await stage.ask(Add(account="b", amount=13), id="poison")
        for account in ("a", "b", "c"):
            await stage.ask(Add(account=account, amount=2), id=f"second {account}")

        async def others_went_on() -> bool:
            rows = await stage.rows("tally", "tallies")
            return total(rows, "a") == 3 and total(rows, "c") == 3

        await stage.eventually(others_went_on)
        assert total(await stage.rows("tally", "tallies"), "b") == 1
        dlt = "perdure.tally.commands.v1.dlt"
        await stage.eventually(lambda: _has(stage, dlt, 1))
        letters = await stage.everything(dlt)
        letter = codec.decode_body("shell.dead-lettered.v1", letters[0].value)
        assert (letter.code, letter.stream) == ("poison", "b")


async def test_a_stream_that_stops_again_is_told_again_and_goes_on_once_it_is_mended(
    stage: Stage,
) -> None:
    dlt, bad = "perdure.tally.commands.v1.dlt", {13}

    def moody(state: Tally, command: Any, facts: Facts, now: Any) -> Any:
        if command.amount in bad:
            raise ZeroDivisionError(f"{command.amount} is bad")
        return decide(state, replace(command, amount=command.amount % 12), facts, now)

    service = replace(TALLY, deciders=(replace(TALLY.deciders[0], decide=moody),))
    async with stage.running(service):
        for amount in (1, 13, 2):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        for tried in (1, 2, 3):
            await stage.eventually(lambda tried=tried: _has(stage, dlt, tried))
            told = [
                codec.decode_body("shell.dead-lettered.v1", r.value)
                for r in await stage.everything(dlt)
            ]
            assert [letter.stream for letter in told] == ["a"] * tried
            place = (told[0].topic, told[0].partition, told[0].offset)
            if tried == 3:
                bad.clear()
            await stage.unpark("a", of=(place[0], place[1], place[2] + 1))  # not the first one
            await stage.unpark("a", of=place)

        async def all_counted() -> bool:
            return total(await stage.rows("tally", "tallies"), "a") == 4

        await stage.eventually(all_counted)
        assert len(await stage.everything(dlt)) == 3


async def test_facts_are_looked_up_for_the_commands_that_ask(stage: Stage) -> None:
    async with stage.running(TALLY):
        await stage.ask(Add(account="known", amount=1), id="1")
        await stage.until("tally", "tallies", 1)
        await stage.ask(Add(account="known", amount=99), id="2")
        await stage.ask(Add(account="unknown", amount=99), id="3")

        async def counted() -> bool:
            return total(await stage.rows("tally", "tallies"), "known") == 100

        await stage.eventually(counted)
        assert total(await stage.rows("tally", "tallies"), "unknown") == 0


async def test_a_wake_fires_once_it_is_due(stage: Stage) -> None:
    async with stage.running(TALLY):
        await stage.ask(Add(account="a", amount=1, after_s=0.2), id="1")
        await stage.eventually(lambda: _has(stage, "perdure.tally.events.v1", 2))
        types = [
            codec.header(r.headers, "ce_type")
            for r in await stage.everything("perdure.tally.events.v1")
        ]
        assert types == [b"tally.added.v1", b"tally.rang.v1"]


async def test_a_second_process_takes_over_and_counts_on(stage: Stage) -> None:
    async with stage.running(LEDGER):
        async with stage.running(TALLY):
            await stage.ask(Add(account="a", amount=1), id="1")
            await stage.until("ledger", "entries", 1)
        async with stage.running(TALLY):
            await stage.ask(Add(account="a", amount=1), id="1")
            await stage.ask(Add(account="a", amount=2), id="2")
            entries = await stage.until("ledger", "entries", 2)
            assert total(await stage.rows("tally", "tallies"), "a") == 3
            assert sorted(e["amount"] for e in entries) == [1, 2]


async def test_two_processes_share_the_shards_and_nothing_is_doubled(stage: Stage) -> None:
    async with stage.running(LEDGER), stage.running(TALLY):
        for i in range(40):
            await stage.ask(Add(account=f"a{i % 10}", amount=1), id=f"{i}")
        async with stage.running(TALLY):
            for i in range(40, 80):
                await stage.ask(Add(account=f"a{i % 10}", amount=1), id=f"{i}")
            entries = await stage.until("ledger", "entries", 80)
        assert len(entries) == 80
        rows = await stage.rows("tally", "tallies")
        assert [total(rows, f"a{i}") for i in range(10)] == [8] * 10


def test_the_envelope_of_a_command_says_who_asked() -> None:
    envelope = Envelope(id="1", source="/x", type="t", tenant_id=TENANT, topic="perdure.x")
    assert TALLY.hear(Add(account="a", amount=1), envelope) == Add(account="a", amount=1)
