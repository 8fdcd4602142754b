"""The processes of the platform and their supervisor, on ground that goes wrong.

Every service is the real one with its real wiring; only `main()` is left out.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import ExitStack
from datetime import timedelta
from unittest.mock import patch

import structlog
from perdure_common import fault
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.service import Service
from perdure_common.shell import folding, gather, lane, remake, snapshots, upkeep
from perdure_common.shell import shard as shards
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable
from perdure_common.shell.upkeep import Ground
from perdure_common.verify.archive import Purged
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.topology import TOPICS
from perdure_engine.app import service as ENGINE
from perdure_engine.app import service_with
from perdure_engine.definition import loading
from perdure_engine.definition.loading import Models
from perdure_engine.executions.queueing import Limits
from perdure_engine.runner import claims as leasing
from perdure_engine.runner import perform as performing
from perdure_engine.runner import work as working
from perdure_engine.runner.claims import MemoryClaims
from perdure_engine.runner.here import Here
from perdure_engine.runner.work import Work
from perdure_recovery import guard
from perdure_recovery import promises as recovery_promises
from perdure_recovery.app import service as RECOVERY
from perdure_scheduler import cron_course
from perdure_scheduler import promises as scheduler_promises
from perdure_scheduler.app import service as SCHEDULER
from perdure_scheduler.hooks import receipts as taken

from simulation.agents import Agents, SimSubsteps
from simulation.broker import SimBroker, SimBus
from simulation.hooks import HookServer, Instants, Receipts
from simulation.load import PARTITIONS, TENANT, TRIGGER_PARTITIONS, TRIGGERS, limited_id
from simulation.loop import BEGIN, Clock, Killed, Process, SimLoop, State, current, now, spawn
from simulation.outside import PERFORMERS, Tools, World, perform
from simulation.stores import Database, SimClaims, SimStore
from simulation.watch import Watch

GRACE_S = 7.0
"""What a cancel leaves to runners: some attempts end in that time, others do not."""

GENTLE = service_with(cancel_grace_s=GRACE_S)

SERVICES: tuple[Service, ...] = (ENGINE, SCHEDULER, RECOVERY)
SKEWS_S = (0.0, 0.0, -0.4, 0.7)
"""By how much clocks of processes may be wrong."""

MISTAKEN = 0.5
"""How often the core makes a mistake while what was let go too early is tried again."""

KINDS = ("engine", "scheduler", "recovery", "runner")


SMALL: tuple[tuple[object, str, object], ...] = (
    (leasing, "LEASE_S", 8.0),
    (working, "HEARTBEAT_S", 2.0),
    (upkeep, "TAIL_EVERY_S", 15.0),
    (snapshots, "SNAPSHOT_EVERY", 4),
    (shards, "STREAMS_MAX", 3),
    (remake, "PAGE", 5),
    (upkeep, "RESEND_MAX", 3),
    (gather, "RECORDS_MAX", 6),
    (gather, "DRAIN_MAX", 2),
    *((each, "LATE", timedelta(seconds=5)) for each in (cron_course, scheduler_promises)),
    *((each, "NODE_ATTEMPTS_MAX", 1) for each in (guard, recovery_promises)),
)
"""Limits that a run would never come to, so low here that it does all the time."""


class Stage:
    """Everything that there is in one run."""

    def __init__(self, seed: int, watch: Watch) -> None:
        def chance(what: str) -> random.Random:
            return random.Random(f"{seed}/{what}")

        self.watch = watch
        self.chance = chance("trouble")
        topics = {topic.name: PARTITIONS for topic in TOPICS}
        topics[TRIGGERS] = TRIGGER_PARTITIONS
        loop = asyncio.get_running_loop()
        began_ms = int(BEGIN.timestamp() * 1000)
        self.broker = SimBroker(
            topics,
            chance("broker"),
            watch,
            lambda: began_ms + int(loop.time() * 1000),
        )
        self.databases = {
            service.name: Database(
                MemoryStore(service.name),
                chance(f"database {service.name}"),
                watch.fault,
                watch.committing,
                watch.committed,
                watch.claimed,
            )
            for service in SERVICES
        }
        self.leases = leases = MemoryClaims()
        watch.wakes.unreliable = self.broker.truncated.__contains__
        watch.attempts.unreliable = self.broker.truncated.__contains__
        self.broker.done_with = lambda record: watch.attempts.done_with(
            record, lambda token: token in leases.leases
        )
        self.world = World(chance("world"), watch.fault, watch.breaks, changed=watch.effect)
        self.agents = Agents(
            chance("agents"), self.world.happens, lambda: self.world.moods, watch.breaks
        )
        self.load_chance = chance("load")
        self.others_chance = chance("others")
        self.senders_chance = chance("senders")
        self.clock_chance = chance("clocks")
        self.engine = _engine(chance("limits"), watch)
        self.processes: list[Process] = []
        self.buses: dict[str, list[str]] = {}
        self.owners: dict[str, Owner] = {}
        self.works: dict[str, Work] = {}
        self.servers: dict[str, HookServer] = {}
        self.receipts: Receipts = {}
        self.claims: dict[str, SimClaims] = {}
        self.kill_at: dict[str, float] = {}
        self.mistakes = 0.0
        self.mistaken_until_s = 0.0
        """Until when the core makes mistakes most of the time, where it makes any."""
        self.hand_over = self.chance.choice((0, 4, 100))
        self.definitions = Models()
        self._stops: dict[str, asyncio.Event] = {}
        self._names = 0
        self._down: set[str] = set()
        self.restoring = chance("restore")
        self.restored = False
        self.purged: Mapping[str, Purged] = {}
        self.swept = 0
        """What of the engine's journal was deleted with executions past their retention."""
        self.effects_before: set[str] = set()
        """Keys of effects of before a restore: it may be that nobody knows of them any more."""

    # Starting and ending ----------------------------------------------------------------

    def keep_down(self, kinds: Collection[str]) -> None:
        """Kill all processes of some kinds, and start none until they are let up again."""
        self._down |= set(kinds)
        for process in [each for each in self.processes if each.kind in kinds]:
            self.kill(process, "stopped for a restore")

    def let_up(self, kinds: Collection[str]) -> None:
        """Let processes of some kinds be again."""
        self._down -= set(kinds)
        for kind in sorted(kinds):
            self.start(kind)

    def start(self, kind: str) -> Process | None:
        """Start a process, unless its kind is kept down."""
        if kind in self._down:
            return None
        self._names += 1
        process = Process(f"{kind}-{self._names}", kind)
        process.skew_s = self.chance.choice(SKEWS_S)
        self.processes.append(process)
        self.watch.note(f"start {process.name}")
        if kind == "engine":
            self.definitions.clear()  # a new process has to look them up
        spawn(process, self._live(process))
        return process

    def running(self, kind: str = "") -> list[Process]:
        """Return the processes that are up (of a kind), paused ones too."""
        return [
            p
            for p in self.processes
            if p.state is not State.DEAD and not p.stopping and kind in ("", p.kind)
        ]

    def kill(self, process: Process, how: str) -> None:
        """End a process as `kill -9` does; the supervisor starts another one."""
        if process.state is State.DEAD:
            return
        process.state = State.DEAD
        self.watch.fault(how)
        self.watch.note(f"dead {process.name}")
        self._gone(process)
        self.broker.silent(process)
        if not process.stopping:
            self.start_later(process.kind, self.chance.choice((0.1, 0.5, 2.0, 12.0)))

    def pause(self, process: Process, length_s: float) -> None:
        """Let a process take no step for a while; it does not know."""
        if process.state is not State.RUNNING:
            return
        process.state = State.PAUSED
        self.watch.fault("pause" if length_s < 10 else "pause beyond the session")
        self.watch.note(f"paused {process.name}")
        self.broker.silent(process)
        loop = asyncio.get_running_loop()
        loop.call_later(length_s, self.resume, process, context=self.broker.context)

    def resume(self, process: Process) -> None:
        """Let a paused process go on; it hears of its group a little later."""
        if process.state is not State.PAUSED:
            return
        self.watch.note(f"resumed {process.name}")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        loop.go_on(process)
        for bus in self.broker.clients_of(process):
            for member in bus.seats:
                wait_s = self.chance.uniform(0.0, 1.5)
                spawn(process, self._wake_up(member.wake_up, wait_s))

    async def _wake_up(self, wake_up: Callable[[], Awaitable[None]], wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        await wake_up()

    def stop(self, process: Process) -> None:
        """End a process in good order, as SIGTERM does."""
        if process.state is State.DEAD or process.stopping:
            return
        process.stopping = True
        self.watch.fault("stopped in good order")
        process.context.run(self._stops[process.name].set)

    def start_later(self, kind: str, wait_s: float) -> None:
        """Start a process after a while."""
        loop = asyncio.get_running_loop()
        loop.call_later(wait_s, self.start, kind, context=self.broker.context)

    def _gone(self, process: Process) -> None:
        for bus in self.broker.clients_of(process):
            self.broker.forget(bus)
        self.owners.pop(process.name, None)
        self.works.pop(process.name, None)
        self.servers.pop(process.name, None)
        self.claims.pop(process.name, None)

    def freeze(self) -> None:
        """Let nothing happen any more but what is under way outside of the processes."""
        for process in self.processes:
            process.state = State.DEAD
        self.broker.reachable = True
        for database in self.databases.values():
            database.store.down = False

    # Living -----------------------------------------------------------------------------

    async def _live(self, process: Process) -> None:
        stop = self._stops[process.name] = asyncio.Event()
        try:
            if process.kind == "runner":
                await self._run(process, stop)
            else:
                await self._own(process, stop)
        except Unreachable:
            pass  # as in production: the process ends, and is started again
        except Exception as error:
            self.watch.breaks("shell", f"{process.name} ended by {error!r}")
        self._gone(process)
        process.state = State.DEAD
        self.watch.note(f"ended {process.name}")
        self.broker.silent(process)  # where it could not say good-bye
        if not process.stopping:
            self.start_later(process.kind, 0.5)

    async def _own(self, process: Process, stop: asyncio.Event) -> None:
        service = next(s for s in (self.engine, *SERVICES) if s.name == process.kind)
        bus = self.broker.connect(process.name, process)
        store = SimStore(self.databases[service.name], process)
        here = None
        if service is self.engine and self.hand_over:
            performer = self._performer(process, None)
            here = Here(
                lambda task, tenant_id: performer(task),
                name=process.name,
                partitions=PARTITIONS,
                most=self.hand_over,
                now=now,
            )
        ground = Ground(
            store, bus, now, process.name, TENANT, PARTITIONS, 2, here.take if here else None
        )
        owner = self.owners[process.name] = Owner(service, ground)
        listening = self._listen(process) if service is SCHEDULER else None
        try:
            await owner.run(stop)
        finally:
            if listening is not None:
                await self._listen_no_more(process, *listening)
            if here is not None:
                await here.close()
            await bus.close()

    def _listen(self, process: Process) -> tuple[HookServer, SimBus]:
        """Let a scheduler take requests, with a client of Kafka's of their own."""
        bus = self.broker.connect(f"{process.name}-hooks", process)
        database = self.databases["scheduler"]
        server = HookServer(process, bus, database, self.receipts, TENANT)
        self.servers[process.name] = server
        return server, bus

    async def _listen_no_more(self, process: Process, server: HookServer, bus: SimBus) -> None:
        self.servers.pop(process.name, None)
        await server.close()
        await bus.close()

    async def _run(self, process: Process, stop: asyncio.Event) -> None:
        bus = self.broker.connect(process.name, process)
        claims = SimClaims(self.leases, self.databases["engine"], self.watch.breaks)
        self.claims[process.name] = claims
        performer = self._performer(process, claims)
        work = Work(bus, claims, performer, process.name, PARTITIONS, now)
        self.works[process.name] = work
        try:
            await work.run(stop)
        finally:
            await bus.close()

    def _performer(
        self, process: Process, claims: SimClaims | None
    ) -> "Callable[[NodeTask], asyncio.Future[NodeResult]]":
        substeps = SimSubsteps(self.agents, self.leases, self.databases["engine"])
        tools = Tools(self.world, claims, substeps=substeps)

        def perform_here(task: NodeTask) -> "asyncio.Future[NodeResult]":
            return asyncio.ensure_future(perform(tools, task, process.name))

        return perform_here

    # Named points -----------------------------------------------------------------------

    def point(self, place: str) -> None:
        """Come to a named point; die there if the seed says so, or make a mistake."""
        probability = self.kill_at.get(place, 0.0)
        process = current()
        mistakes = self.mistakes if place == "while_deciding" else 0.0
        if mistakes and asyncio.get_running_loop().time() < self.mistaken_until_s:
            mistakes = MISTAKEN
        if mistakes and self.chance.random() < mistakes:
            self.watch.fault("mistake of the core")
            raise fault.Injected("a mistake of the core")
        if process is None or not probability or process.state is not State.RUNNING:
            return
        if self.chance.random() < probability:
            self.kill(process, f"killed at {place}")
            raise Killed


def _engine(chance: random.Random, watch: Watch) -> Service:
    """Return the engine; in some runs it lets few executions be open at once."""
    watch.admission.open_max_of = {limited_id(): 1}
    if chance.random() < 0.7:
        return GENTLE
    tenant, shard = chance.choice(((3, None), (5, None), (None, 3), (4, 3)))
    watch.admission.open_max = tenant
    return service_with(limits=Limits(tenant, shard, shards=PARTITIONS), cancel_grace_s=GRACE_S)


def patches(stage: Stage) -> ExitStack:
    """Put the virtual clock, this world and the named points in place of the real ones."""
    stack = ExitStack()
    stack.enter_context(patch.object(lane, "time", Clock))
    stack.enter_context(patch.object(folding, "time", Clock))
    stack.enter_context(patch.object(performing, "time", Clock))
    stack.enter_context(patch.object(performing, "PERFORMERS", PERFORMERS))
    stack.enter_context(patch.object(fault, "point", stage.point))
    stack.enter_context(patch.object(taken, "datetime", Instants))
    stack.enter_context(patch.object(loading, "_kept", stage.definitions))
    stack.enter_context(stage.agents.patches())
    for module, name, value in SMALL:
        stack.enter_context(patch.object(module, name, value))
    return stack


def quiet() -> ExitStack:
    """Let the services log nothing; return what ends that."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
    stack = ExitStack()
    stack.callback(lambda: structlog.configure(**before))
    return stack
