"""A run of one seed: safety runs have faults to the end, liveness runs must come to rest."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from simulation import clocks, judge, purging
from simulation.hooks import Senders
from simulation.letting_go import let_go
from simulation.load import ALL, OFTEN, TENANT, WORKFLOWS, Load, data_for, hooked_ids
from simulation.loop import SimLoop, Stuck, run
from simulation.others import Others
from simulation.restoring import restore_sometimes
from simulation.stage import KINDS, Stage, patches
from simulation.trouble import Troublemaker
from simulation.watch import Broken, Watch

Kind = Literal["safety", "liveness"]

FAULTS_S = (15.0, 35.0)
"""How long things go wrong, at least and at most, in virtual seconds."""

REST_S = 500.0
"""How long everything may take to come to rest after the last fault, in virtual seconds."""

RESTORED = 0.25
"""How many runs go back to a backup."""

NOT_MENDED, MISTAKEN_S = 0.25, 1.5
"""How often people let streams go too early, and how long the core still fails then."""

LET_GO_S = 5.0
"""How often parked streams are let go while everything comes to rest."""

TRIGGERS = (8, 16)
REQUESTS = (2, 6)
FAULT_KINDS_MIN = 3
FAULTS_MIN = 8
"""A run with fewer faults, or fewer kinds of them, proves nothing and is a failure itself."""


@dataclass
class Result:
    """What a run came to."""

    seed: int
    kind: Kind
    broken: list[Broken]
    faults: Counter[str]
    trace: str
    events: int
    executions: int
    virtual_s: float
    steps: int
    rested_s: float = 0.0
    checked: Counter[str] = field(default_factory=Counter)


def kind_of(seed: int) -> Kind:
    """Return which kind of run a seed is: both take turns."""
    return "liveness" if seed % 2 else "safety"


def simulate(seed: int, log: list[str] | None = None) -> Result:
    """Run one seed in virtual time."""
    return run(_simulate(seed, Watch(log=log)))


async def _simulate(seed: int, watch: Watch) -> Result:
    kind = kind_of(seed)
    stage = Stage(seed, watch)
    load = Load(stage.broker.connect("users"), stage.load_chance)
    others = Others(stage, load, chance=stage.others_chance)
    senders = Senders(
        stage.servers, stage.senders_chance, hooked_ids(), TENANT, watch.fault, watch.breaks
    )
    rested_s = 0.0
    with patches(stage):
        try:
            await _set_up(stage, load)
            answering = asyncio.get_running_loop().create_task(others.work())
            trouble = Troublemaker(stage)
            await _misuse(stage, load, senders, trouble)
            if kind == "liveness" and not watch.broken:
                trouble.end()
                rested_s = await _come_to_rest(stage, load, others)
                await purging.sweep(stage, load)
                rested_s += await _come_to_rest(stage, load, others)
            answering.cancel()
        except Stuck:
            watch.breaks("liveness", "everything waits for something that will never come")
        checked = await judge.judged(stage, load, others, senders, at_rest=kind == "liveness")
    kinds = len(watch.faults)
    if kinds < FAULT_KINDS_MIN or watch.faults.total() < FAULTS_MIN:
        watch.breaks("simulation", f"only {watch.faults.total()} faults of {kinds} kinds")
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return Result(
        seed=seed,
        kind=kind,
        broken=watch.broken,
        faults=watch.faults,
        trace=watch.trace,
        events=watch.events,
        executions=len(stage.databases["engine"].store.tables.get("workflow_executions", ())),
        virtual_s=loop.time(),
        steps=loop.steps,
        rested_s=rested_s,
        checked=checked,
    )


async def _set_up(stage: Stage, load: Load) -> None:
    """Start everything, and let every workflow serve, before anything goes wrong."""
    for kind in (*KINDS, "engine", "runner"):
        stage.start(kind)
    for place in range(len(ALL)):
        await load.save(place)
    engine, scheduler = (stage.databases[name].store for name in ("engine", "scheduler"))
    await _until(lambda: len(engine.tables.get("workflow_versions", ())) == len(ALL))
    for place in range(len(WORKFLOWS)):
        await load.deploy(place, f"deploy-{place}")
    await _until(
        lambda: (
            [r["deployment_status"] for r in scheduler.tables.get("trigger_index", ())]
            == ["active"] * len(WORKFLOWS)
        )
    )


async def _until(found: Callable[[], bool], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        while not found():
            await asyncio.sleep(0.1)


async def _misuse(stage: Stage, load: Load, senders: Senders, trouble: Troublemaker) -> None:
    """Let the users work while things go wrong; stop at the first promise that breaks."""
    loop, chance = asyncio.get_running_loop(), stage.chance
    until_s = loop.time() + chance.uniform(*FAULTS_S)
    trouble.begin()
    restores = stage.restoring.random() < RESTORED
    if restores:
        trouble.keep_what_was_acknowledged()
    works = [
        loop.create_task(trouble.run(until_s)),
        loop.create_task(_use(load, chance.randint(*TRIGGERS), until_s - loop.time())),
        loop.create_task(_mend(stage, load, until_s)),
        loop.create_task(senders.work(senders.chance.randint(*REQUESTS), until_s - loop.time())),
        loop.create_task(
            clocks.use(load, stage.databases["scheduler"].store, stage.clock_chance, until_s)
        ),
    ]
    if restores:
        work = restore_sometimes(stage, stage.restoring, until_s - loop.time())
        works.append(loop.create_task(work))
    while not all(work.done() for work in works) and not stage.watch.broken:
        await asyncio.wait(works, timeout=1.0)
        if loop.time() > until_s + 60:
            break
    for work in works:
        work.cancel()
    for work in works:
        if work.done() and not work.cancelled() and (error := work.exception()) is not None:
            raise error


async def _use(load: Load, triggers: int, for_s: float) -> None:
    """Ask for things, one after the other."""
    chance = load.chance
    started: list[int] = []
    for n in range(triggers):
        await asyncio.sleep(chance.uniform(0.0, 1.4 * for_s / triggers))
        place = chance.choice(OFTEN)
        await load.trigger(place, f"event-{n}", data_for(chance))
        started.append(n)
        what = chance.random()
        if what < 0.12:
            await load.cancel_of(f"event-{chance.choice(started)}", f"cancel-{n}")
        elif what < 0.2:
            await load.undeploy(place, f"undeploy-{n}")
            await load.deploy(place, f"deploy-again-{n}")
        elif what < 0.3:
            await load.garbage(f"garbage-{n}")
        elif what < 0.4:
            await load.pause_of(f"event-{chance.choice(started)}", f"pause-{n}")
        elif what < 0.45:
            await load.rerun_of(f"event-{chance.choice(started)}", f"rerun-{n}")


async def _mend(stage: Stage, load: Load, until_s: float) -> None:
    """Let parked streams go on, as a person does who has mended the mistake, or thinks so."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        await asyncio.sleep(stage.load_chance.uniform(1.0, 6.0))
        if stage.load_chance.random() < NOT_MENDED:
            stage.mistaken_until_s = loop.time() + MISTAKEN_S
        await let_go(stage, load)


async def _come_to_rest(stage: Stage, load: Load, others: Others) -> float:
    """Wait until nothing is left to do; return how long that took."""
    loop = asyncio.get_running_loop()
    began_s = let_go_s = loop.time()
    await load.resume_all()
    await clocks.stop(load)
    while not stage.watch.broken:
        await asyncio.sleep(1.0)
        restless = judge.restless(stage, load)
        if not restless:
            break
        if loop.time() > let_go_s:
            let_go_s = loop.time() + LET_GO_S
            await let_go(stage, load)
            await others.answer_all()
        if loop.time() - began_s > REST_S:
            for each in restless[:5]:
                stage.watch.breaks("liveness", f"{REST_S:g} s after the last fault: {each}")
            break
    return loop.time() - began_s
