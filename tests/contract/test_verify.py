"""`perdure_common.verify` on both grounds: it passes what is sound and finds what is damaged."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
from damage import InMemory, InPostgres, Keeper, Kept, taken, without_heard
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.decider import Outgoing, Recorded
from perdure_common.ids import partition_of
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.ports import Bus
from perdure_common.verify import Findings, archive, journal, remade
from perdure_common.verify.finding import ADVICE
from perdure_common.verify.service import verified
from perdure_contracts.message import NAMES
from tally import (
    LEDGER,
    PARTITIONS,
    TALLY,
    TENANT,
    Add,
    Added,
    Note,
    Stage,
    in_memory,
    real_stage,
    route,
)

HOME = str(partition_of("a", PARTITIONS))
COMMANDS = "perdure.tally.commands.v1"


@dataclass
class Scene:
    """Two services that have worked and stopped."""

    stage: Stage
    keepers: dict[str, Keeper]
    bus: Callable[[str], Bus]

    async def find(self, service: Service = TALLY) -> Findings:
        bus = self.bus(f"verify-{service.name}")
        archive = self.keepers[service.name].archive
        try:
            return await verified(service, archive, bus, tenant_id=TENANT, partitions=PARTITIONS)
        finally:
            await bus.close()


@pytest.fixture(params=["memory", "real"])
def servers_of_scene(request: pytest.FixtureRequest) -> tuple[str, str, str] | None:
    """The real servers' addresses, None for memory; asked for only where they are used."""
    if request.param == "memory":
        return None
    bootstrap: str = request.getfixturevalue("servers").kafka_bootstrap
    return request.getfixturevalue("database"), request.getfixturevalue("topic_prefix"), bootstrap


@pytest.fixture
async def scene(servers_of_scene: tuple[str, str, str] | None) -> AsyncIterator[Scene]:
    if servers_of_scene is None:
        memory = in_memory()
        keepers: dict[str, Keeper] = {n: InMemory(s) for n, s in memory.stores.items()}
        stage = memory.stage()
        await _work(stage)
        yield Scene(stage, keepers, memory.broker.client)
        return
    database, prefix, bootstrap = servers_of_scene
    tally, ledger = InPostgres(database, "tally"), InPostgres(database, "ledger")
    async for stage in real_stage(database, prefix, bootstrap):
        await _work(stage)
        yield Scene(
            stage,
            {"tally": tally, "ledger": ledger},
            lambda name: KafkaBus(bootstrap, name, prefix),
        )
    await tally.postgres.close()
    await ledger.postgres.close()


async def _work(stage: Stage) -> None:
    """Let both services do everything once: amounts, a refusal, a dead letter, a duplicate."""
    async with stage.running(TALLY), stage.running(LEDGER):
        for n, amount in enumerate((5, 3, 0, 4, 2)):
            await stage.ask(Add(account="a", amount=amount), id=f"{n}")
        await stage.ask(Add(account="a", amount=4), id="3")
        await stage.put(COMMANDS, "a", b"{", "garbage")
        await stage.until("ledger", "entries", 4)


async def test_what_two_services_did_keeps_every_promise(scene: Scene) -> None:
    for service in (TALLY, LEDGER):
        found = await scene.find(service)
        assert found.violations == []
        assert min(found.checked[what] for what in ("events", "streams", "shards")) > 0
    assert (await scene.find()).checked["messages"] >= 8
    assert (await scene.find()).checked["records"] == 7


async def test_the_smallest_pages_find_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await scene.find()
    for module in (archive, journal):
        monkeypatch.setattr(module, "PAGE", 2)
    by_pages = await scene.find()
    assert by_pages.violations == []
    assert by_pages.checked == whole.checked


# Damage ----------------------------------------------------------------------------------


def _latest(kept: Kept) -> datetime:
    return max(row.recorded_at for row in kept.rows)


