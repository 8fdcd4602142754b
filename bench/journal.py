"""How fast the shell journals, when there is next to nothing to decide.

A service with one decider takes commands that lie ready in memory and makes one event of each;
store and tables are the real ones. No projections, no messages but the events: what is left is
reading, folding, the journal's rows, the marks, and publishing (to a bus in memory). It is held
against the least that PostgreSQL can do for the same rows: a bare COPY into an equal table with
the same indexes, on the same server, in the same run.

    QUICK=1 python -m bench.journal
"""

import asyncio
import gc
import io
import json
import statistics
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any

import asyncpg
import uvloop
from perdure_common import migrate, observe
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.cycles import freeze
from perdure_common.decider import Decider, Facts, Outgoing, Recorded, Upsert
from perdure_common.ids import partition_of
from perdure_common.run import utc_now
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import JournalRow
from perdure_common.shell.upkeep import Ground
from perdure_contracts.message import NAMES, message
from rich.console import Console

from bench import machine, stack

NAME = "bench_journal"
TENANT = "00000000-0000-7000-8000-000000000001"
PARTITIONS = 8
COMMANDS_TOPIC = f"perdure.{NAME}.commands.v1"
TEXT = "x" * 180
"""What makes an event of some 250 bytes, as those of the engine's steps."""

PER_STREAM = 10
READY_PER_S = 25_000
"""Commands that lie ready for each second of measuring: more than are taken."""

SETTLED = 1_000
"""Events after which the measuring begins."""

PATIENCE_S = 60.0


@message("bench_journal.note.v1")
class Note:
    """Asks for one event."""

    stream: str
    text: str


@message("bench_journal.begin.v1")
class Begin:
    """Asks for a stream's first event."""

    stream: str
    text: str


@message("bench_journal.noted.v1")
class Noted:
    """The event."""

    text: str


def _decide(state: int, command: Begin | Note, facts: Facts, now: object) -> tuple[Noted, ...]:
    return (Noted(text=command.text),)


def _evolve(state: int, event: Noted) -> int:
    return state + 1


def _project(state: int, recorded: Recorded[Noted]) -> tuple[Upsert, ...]:
    return ()


def _route(state: int, recorded: Recorded[Noted]) -> tuple[Outgoing, ...]:
    return ()


def _stream(command: Any) -> str:
    return command.stream


SERVICE = Service(
    name=NAME,
    deciders=(
        Decider(
            name="notes",
            initial=0,
            commands=(Begin, Note),
            events=(Noted,),
            creates=(Begin,),
            stream_of=_stream,
            decide=_decide,
            evolve=_evolve,
            project=_project,
            route=_route,
        ),
    ),
)


@dataclass(frozen=True)
class JournalFigures:
    """What the shell did, and what COPY did with the same rows, each a second.

    `in_batches` is COPY with a transaction for as many rows as the shell's batches had.
    """

    events_per_s: float
    rows_per_batch: float
    bytes_per_row: float
    copied_per_s: float
    in_batches_per_s: float

    @property
    def ratio(self) -> float:
        """The shell's events against the rows of the bare COPY."""
        return self.events_per_s / self.copied_per_s


