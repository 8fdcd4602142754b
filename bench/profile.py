"""Where the engine's time goes: one engine in this process, fed from a topic that is full.

Real PostgreSQL and Kafka in a folder that is removed at the end, no other service. CPU time of
this process is the engine's; a sampler (py-spy) tells which functions it was spent in.

    python -m bench.profile [--chain inline3] [--executions 8000] [--no-sampler] [--save FILE]
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
from perdure_common import migrate, native, topics
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.cycles import freeze, look_for_cycles
from perdure_common.embedded import Addresses, Embedded
from perdure_common.ids import partition_of
from perdure_common.run import utc_now
from perdure_common.settings import DEFAULT_TENANT
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Outbound
from perdure_common.shell.upkeep import Ground
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.message import NAMES
from perdure_engine.app import service

from bench import machine
from bench.engine import CHAINS
from bench.load import Load

PARTITIONS = 8
RATE_HZ = 1000
"""Samples per second."""

SHARES = 25
"""Functions that are printed."""


class Speed:
    """How fast this core is now: neighbours slow it down, and every figure with it."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._spins = 0

    async def run(self) -> None:
        """Do the same piece of work now and then."""
        while True:
            began = time.process_time()
            for i in range(10_000):
                _ = {"a": i, "b": (i, i)}
            self.spent_s += time.process_time() - began
            self._spins += 1
            await asyncio.sleep(0.1)

    def ns(self) -> float:
        """Return the CPU nanoseconds of one turn of the loop."""
        return self.spent_s / self._spins / 10_000 * 1e9


@dataclass
class Engine:
    """An engine in this process."""

    addresses: Addresses
    owner: Owner | None = None

    async def start(self) -> None:
        """Own all shards."""
        self.store = PostgresStore(self.addresses.database_url, "engine", connections=3)
        self.bus = KafkaBus(self.addresses.kafka_bootstrap, "bench-engine")
        ground = Ground(self.store, self.bus, utc_now, "bench", DEFAULT_TENANT, PARTITIONS)
        self.owner = Owner(service, ground)
        freeze()
        self._stop = asyncio.Event()
        self._cycles = asyncio.create_task(look_for_cycles(self._stop))
        self._running = asyncio.create_task(self.owner.run(self._stop))

    async def stop(self) -> None:
        """Give the shards back."""
        self._stop.set()
        await self._running
        await self._cycles
        await self.bus.close()
        await self.store.close()

    def commands(self) -> int:
        """Return how many commands were decided."""
        assert self.owner is not None
        return sum(lane.stats.commands for lane in self.owner.lanes)

    async def until(self, commands: int, *, published: bool = True) -> None:
        """Wait until so many commands were decided, and what they say is published."""
        assert self.owner is not None
        publisher = self.owner.publisher
        while self.commands() < commands or (published and publisher.unsent()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def save_workflow(bootstrap: str, chain: str) -> str:
    """Send the definition of a chain and return its id."""
    workflow_id = str(uuid.uuid4())
    message = SaveWorkflow(workflow_id=workflow_id, definition=CHAINS[chain], saved_by="bench")
    key = workflow_id.encode()
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", key),
        ("ce_source", b"/bench"),
        ("ce_type", NAMES[SaveWorkflow].encode()),
    )
    record = Outbound(
        service.commands_topic,
        partition_of(workflow_id, PARTITIONS),
        codec.encode_body(message),
        key,
        headers,
    )
    bus = KafkaBus(bootstrap, "bench-save")
    for error in await bus.send([record]):
        if error is not None:
            raise error
    await bus.close()
    return workflow_id


def fill(bootstrap: str, workflow_id: str, executions: int) -> None:
    """Send the starts that the engine will find."""
    load = Load(bootstrap, PARTITIONS)
    load.begin()
    load.send(workflow_id, executions)
    load.end()


