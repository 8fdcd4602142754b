"""How tasks are taken, run and answered.

Short tasks that may run twice run at once; their offset is done when their answer is in
the log, so a crash runs them again and the token makes the second answer stale. Long and
unsafe ones are claimed first: their offset is done with the claim, and the lease, kept by
heartbeats, says whether somebody still runs them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from perdure_common import fault
from perdure_common.durations import Durations
from perdure_common.ids import derived, partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Bus, Member, Outbound, Record, Unreachable
from perdure_contracts.engine import ErrorFacts, NodeResult, NodeTask
from perdure_contracts.message import NAMES
from perdure_contracts.shell import DeadLettered

from perdure_engine.runner.answers import answer_of
from perdure_engine.runner.claims import HEARTBEAT_S, Claims, Lost, Owner
from perdure_engine.runner.elsewhere import elsewhere, pass_on
from perdure_engine.runner.prefix import Prefix

TASKS = "perdure.engine.tasks.v1"
GROUP = "perdure.runner"

RUNS_MAX = 300
"""Attempts under way at once in one runner."""

PACE_S = 0.002
BACK_OFF_S = (0.1, 2.0)
FORGET_EVERY = 720
"""Heartbeats between two clean-ups of old claims: an hour."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Run:
    """An attempt under way; one that is `stopping` begins nothing more, and is cut off soon.

    One whose lease is `lost` is here until it has stopped, or its answer is sent.
    """

    task: NodeTask
    tenant_id: str
    record: Record
    claimed: bool
    work: asyncio.Task[None] | None = None
    stopping: bool = False
    lost: bool = False


@dataclass
class Counts:
    """What a runner has done since it began; read by the metrics."""

    tasks: int = 0
    answers: int = 0
    late: int = 0
    lost: int = 0
    unreadable: int = 0


def _delays() -> Durations:
    return Durations("perdure_task_delay_seconds", "How long tasks waited in their topic.")