def ready(count: int) -> MemoryBroker:
    """Return a broker with `count` commands, as another service's shards would send them."""
    topics = (COMMANDS_TOPIC, f"perdure.{NAME}.events.v1")
    names = [name for topic in topics for name in (topic, f"{topic}.dlt")]
    broker = MemoryBroker(dict.fromkeys(names, PARTITIONS))
    now = utc_now()
    said = dict.fromkeys(range(PARTITIONS), 0)
    begin, note = NAMES[Begin], NAMES[Note]
    for group in range(0, count, PER_STREAM * 50):
        streams = [str(uuid.uuid4()) for _ in range(min(50, (count - group) // PER_STREAM))]
        places = [partition_of(stream, PARTITIONS) for stream in streams]
        for turn in range(PER_STREAM):
            for stream, place in zip(streams, places, strict=True):
                command = (Note if turn else Begin)(stream=stream, text=TEXT)
                seq = said[place] + 1
                row = JournalRow(f"bench_load/{place}", seq, stream, 1, TENANT, "", "", "", now)
                before = codec.number(said[place], 0) if said[place] else 0
                body, name = codec.encode_body(command), note if turn else begin
                record = codec.outbound(
                    "bench_load", row, COMMANDS_TOPIC, place, codec.number(seq, 0), before, name,
                    body, stream,
                )  # fmt: skip
                broker.append("load", record)
                said[place] = seq
    return broker


async def through_the_shell(url: str, seconds: float) -> tuple[float, float]:
    """Return how many events are journalled a second, and how many stand in a batch."""
    count = int(READY_PER_S * (seconds + 1)) // (PER_STREAM * 50) * PER_STREAM * 50
    broker, store, stop = ready(count), PostgresStore(url, NAME, connections=3), asyncio.Event()
    bus = broker.client("shell")
    owner = Owner(SERVICE, Ground(store, bus, utc_now, "shell", TENANT, PARTITIONS))
    threshold = gc.get_threshold()
    freeze()  # as services do
    running = asyncio.create_task(owner.run(stop))

    def done() -> tuple[int, int]:
        stats = [lane.stats for lane in owner.lanes]
        return sum(each.events for each in stats), sum(each.batches for each in stats)

    try:
        async with asyncio.timeout(PATIENCE_S):
            while done()[0] < SETTLED:  # noqa: ASYNC110 - lanes count, they tell nobody
                await asyncio.sleep(0.01)
        began, before = time.perf_counter(), done()
        limit = began + seconds
        while time.perf_counter() < limit and done()[0] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        took_s, after = time.perf_counter() - began, done()
    finally:
        stop.set()
        await running
        await bus.close()
        await store.close()
        gc.unfreeze()
        gc.set_threshold(*threshold)
    events, batches = (then - at_first for then, at_first in zip(after, before, strict=True))
    return events / took_s, events / max(1, batches)


async def copied(url: str, seconds: float, batch: float) -> tuple[float, float, float]:
    """Return rows a second of COPY, at once and in batches, and the bytes of a row."""
    connection = await asyncpg.connect(url, server_settings={"search_path": NAME})
    try:
        text = io.BytesIO()
        await connection.copy_from_table("journal_entry", output=text)
        lines = text.getvalue().splitlines(keepends=True)
        await connection.execute("CREATE TABLE copied (LIKE journal_entry INCLUDING ALL)")
        size = max(1, round(batch))
        pieces = [b"".join(lines[i : i + size]) for i in range(0, len(lines), size)]
        whole = await _rates(connection, [text.getvalue()], len(lines), seconds)
        in_batches = await _rates(connection, pieces, len(lines), seconds)
    finally:
        await connection.close()
    return whole, in_batches, len(text.getvalue()) / len(lines)


async def _rates(connection: Any, pieces: list[bytes], rows: int, seconds: float) -> float:
    """Return the median of rows a second over as many rounds as fit, at least three."""
    found: list[float] = []
    limit = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < limit:
        await connection.execute("TRUNCATE copied")
        began = time.perf_counter()
        for piece in pieces:
            await connection.copy_to_table("copied", source=io.BytesIO(piece))
        found.append(rows / (time.perf_counter() - began))
    return statistics.median(found)


async def measure(url: str, seconds: float) -> JournalFigures:
    """Measure both on the server of a database; what is made there is removed again."""
    await migrate.up(url, NAME)
    try:
        events_per_s, batch = await through_the_shell(url, seconds)
        at_once, in_batches, size = await copied(url, seconds / 2, batch)
    finally:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"DROP SCHEMA {NAME} CASCADE")
            for role in ("shell", "api"):
                await connection.execute(f"DROP OWNED BY {NAME}_{role}; DROP ROLE {NAME}_{role}")
        finally:
            await connection.close()
    return JournalFigures(events_per_s, batch, size, at_once, in_batches)


def measured(url: str, seconds: float) -> JournalFigures:
    """Measure both from a program without an event loop, on the services' own kind of loop."""
    return uvloop.run(measure(url, seconds))


MEANING = {
    "journal_ratio": "events/s through the shell alone against rows/s of a bare COPY of them",
    "journal_events_per_s": "events/s through the shell alone: one decider, one event a command",
    "copy_rows_per_s": "rows/s of one COPY of the same rows, same table, same indexes",
    "copy_in_batches_per_s": "rows/s of COPY in transactions of as many rows as the shell's",
}


def main() -> int:
    """Run the benchmark."""
    observe.configure_logging(NAME, format="console", level="WARNING")
    before = machine.about()
    with stack.postgres() as url:
        found = measured(url, stack.MEASURE_S)
    result = {
        "journal_ratio": round(found.ratio, 3),
        "journal_events_per_s": round(found.events_per_s),
        "copy_rows_per_s": round(found.copied_per_s),
        "copy_in_batches_per_s": round(found.in_batches_per_s),
    }
    console = Console(width=120)
    console.print(f"journal ({before}; {stack.MEASURE_S:.0f} s; fsync on)")
    for key, value in result.items():
        console.print(f"{key:>22} {value:>10,}  {MEANING[key]}")
    console.print(
        f"{found.rows_per_batch:,.0f} rows in a batch, {found.bytes_per_row:,.0f} bytes in a row"
    )
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