def _never_published(kept: Kept) -> None:
    """Commit and publish one more row that never went out."""
    added = [row for row in kept.of(HOME) if row.type == NAMES[Added]][-1]
    versions = [row.version for row in kept.rows if row.stream == added.stream]
    seq = kept.marks[HOME].next_seq
    row = kept.add(added, seq=seq, version=max(versions) + 1, recorded_at=_latest(kept))
    place = ("perdure.ledger.commands.v1", int(HOME))
    events = ("perdure.tally.events.v1", int(HOME))
    mark = kept.marks[HOME]
    prev = (mark.sent[events], mark.sent[place])
    kept.change(row, meta=codec.encode_meta(codec.Meta(cause="9", prev=prev)))
    sent = {**mark.sent, events: codec.number(row.seq, 0), place: codec.number(row.seq, 1)}
    kept.mark(HOME, next_seq=row.seq + 1, published_seq=row.seq, sent=sent)


def _gap_in_numbers(kept: Kept) -> None:
    first, *rest = kept.of(HOME)
    for row in reversed(rest):
        kept.change(row, seq=row.seq + 1)
    assert first.seq == 1


def _gap_in_versions(kept: Kept) -> None:
    kept.rows.remove(next(row for row in kept.of(HOME) if row.stream == "a" and row.version == 2))


def _unknown_event(kept: Kept) -> None:
    row = next(row for row in kept.of(HOME) if row.stream == "a" and row.version == 2)
    kept.change(row, type="tally.taken-away.v1")


def _time_goes_back(kept: Kept) -> None:
    row = kept.of(HOME)[-1]
    kept.change(row, recorded_at=row.recorded_at - timedelta(days=1))


def _another_batch(kept: Kept) -> None:
    row = kept.of(HOME)[0]
    kept.change(row, recorded_at=row.recorded_at - timedelta(seconds=1))


def _another_event(kept: Kept) -> None:
    row = kept.of(HOME)[0]
    kept.change(row, data=row.data.replace('"amount":5', '"amount":6'))


def _applied_twice(kept: Kept) -> None:
    first, *_, last = [row for row in kept.of(HOME) if row.stream == "a"]
    meta = codec.decode_meta(last.meta)
    again = msgspec.structs.replace(meta, cause=codec.decode_meta(first.meta).cause)
    kept.change(last, meta=codec.encode_meta(again))


def _older_epoch(kept: Kept) -> None:
    for place, row in enumerate(kept.of(HOME)):
        meta = codec.decode_meta(row.meta)
        changed = msgspec.structs.replace(meta, epoch=5 if place == 0 else 4)
        kept.change(row, meta=codec.encode_meta(changed))


def _letter_lost(kept: Kept) -> None:
    row = next(row for row in kept.of(HOME) if row.type.startswith("shell.dead-lettered."))
    kept.change(row, type="shell.stream-unparked.v1", data='{"stream":"x","action":"retry"}')


def _marks_without_work(kept: Kept) -> None:
    kept.mark(HOME, heard=without_heard(kept.marks[HOME]))


DAMAGES: tuple[tuple[Callable[[Kept], None], Service, str, str], ...] = (
    (_gap_in_numbers, TALLY, "I4", "number 3 "),
    (_gap_in_versions, TALLY, "I4", "version 3 "),
    (_unknown_event, TALLY, "I4", "cannot be folded"),
    (_time_goes_back, TALLY, "I4", "was recorded before"),
    (_never_published, TALLY, "I5", "not there"),
    (_another_batch, TALLY, "I5", "another batch"),
    (_another_event, TALLY, "I5", "is not the event in the journal"),
    (_applied_twice, TALLY, "I6", "took effect"),
    (_older_epoch, TALLY, "I7", "written with epoch 4, after epoch 5"),
    (_letter_lost, TALLY, "I10", "no dead letter"),
    (_marks_without_work, LEDGER, "I10", "is heard up to 0 only"),
)


async def test_every_damage_is_found_and_told_with_what_to_do(scene: Scene) -> None:
    for damage, service, promise, text in DAMAGES:
        keeper = scene.keepers[service.name]
        before, planted = await taken(keeper.archive), await taken(keeper.archive)
        damage(planted)
        await keeper.put(planted)
        found = await scene.find(service)
        await keeper.put(before)
        told = [each for each in found.violations if each.promise == promise]
        assert any(text in each.found for each in told), (damage.__name__, found.violations)
        assert all(each.where.startswith((service.name, "perdure.")) for each in told)
        assert {each.advice for each in told} == {ADVICE[promise]}
    assert (await scene.find()).violations == []


