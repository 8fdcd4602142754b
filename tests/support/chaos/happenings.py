"""What is done to a platform in a chaos run, each with a line that says it happened."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from cutting_proxy import Proxy
from overload import Flood
from platform_stage import Stage

SLOW = (0.02, 0.15)
"""By how many seconds each answer of a slow PostgreSQL is late."""

SLOW_S = (2.0, 8.0)
STOPPED_S = (0.5, 14.0)
"""How long a service stands still: the longest outlives its session and its leases' heartbeat."""

IMMEDIATE = 0.5
"""How often PostgreSQL is stopped as `pg_ctl stop -m immediate` does it, and not killed."""

PAUSE_S = (0.5, 3.0)
"""Between two happenings."""


@dataclass
class Happenings:
    """Chance, and the platform it strikes. `counts` is the evidence, by kind."""

    stage: Stage
    proxy: Proxy
    flood: Flood
    chance: Random
    say: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    stopped: set[str] = field(default_factory=set)
    beside: "list[asyncio.Task[None]]" = field(default_factory=list)

    async def until(self, end: float) -> None:
        """Let one thing happen after the other until an instant of `time.monotonic()`."""
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self.kill: 6,
            self.slow: 2,
            self.stand_still: 2,
            self.server_dies: 1,
            self.connections_are_forgotten: 1,
        }
        while time.monotonic() < end:
            [kind] = self.chance.choices(list(kinds), list(kinds.values()))
            await kind()
            await asyncio.sleep(self.chance.uniform(*PAUSE_S))

    async def opening(self) -> None:
        """Let happen what no run may be without, however short it is."""
        await self.slow()
        for victim in ("engine", "runner"):
            await self.kill(victim)
            await asyncio.sleep(PAUSE_S[0])

    async def kill(self, victim: str = "") -> None:
        """Kill a service, and start it again at once or a little later."""
        victim = victim or self.chance.choice([*self.stage.names, "engine", "runner"])
        if victim in self.stopped:
            return
        kill = await self.stage.kill(victim)
        waiting = len(self.flood.accepted) - await self.flood.ended()
        kind = "kills under load" if kill.hit and waiting > 0 else "kills"
        self.note(kind, f"kill -9 {victim} ({kill.pid}), {waiting:,} triggers are under way")
        await asyncio.sleep(self.chance.choice((0.0, 0.0, 1.0)))
        self.stage.begin(victim)

    async def slow(self) -> None:
        """Make PostgreSQL slow for a while."""
        delay_s, length_s = self.chance.uniform(*SLOW), self.chance.uniform(*SLOW_S)
        text = f"PostgreSQL answers {delay_s * 1000:.0f} ms later for {length_s:.1f} s"
        self.note("slow spells", text)
        self.proxy.delay_s = delay_s

        async def fast_again() -> None:
            await asyncio.sleep(length_s)
            self.proxy.delay_s = 0.0

        self.beside.append(asyncio.create_task(fast_again()))

    async def stand_still(self) -> None:
        """Let a service stand still and wake up; it does not know that time has passed."""
        victim, length_s = self.chance.choice(self.stage.names), self.chance.uniform(*STOPPED_S)
        process = self.stage.processes[victim]
        if process.poll() is not None or victim in self.stopped:
            return
        self.note("pauses", f"{victim} ({process.pid}) stands still for {length_s:.1f} s")
        self.stopped.add(victim)
        self.stage.suspend(victim)

        async def go_on() -> None:
            await asyncio.sleep(length_s)
            self.stage.resume(victim)
            self.stopped.discard(victim)

        self.beside.append(asyncio.create_task(go_on()))

    async def server_dies(self) -> None:
        """Kill PostgreSQL, or stop it at once; its keeper starts it again."""
        immediate = self.chance.random() < IMMEDIATE
        kill = await self.stage.kill_server("postgres", immediate=immediate)
        self.note("server kills", f"{kill}{' (immediate)' if immediate else ''}")
        await self.stage.until_served("postgres")

    async def connections_are_forgotten(self) -> None:
        """Let every connection to PostgreSQL say nothing any more, and close none."""
        before = self.proxy.hushed
        self.proxy.hush()
        count = self.proxy.hushed - before
        self.note("silences", f"{count} connections to PostgreSQL fall silent")

    async def kafka_stands_still(self, length_s: float) -> None:
        """Stop Kafka for a while: connections stay, nothing is answered."""
        self.note("stops of Kafka", f"Kafka stands still for {length_s:.0f} s")
        self.stage.stop_server("kafka")
        await asyncio.sleep(length_s)
        self.stage.let_server_go_on("kafka")

    async def over(self) -> None:
        """Let nothing be wrong any more; who has ended is started again."""
        await asyncio.gather(*self.beside)
        for name in self.stage.names:
            if self.stage.processes[name].poll() is not None:
                self.say(f"{name} had ended, and is started again")
                self.stage.begin(name)
        await self.stage.until_ready()

    def note(self, kind: str, text: str) -> None:
        """Say what happens, and count it."""
        self.counts[kind] += 1
        self.say(text)