@dataclass
class Work:
    """One runner. `perform` does the work of a task and never raises.

    `at_once` does it if it is computation only, without waiting; None says that it is not.
    `settled` says that the group has shared the partitions out once.
    """

    bus: Bus
    claims: Claims
    perform: Callable[[NodeTask], Awaitable[NodeResult]]
    name: str
    partitions: int
    now: Callable[[], datetime]
    at_once: Callable[[NodeTask], NodeResult | None] = lambda task: None
    counts: Counts = field(default_factory=Counts)
    delays: Durations = field(default_factory=_delays)
    settled: bool = False
    runs: dict[str, Run] = field(default_factory=dict)
    _prefixes: dict[int, Prefix] = field(default_factory=dict)
    _committed: dict[int, int] = field(default_factory=dict)
    _answers: list[tuple[Run | Lost, Outbound]] = field(default_factory=list)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _ours: set[int] = field(default_factory=set)
    _member: Member | None = None
    _joined: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _begun: set[str] = field(default_factory=set)
    """Attempts that were claimed and begun here, until that they are answered is noted."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run tasks until `stop` is set, finish what is under way, and leave."""
        loops = [
            asyncio.create_task(self._take()),
            asyncio.create_task(self._send()),
            asyncio.create_task(self._beat()),
        ]
        self._member = await self.bus.join(GROUP, TASKS, self._assigned, self._revoked)
        self._joined.set()
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, *loops}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            loops[0].cancel()
            await self._drain(10.0)
            await self._member.leave()
            for each in loops:
                each.cancel()
        failed = [each.exception() for each in loops if each.done() and not each.cancelled()]
        if failed and failed[0] is not None:
            raise failed[0]

    async def _drain(self, limit_s: float) -> None:
        """Let short runs end and send their answers."""
        try:
            async with asyncio.timeout(limit_s):
                while self._answers or any(not run.claimed for run in self.runs.values()):
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            log.warning("runs_left", runs=len(self.runs))
        await self._commit()

    # Which partitions are ours ----------------------------------------------------------

    async def _assigned(self, partitions: Sequence[int]) -> None:
        """Begin to read, beside: the first assignment may come before `join` returns."""
        self._ours.update(partitions)
        task = asyncio.create_task(self._begin_reading(partitions))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin_reading(self, partitions: Sequence[int]) -> None:
        await self._joined.wait()
        assert self._member is not None
        pause_s = BACK_OFF_S[0]
        while True:
            try:
                known = await self._member.committed(partitions)
                bounds = await self.bus.bounds([(TASKS, p) for p in partitions])
                break
            except Unreachable as error:
                log.warning("bus_unreachable", error=str(error), wait_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACK_OFF_S[1])
        for partition in self._ours.intersection(partitions) - set(self._prefixes):
            start = known.get(partition, bounds[TASKS, partition][0])
            self._prefixes[partition] = Prefix(start)
            self._committed[partition] = start
        self._read()
        self.settled = True

    async def _revoked(self, partitions: Sequence[int]) -> None:
        await self._commit()
        self._ours.difference_update(partitions)
        for partition in partitions:
            self._prefixes.pop(partition, None)
            self._committed.pop(partition, None)
        self._read()

    def _read(self) -> None:
        self.bus.read({(TASKS, p): prefix.next for p, prefix in self._prefixes.items()})

    async def _commit(self) -> None:
        """Commit the finished prefixes; what is not committed runs again after a crash."""
        moved = {
            p: prefix.next
            for p, prefix in self._prefixes.items()
            if prefix.next > self._committed.get(p, 0)
        }
        if not moved or self._member is None:
            return
        fault.point("before_offset")
        try:
            await self._member.commit(moved)
        except Unreachable as error:
            log.warning("offsets_not_committed", error=str(error))
        else:
            fault.point("after_offset")
            self._committed.update(moved)

    # Taking -----------------------------------------------------------------------------

    async def _take(self) -> None:
        while True:
            while len(self.runs) >= RUNS_MAX:
                self._room.clear()
                await self._room.wait()
            try:
                records = await self.bus.fetch(RUNS_MAX, 0.5)
            except Unreachable as error:
                log.warning("bus_unreachable", error=str(error))
                await asyncio.sleep(1.0)
                continue
            fresh = [run for record in records if (run := self._begin(record)) is not None]
            await self._claim([run for run in fresh if run.claimed])
            for run in fresh:
                if not run.claimed:
                    self._start(run)

    def _begin(self, record: Record) -> Run | None:
        """Return the run that a record asks for; None if there is none to make."""
        prefix = self._prefixes.get(record.partition)
        if prefix is None or not prefix.begin(record.offset):
            return None
        name = codec.header(record.headers, "ce_type")
        if name is not None and name.startswith(b"shell."):
            prefix.done(record.offset)
            return None
        try:
            task: Any = codec.decode_body((name or b"").decode(), record.value)
            assert isinstance(task, NodeTask)
            late = _instant(task.deadline) <= self.now()
            tenant = (codec.header(record.headers, "ce_tenantid") or b"").decode()
        except (
            codec.UnknownType, msgspec.DecodeError, RecursionError, AssertionError,
            ValueError, TypeError,
        ) as error:  # fmt: skip
            self._bury(record, f"the record is no engine.node-task.v1: {error}")
            return None
        self.counts.tasks += 1
        self.delays.see(max(0.0, self.now().timestamp() - record.timestamp_ms / 1000))
        under_way = self.runs.get(task.token)
        if under_way is not None:
            if record.offset > under_way.record.offset:  # the same task, sent twice
                prefix.done(record.offset)
            else:  # the partition went away and came back meanwhile
                under_way.record = record
            return None
        if late:
            self.counts.late += 1  # the engine has its own clock for this attempt
            prefix.done(record.offset)
            return None
        if task.avoid == self.name and self._passed_on(record):
            return None
        claimed = task.length == "long" or task.effect not in ("pure", "keyed")
        return Run(task, tenant, record, claimed)

    def _passed_on(self, record: Record) -> bool:
        """Give a task that another runner is to have to one, if there is another."""
        there = elsewhere(record.partition, self._ours, self.partitions)
        if there is None:
            return False
        sending = asyncio.create_task(pass_on(self.bus, record, there, self._done))
        self._tasks.add(sending)
        sending.add_done_callback(self._tasks.discard)
        return True

    async def _claim(self, runs: Sequence[Run]) -> None:
        """Claim what must not run twice; those that are not ours run elsewhere."""
        if not runs:
            return
        fault.point("before_claim")
        wanted = {r.task.token: Owner(r.tenant_id, r.task.execution_id) for r in runs}
        pause_s = BACK_OFF_S[0]
        unanswered = False
        while True:
            try:
                won = await self.claims.claim(self.name, wanted)
                if unanswered:  # what the claim before took, if it was written
                    won |= await self.claims.mine(self.name, list(wanted)) - self._begun
                break
            except Unreachable as error:
                unanswered = True
                log.warning("claims_unreachable", error=str(error), wait_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACK_OFF_S[1])
        fault.point("after_claim_before_effect")
        await self._recall([run.task.token for run in runs if run.task.token not in won])
        free = set(won)
        for run in runs:
            self._done(run.record)
            if run.task.token in free:  # the same task may stand in the topic twice
                free.remove(run.task.token)
                self._start(run)

    async def _recall(self, tokens: Sequence[str]) -> None:
        """Say of attempts that others have claimed that they were sent again."""
        if tokens:
            try:
                await self.claims.recall(tokens)
            except Unreachable as error:  # the deadline ends them
                log.warning("claims_unreachable", error=str(error))

    def _start(self, run: Run) -> None:
        self.runs[run.task.token] = run
        if run.claimed:
            self._begun.add(run.task.token)
        fault.point("before_effect")
        result = self.at_once(run.task)
        if result is not None:
            fault.point("after_effect")
            self._answer(run, run.tenant_id, result)
            return
        run.work = asyncio.create_task(self._perform(run))
        self._tasks.add(run.work)
        run.work.add_done_callback(self._tasks.discard)

    async def _perform(self, run: Run) -> None:
        try:
            result = await self.perform(run.task)
        except asyncio.CancelledError:
            self.runs.pop(run.task.token, None)
            self._room.set()
            raise
        fault.point("after_effect")
        self._answer(run, run.tenant_id, result)

    def _done(self, record: Record) -> None:
        prefix = self._prefixes.get(record.partition)
        if prefix is not None:
            prefix.done(record.offset)

    # Answering --------------------------------------------------------------------------

    def _answer(self, run: Run | Lost, tenant_id: str, result: NodeResult) -> None:
        answer = answer_of(result, tenant_id, self.name, self.partitions)
        self._answers.append((run, answer))
        self._answered.set()

    async def _send(self) -> None:
        """Send answers together; what is not acknowledged is sent again."""
        pause_s = BACK_OFF_S[0]
        while True:
            await self._answered.wait()
            self._answered.clear()
            while self._answers:
                waiting, self._answers = self._answers, []
                try:
                    results = await self.bus.send([record for _, record in waiting])
                except Unreachable as error:
                    results = [error] * len(waiting)
                sent = [w for w, failed in zip(waiting, results, strict=True) if failed is None]
                left = [w for w, failed in zip(waiting, results, strict=True) if failed]
                await self._settle([run for run, _ in sent])
                self._answers = left + self._answers
                if left:
                    log.warning("answers_not_sent", count=len(left))
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, BACK_OFF_S[1])
                else:
                    pause_s = BACK_OFF_S[0]
                    await asyncio.sleep(PACE_S)

    async def _settle(self, answered: Sequence[Run | Lost]) -> None:
        fault.point("after_answer_before_offset")
        finished: dict[str, list[str]] = {}
        for run in answered:
            self.counts.answers += 1
            if isinstance(run, Lost):
                finished.setdefault(run.runner, []).append(run.token)
                continue
            if run.claimed:
                finished.setdefault(self.name, []).append(run.task.token)
            self.runs.pop(run.task.token, None)
            if not run.claimed:
                self._done(run.record)
        self._room.set()
        for runner, tokens in finished.items():
            fault.point("before_finish")
            try:
                await self.claims.finish(runner, tokens)
                self._begun.difference_update(tokens)
                fault.point("after_finish")
            except Unreachable as error:  # the lease runs out, and the second answer is stale
                log.warning("claims_unreachable", error=str(error))

    def _bury(self, record: Record, reason: str) -> None:
        """Keep a record that is no task as a dead letter."""
        self.counts.unreadable += 1
        log.error("task_unreadable", partition=record.partition, offset=record.offset)
        letter = DeadLettered(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            code="invalid_body",
            reason=reason,
            value=record.value,
            key=record.key,
            headers=record.headers,
            received_ms=record.timestamp_ms,
        )
        unique = derived("dead-letter", record.topic, record.partition, record.offset)
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", unique.encode()),
            ("ce_source", b"/runner"),
            ("ce_type", NAMES[DeadLettered].encode()),
            ("content-type", b"application/json"),
        )
        place = partition_of(TASKS, self.partitions)  # where recovery looks for it
        outbound = Outbound(f"{TASKS}.dlt", place, codec.encode_body(letter), None, headers)
        run = Run(_NOBODY, "", record, claimed=False)
        self._answers.append((run, outbound))
        self._answered.set()

    # Heartbeats --------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Commit offsets, renew leases, stop what is not ours, report what others lost."""
        beats = 0
        while True:
            await asyncio.sleep(HEARTBEAT_S if beats % 5 else 1.0)
            beats += 1
            await self._commit()
            try:
                fault.point("before_heartbeat")
                await self._renew()
                fault.point("after_heartbeat")
                for lost in await self.claims.expired():
                    self.counts.lost += 1
                    self._answer(lost, "", _lost(lost.execution_id, lost.token, lost.runner))
                    fault.point("after_lost")
                if beats % FORGET_EVERY == 0:
                    await self.claims.forget()
                    self._begun.intersection_update(self.runs)
            except Unreachable as error:
                log.warning("claims_unreachable", error=str(error))

    async def _renew(self) -> None:
        held = [run for run in self.runs.values() if run.claimed and not run.lost]
        if not held:
            return
        renewed = await self.claims.renew(self.name, [run.task.token for run in held])
        for run in held:
            run.lost = run.task.token not in renewed
            left_s = renewed.get(run.task.token, 0.0)
            if left_s is None or run.work is None:
                continue
            run.stopping = True
            if not left_s:
                run.work.cancel()  # cut off, or the lease is lost: stop before the next effect
            else:  # the next beat may come too late
                asyncio.get_running_loop().call_later(left_s, run.work.cancel)


@lru_cache(1_024)
def _instant(text: str) -> datetime:
    """Return the instant of an ISO text; the tasks of one batch mostly have the same."""
    return datetime.fromisoformat(text)


_NOBODY = NodeTask(
    token="",
    execution_id="",
    workflow_id="",
    node_id="",
    node_type="",
    node_subtype="",
    parameters=(),
    items=(),
    effect="pure",
    length="short",
    deadline=datetime.max.replace(tzinfo=UTC).isoformat(),
    idempotency_key="",
)


def _lost(execution_id: str, token: str, runner: str) -> NodeResult:
    """Return the answer that a dead runner cannot give."""
    error = ErrorFacts(
        type="worker_lost",
        message=f"{runner.removeprefix('lost/')} stopped renewing its lease; "
        "whether the effect happened is not known",
        retryable=True,
        stage="lease",
        effect_state="unknown",
    )
    return NodeResult(
        execution_id=execution_id, token=token, outcome="failed", error=error, runner=runner
    )
