"""The trace (W3C) of a message goes on with what it leads to, through crashes and snapshots."""

from dataclasses import replace

import pytest
from perdure_common.shell import codec, snapshots
from perdure_common.shell.ports import Record
from tally import LEDGER, TALLY, Add, Stage, in_memory
from virtual_time import timeless

COMMANDS = "perdure.tally.commands.v1"
EVENTS = "perdure.tally.events.v1"
NOTES = "perdure.ledger.commands.v1"
NOTED = "perdure.ledger.events.v1"

FIRST = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "rojo=00f067aa0ba902b7")
SECOND = ("00-11111111111111111111111111111111-2222222222222222-00", "")

WHOLE = replace(TALLY, deciders=(replace(TALLY.deciders[0], one_trace=True),))
"""A tally whose accounts are one work each, as executions are."""


async def add(
    stage: Stage,
    id: str,
    trace: codec.Trace = codec.NO_TRACE,
    *,
    amount: int = 1,
    after_s: float | None = None,
) -> None:
    """Send an amount to account `a`, as a part of a trace."""
    body = codec.encode_body(Add(account="a", amount=amount, after_s=after_s))
    pairs = zip(("traceparent", "tracestate"), trace, strict=True)
    headers = tuple((name, text.encode()) for name, text in pairs if text)
    await stage.put(COMMANDS, "a", body, id, more=headers)


async def told(stage: Stage, topic: str, count: int) -> list[codec.Trace]:
    """Return the traces of a topic's records, once there are `count`."""

    async def there() -> bool:
        return len(traces(await stage.everything(topic))) >= count

    await stage.eventually(there)
    return traces(await stage.everything(topic))


def traces(records: list[Record]) -> list[codec.Trace]:
    """Return the trace of each message, by its headers; what shells say to each other is none.

    What was not known to be sent before a crash is sent again, and counts once.
    """
    found: dict[bytes, codec.Trace] = {}
    for record in records:
        headers = dict(record.headers)
        if codec.PREV not in headers:
            continue
        found[headers["ce_id"]] = (
            headers.get("traceparent", b"").decode(),
            headers.get("tracestate", b"").decode(),
        )
    return list(found.values())


@timeless
async def test_both_headers_go_on_with_all_that_a_message_leads_to_in_all_services() -> None:
    stage = in_memory().stage()
    async with stage.running(TALLY), stage.running(LEDGER):
        await add(stage, "1", FIRST)
        await stage.until("ledger", "entries", 1)
        await add(stage, "2")
        await stage.until("ledger", "entries", 2)
        for topic in (EVENTS, NOTES, NOTED):
            assert traces(await stage.everything(topic)) == [FIRST, codec.NO_TRACE], topic


@timeless
async def test_a_refusal_and_a_dead_letter_are_part_of_their_messages_trace_and_of_no_other() -> (
    None
):
    stage = in_memory().stage()
    async with stage.running(TALLY):
        await add(stage, "1", FIRST, amount=0)
        await add(stage, "2", SECOND, amount=13)
        assert await told(stage, EVENTS, 1) == [FIRST]
        assert await told(stage, f"{COMMANDS}.dlt", 1) == [SECOND]
        await stage.unpark("a", "drop")
        await add(stage, "3")
        assert set((await told(stage, EVENTS, 2))[1:]) == {codec.NO_TRACE}


@pytest.mark.parametrize(
    ("trace", "goes_on"),
    [
        (("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "a=1"), codec.NO_TRACE),
        (("nothing", "a=1"), codec.NO_TRACE),
        (("", "a=1"), codec.NO_TRACE),
        ((FIRST[0], "a=" + "1" * codec.TRACESTATE_MAX), (FIRST[0], "")),
        ((FIRST[0], "a=\x07"), (FIRST[0], "")),
    ],
)
def test_what_is_not_written_as_it_must_be_does_not_go_on(
    trace: codec.Trace, goes_on: codec.Trace
) -> None:
    assert codec.trace_of(*trace) == goes_on


@timeless
async def test_a_stream_that_is_one_work_keeps_the_trace_it_began_with() -> None:
    memory = in_memory()
    stage = memory.stage()
    process = stage.process(WHOLE)
    await add(stage, "1", FIRST, after_s=5.0)
    await add(stage, "2", SECOND)
    await stage.until("tally", "tallies", 1)
    await process.crash(memory)
    async with stage.running(WHOLE):
        await add(stage, "3")
        assert await told(stage, EVENTS, 4) == [FIRST] * 4, "the third, and that it rang"


@timeless
async def test_a_snapshot_has_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SNAPSHOT_EVERY", 2)
    memory = in_memory()
    stage = memory.stage()
    process = stage.process(WHOLE)
    for n in range(12):
        await add(stage, f"{n}", FIRST if n == 0 else codec.NO_TRACE)
        await told(stage, EVENTS, n + 1)
    await process.crash(memory)
    snapshot, _ = (await memory.stores["tally"].load({"a": -1}))["a"]
    assert snapshot is not None and codec.decode_frame(snapshot.state).trace == FIRST
    async with stage.running(WHOLE):
        await add(stage, "last", SECOND)
        assert set(await told(stage, EVENTS, 13)) == {FIRST}