def sampler(folder: Path) -> subprocess.Popen[bytes]:
    """Begin to sample this process."""
    pid = str(psutil.Process().pid)
    py_spy = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    assert py_spy is not None, "py-spy is not installed; run `make setup`"
    command = [py_spy, "record", "--pid", pid, "--rate", str(RATE_HZ), "--nonblocking"]
    return subprocess.Popen(
        [*command, "--format", "raw", "--output", str(folder / "samples"), "--duration", "600"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def shares(samples: str) -> tuple[Counter[str], Counter[str], int]:
    """Return samples by function: those in it alone, those in it and what it calls; and all."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] + ")" for frame in stack.split(";")]
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    return own, whole, total


async def measure(addresses: Addresses, args: argparse.Namespace, folder: Path) -> None:
    """Fill the topic, run the engine until it is empty, print what that took."""
    engine = Engine(addresses)
    await engine.start()
    workflow_id = await save_workflow(addresses.kafka_bootstrap, args.chain)
    await engine.until(1)
    await engine.stop()
    fill(addresses.kafka_bootstrap, workflow_id, args.executions)
    groups = {"engine": psutil.Process()}
    state = Embedded(folder / "servers").status()
    for name, server in (("PostgreSQL", state.postgres), ("Kafka", state.kafka)):
        assert server is not None
        groups[name] = psutil.Process(server.pid)
    connection = await asyncpg.connect(addresses.database_url)
    where = "select pg_current_wal_lsn() - '0/0'::pg_lsn"
    sampling = sampler(folder) if args.sampler else None
    engine = Engine(addresses)
    await engine.start()
    await engine.until(1, published=False)
    wal, before = await connection.fetchval(where), machine.cpu_s(groups)
    began, first, speed = time.perf_counter(), engine.commands(), Speed()
    spinning = asyncio.create_task(speed.run())
    await engine.until(args.executions)
    took_s = time.perf_counter() - began
    spinning.cancel()
    after = dict(machine.cpu_s(groups))
    after["engine"] -= speed.spent_s
    steps = (args.executions - first) * (len(CHAINS[args.chain]["nodes"]) - 1)
    wal = await connection.fetchval(where) - wal
    await connection.close()
    if sampling is not None:
        sampling.send_signal(2)
        sampling.wait()
        tell(folder / "samples", (after["engine"] - before["engine"]) / steps * 1e6)
    await engine.stop()
    assert engine.owner is not None
    batches = sum(lane.stats.batches for lane in engine.owner.lanes)
    for name in groups:
        print(f"{name}: {(after[name] - before[name]) / steps * 1e6:.1f} µs of CPU for each step")
    print(f"one turn of a plain loop took {speed.ns():.0f} ns of CPU meanwhile")
    print(f"{steps / took_s:,.0f} steps/s, {wal / steps:,.0f} bytes of WAL for each step")
    print(f"{batches} batches, {args.executions / batches:.0f} executions in each")


def tell(path: Path, us: float) -> None:
    """Print the largest shares of the samples."""
    own, whole, total = shares(path.read_text(encoding="utf-8"))
    print(f"{'alone':>6} {'µs':>6}")
    for frame, count in own.most_common(SHARES):
        print(f"{count / total:6.1%} {us * count / total:6.1f} {frame}")
    print(f"{'whole':>6} {'µs':>6}")
    for frame, count in whole.most_common(2 * SHARES):
        print(f"{count / total:6.1%} {us * count / total:6.1f} {frame}")


async def run(args: argparse.Namespace, folder: Path) -> None:
    """Have servers of our own, and measure on them."""
    embedded = Embedded(folder / "servers")
    try:
        addresses = await asyncio.to_thread(embedded.start)
        await asyncio.gather(
            migrate.up(addresses.database_url, "engine"),
            topics.create_topics(addresses.kafka_bootstrap, "perdure", PARTITIONS),
        )
        await measure(addresses, args, folder)
    finally:
        await asyncio.to_thread(embedded.stop)


def main() -> None:
    """Measure one engine."""
    parser = argparse.ArgumentParser(description="Profile one engine.")
    chains = [name for name in CHAINS if name.startswith("inline")]
    parser.add_argument("--chain", choices=chains, default="inline3")
    parser.add_argument("--executions", type=int, default=8_000)
    parser.add_argument("--no-sampler", dest="sampler", action="store_false")
    parser.add_argument("--save", type=Path, help="where to keep the samples (flame graph text)")
    args = parser.parse_args()
    if native.in_use():  # the sampler sees the stack of Python only
        os.environ["PERDURE_NATIVE"] = "off"
        os.execv(sys.executable, [sys.executable, "-m", "bench.profile", *sys.argv[1:]])
    folder = Path(tempfile.mkdtemp(prefix="perdure-profile-"))
    folder.chmod(0o711)
    try:
        import uvloop

        uvloop.run(run(args, folder))
        if args.save and args.sampler:
            shutil.copy(folder / "samples", args.save)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