async def test_a_message_that_was_never_committed_is_found_in_its_topic(scene: Scene) -> None:
    forged = (("x-prev", b"0"),)
    body = codec.encode_body(Add(account="a", amount=1))
    await scene.stage.put(
        "perdure.ledger.commands.v1", "a", body, f"tally/{HOME}/99.1",
        source=f"/tally/{HOME}", more=forged,
    )  # fmt: skip
    (found,) = (await scene.find()).violations
    assert (found.promise, "99.1" in found.found) == ("I5", True)
    assert "was never committed" in found.found


def _other_route(state: object, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    """Tell the ledger another amount than `tally.route` does."""
    return tuple(
        msgspec.structs.replace(
            each, message=Note(account=each.message.account, amount=each.message.amount + 1)
        )
        for each in route(cast("Any", state), recorded)
        if isinstance(each.message, Note)
    )


def _elsewhere(state: object, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    elsewhere = 1 - int(HOME)
    made = route(cast("Any", state), recorded)
    return tuple(msgspec.structs.replace(each, partition=elsewhere) for each in made)


def _more(state: object, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    made = route(cast("Any", state), recorded)
    return (*made, *made)


def _with_route(to: Callable[[Any, Any], tuple[Outgoing, ...]]) -> Service:
    (decider,) = TALLY.deciders
    return dataclasses.replace(TALLY, deciders=(dataclasses.replace(decider, route=to),))


async def test_a_message_that_the_core_does_not_make_of_its_event_is_found(scene: Scene) -> None:
    sound = await scene.find()
    assert (sound.violations, sound.checked["bodies"]) == ([], 5)  # a dead letter, too
    found = await scene.find(_with_route(_other_route))
    texts = [each.found for each in found.violations]
    assert len(texts) == 4
    assert all("is not what the core makes of its event" in text for text in texts), texts
    assert {each.promise for each in found.violations} == {"I5"}
    strayed = (await scene.find(_with_route(_elsewhere))).violations
    assert [each.found.partition(" belongs to ")[2] for each in strayed] == [
        f"perdure.ledger.commands.v1/{1 - int(HOME)}"
    ] * 4


async def test_what_another_version_tells_beside_is_no_violation(scene: Scene) -> None:
    assert (await scene.find(_with_route(_more))).violations == []


async def test_messages_are_compared_whatever_little_is_kept_of_streams(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEPT_MAX", "KEPT_BYTES_MAX", "ROWS_AT_ONCE", "STREAMS_AT_ONCE"):
        monkeypatch.setattr(remade, name, 1)
    found = await scene.find()
    assert (found.violations, found.checked["bodies"]) == ([], 5)


async def test_an_outsiders_command_that_was_read_and_forgotten_is_found(scene: Scene) -> None:
    keeper = scene.keepers["tally"]
    await scene.stage.ask(Add(account="a", amount=1), id="forgotten")
    kept = await taken(keeper.archive)
    place = (COMMANDS, int(HOME))
    consumed = kept.marks[HOME].consumed
    kept.mark(HOME, consumed={**consumed, place: consumed[place] + 1})
    await keeper.put(kept)
    (found,) = (await scene.find()).violations
    assert (found.promise, "forgotten" in found.found) == ("I10", True)


async def test_an_archive_knows_which_streams_are_to_be_woken(scene: Scene) -> None:
    archive = scene.keepers["tally"].archive
    assert await archive.wake(HOME, "a") is None
    async with scene.stage.running(TALLY):
        await scene.stage.ask(Add(account="a", amount=1, after_s=3_600), id="later")

        async def is_there() -> bool:
            return await archive.wake(HOME, "a") is not None

        await scene.stage.eventually(is_there)
    assert await archive.wake(HOME, "b") is None


async def test_an_archive_gives_streams_and_dead_letters_by_pages(scene: Scene) -> None:
    archive = scene.keepers["tally"].archive
    versions = [row.version async for row in archive.streams() if row.stream == "a"]
    assert len(versions) == 5
    read, after = list[int](), 0
    while rows := (await archive.after({"a": after, "nobody": 0}, 1)).get("a"):
        assert {row.stream for row in rows} == {"a"}
        read += [row.version for row in rows]
        after = read[-1]
    assert read == versions
    (letter,) = await archive.letters(HOME, 0, 10)
    assert (letter.place, letter.offset) == ((COMMANDS, int(HOME)), 6)
    assert await archive.letters(HOME, letter.seq, 10) == []
