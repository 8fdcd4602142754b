"""What goes wrong and when: everything is drawn from the seed, nothing is spared.

Each seed has a temper of its own, so that some runs have many small faults and others a few
long ones.
"""

import asyncio
from collections.abc import Callable

from perdure_common import fault

from simulation.broker import Weather
from simulation.loop import Process, State
from simulation.outside import Moods
from simulation.stage import KINDS, SKEWS_S, Stage
from simulation.stores import Trouble

FUSE_MAX = 120
"""Steps of a process within which a fault hits it: steps are taken where work is done."""

LAST_S = 4.0
"""How long before the end of a run's faults many records may be lost."""

POINTS = tuple(sorted({place for places in fault.PLACES.values() for place in places}))
"""Every named point of every process."""

LOSABLE = (
    "perdure.engine.starts.v1",
    "perdure.engine.events.v1",
    "perdure.engine.failures.v1",
    "perdure.engine.commands.v1",
    "perdure.engine.tasks.v1",
    "perdure.scheduler.events.v1",
    "perdure.recovery.commands.v1",
    "perdure.recovery.events.v1",
)
"""Topics whose newest records Kafka may lose. What outsiders were told is safe is not among
them: nobody could send that again."""


class Troublemaker:
    """Lets things go wrong until it is told to stop."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._chance = stage.chance
        self._lossless = False
        self._temper = self._chance.choice((0.3, 1.0, 1.0, 2.0))

    def begin(self) -> None:
        """Make everything unreliable."""
        much, stage = self._temper, self._stage
        stage.broker.weather = Weather(
            slow=0.05 * much,
            fails=0.02 * much,
            unanswered=0.02 * much,
            late=0.015 * much,
            twice=0.06 * much,
            lost=0.03 * much,
            lag=0.6 * much,
        )
        for database in stage.databases.values():
            database.trouble = Trouble(
                slow=0.02 * much,
                unreachable=0.01 * much,
                unwritten=0.01 * much,
                unanswered=0.01 * much,
                late=0.01 * much,
            )
        stage.world.moods = Moods(
            slow=0.15 * much, refused=0.06 * much, busy=0.06 * much, cut=0.05 * much, silent=0.04
        )
        stage.kill_at = {place: 0.006 * much for place in POINTS}
        stage.mistakes = self._chance.choice((0.0, 0.005, 0.02))

    def keep_what_was_acknowledged(self) -> None:
        """Let Kafka lose nothing: what a backup has forgotten is nowhere else."""
        self._lossless = True
        self._stage.broker.weather.lost = 0.0

    def end(self) -> None:
        """Mend everything: from now on nothing goes wrong any more."""
        stage = self._stage
        stage.broker.weather = Weather()
        stage.broker.reachable = True
        stage.broker.cut_off.clear()
        for database in stage.databases.values():
            database.trouble = Trouble()
            database.store.down = False
        stage.world.moods = Moods()
        stage.kill_at = {}
        stage.mistakes = 0.0
        for claims in stage.claims.values():
            claims.away_until_s = 0.0
        for process in stage.processes:
            process.fuse = 0
            stage.resume(process)
        for kind in KINDS:
            if not stage.running(kind):
                stage.start(kind)

    async def run(self, until_s: float) -> None:
        """Let one thing after another go wrong."""
        loop = asyncio.get_running_loop()
        if self._chance.random() < 0.5 and not self._lossless:
            loop.call_at(until_s - LAST_S, self._lose_much)
        while loop.time() < until_s:
            await asyncio.sleep(self._chance.uniform(0.05, 1.2) / self._temper)
            await self._one()

    async def _one(self) -> None:
        chance, stage = self._chance, self._stage
        what = chance.randrange(100)
        running = stage.running()
        victim = chance.choice(running) if running else None
        if victim is None:
            return
        if what < 9:
            self._cut_leases()
        elif what < 24:
            self._light(victim, lambda: stage.kill(victim, "killed"))
        elif what < 38:
            length_s = chance.choice((0.2, 1.0, 3.0, 9.0, 9.0, 25.0))
            self._light(victim, lambda: stage.pause(victim, length_s))
        elif what < 46:
            if len(stage.running(victim.kind)) < 3:
                stage.watch.fault("another process")
                stage.start(victim.kind)
        elif what < 54:
            if len(stage.running(victim.kind)) > 1 or chance.random() < 0.4:
                kind = victim.kind
                stage.stop(victim)
                if not stage.running(kind):
                    stage.start_later(kind, chance.choice((0.1, 1.0, 4.0)))
        elif what < 60:
            stage.broker.change(chance.choice(sorted(stage.broker.groups)))
            stage.watch.fault("rebalance")
        elif what < 66:
            self._cut_off(victim)
        elif what < 72:
            self._database_away()
        elif what < 79:
            self._lose()
        elif what < 83:
            self._light(victim, lambda: self._set_clock(victim))
        elif what < 96:
            self._lag(victim)
        else:
            self._broker_away()

    def _light(self, process: Process, blow: Callable[[], None]) -> None:
        if process.state is State.RUNNING and not process.fuse:
            process.fuse, process.blow = self._chance.randint(1, FUSE_MAX), blow

    def _cut_off(self, process: Process) -> None:
        self._stage.watch.fault("cut off from Kafka")
        broker, name = self._stage.broker, process.name
        broker.cut_off.add(name)
        loop = asyncio.get_running_loop()
        loop.call_later(self._chance.uniform(0.2, 5.0), broker.cut_off.discard, name)

    def _lose_much(self) -> None:
        """Lose many records at last: of some places nothing comes after them."""
        self._stage.broker.weather.lost = 0.25

    def _cut_leases(self) -> None:
        """Keep a runner from renewing, rather one that has something to renew."""
        stage = self._stage
        busy = [n for n, w in stage.works.items() if any(r.claimed for r in w.runs.values())]
        known = sorted(busy or stage.claims)
        if known:
            stage.watch.fault("cut off from the leases")
            length_s = self._chance.choice((2.0, 10.0, 15.0, 15.0))
            until_s = asyncio.get_running_loop().time() + length_s
            stage.claims[self._chance.choice(known)].away_until_s = until_s

    def _set_clock(self, process: Process) -> None:
        self._stage.watch.fault("clock set")
        process.skew_s = self._chance.choice([s for s in SKEWS_S if s != process.skew_s])

    def _database_away(self) -> None:
        store = self._stage.databases[self._chance.choice(KINDS[:3])].store
        self._stage.watch.fault("database away")
        store.down = True

        def back() -> None:
            store.down = False

        asyncio.get_running_loop().call_later(self._chance.uniform(0.1, 4.0), back)

    def _broker_away(self) -> None:
        broker = self._stage.broker
        self._stage.watch.fault("Kafka away")
        broker.reachable = False

        def back() -> None:
            broker.reachable = True

        asyncio.get_running_loop().call_later(self._chance.uniform(0.1, 4.0), back)

    def _lose(self) -> None:
        if self._lossless:
            return
        place = (self._chance.choice(LOSABLE), self._chance.randrange(2))
        if self._stage.broker.lose(place, self._chance.randint(1, 3)):
            self._stage.watch.fault("end of a topic lost")

    def _lag(self, process: Process) -> None:
        loop = asyncio.get_running_loop()
        for bus in self._stage.broker.clients_of(process):
            place = bus.some_place(self._chance)
            if place is not None:
                self._stage.watch.fault("partition lags")
                bus.lag(place, loop.time() + self._chance.uniform(0.1, 6.0))
