import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound, Unreachable
from perdure_contracts.engine import ErrorFacts, NodeResult, NodeTask
from perdure_contracts.message import NAMES
from perdure_engine.runner.answers import RESULTS
from perdure_engine.runner.claims import LEASE_S, MemoryClaims, Owner
from perdure_engine.runner.large import is_large
from perdure_engine.runner.perform import at_once
from perdure_engine.runner.prefix import Prefix
from perdure_engine.runner.work import TASKS, Work

PARTITIONS = 2
Perform = Callable[[NodeTask], Awaitable[NodeResult]]


def task(token: str, **changes: Any) -> NodeTask:
    fields: dict[str, Any] = {
        "token": token,
        "execution_id": f"execution of {token}",
        "workflow_id": "w",
        "node_id": "n",
        "node_type": "EXTERNAL_ACTION",
        "node_subtype": "HTTP_REQUEST",
        "parameters": [{}],
        "items": [{}],
        "effect": "pure",
        "length": "short",
        "deadline": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "idempotency_key": "key",
    }
    return NodeTask(**{**fields, **changes})


class Stage:
    def __init__(self) -> None:
        topics = (TASKS, RESULTS, f"{TASKS}.dlt")
        self.broker = MemoryBroker(dict.fromkeys(topics, PARTITIONS))
        self.claims = MemoryClaims()
        self.outside = self.broker.client("engine")
        self.runs: list[str] = []

    async def perform(self, task: NodeTask) -> NodeResult:
        self.runs.append(task.token)
        return NodeResult(execution_id=task.execution_id, token=task.token, outcome="completed")

    @asynccontextmanager
    async def runner(self, name: str, perform: Perform | None = None) -> AsyncGenerator[Work]:
        work = Work(
            self.broker.client(name),
            self.claims,
            perform or self.perform,
            name,
            PARTITIONS,
            lambda: datetime.now(UTC),
            at_once=lambda task: at_once(task, name),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(work.run(stop))
        try:
            yield work
        finally:
            stop.set()
            await running

    async def give(self, *tasks: NodeTask) -> None:
        records = [
            Outbound(
                TASKS,
                partition_of(each.execution_id, PARTITIONS),
                codec.encode_body(each),
                None,
                (("ce_type", NAMES[NodeTask].encode()),),
            )
            for each in tasks
        ]
        assert not any(await self.outside.send(records))

    def answers(self) -> list[NodeResult]:
        return [
            codec.decode_body("engine.node-result.v1", r.value)
            for r in self.broker.records(RESULTS)
        ]

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not found():
                await asyncio.sleep(0.005)


async def test_a_task_is_run_and_answered_once() -> None:
    stage = Stage()
    async with stage.runner("r1"):
        await stage.give(*(task(f"t{i}") for i in range(20)))
        await stage.until(lambda: len(stage.answers()) == 20)
    assert sorted(stage.runs) == sorted(f"t{i}" for i in range(20))
    assert {answer.token for answer in stage.answers()} == set(stage.runs)


async def test_computation_is_done_without_waiting_and_finishes_its_offset() -> None:
    stage = Stage()
    computed = {"node_type": "FLOW", "node_subtype": "NOOP", "items": [{"n": 1}]}
    async with stage.runner("r1"):
        await stage.give(*(task(f"t{i}", **computed) for i in range(20)))
        await stage.until(lambda: len(stage.answers()) == 20)
    async with stage.runner("r2"):
        await stage.give(task("next", **computed))
        await stage.until(lambda: len(stage.answers()) == 21)
    assert stage.runs == []
    assert {answer.ports["main"][0]["json"]["n"] for answer in stage.answers()} == {1}


async def test_a_finished_task_is_not_run_again_by_the_next_runner() -> None:
    stage = Stage()
    async with stage.runner("r1"):
        await stage.give(task("a"))
        await stage.until(lambda: len(stage.answers()) == 1)
    async with stage.runner("r2"):
        await stage.give(task("b"))
        await stage.until(lambda: len(stage.answers()) == 2)
    assert stage.runs == ["a", "b"]


async def test_an_unsafe_task_that_comes_twice_is_run_by_one_runner_only() -> None:
    stage = Stage()
    async with stage.runner("r1"), stage.runner("r2"):
        await stage.give(task("a", effect="unsafe"), task("a", effect="unsafe"))
        await stage.give(task("end"), task("end too"))
        await stage.until(lambda: len(stage.answers()) >= 3)
    assert stage.runs.count("a") == 1


async def test_a_task_whose_deadline_has_passed_is_left_alone() -> None:
    stage = Stage()
    late = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    async with stage.runner("r1") as work:
        await stage.give(task("late", deadline=late), task("in time"))
        await stage.until(lambda: len(stage.answers()) == 1 and work.counts.late == 1)
    assert stage.runs == ["in time"]


async def test_a_record_that_is_no_task_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    stage = Stage()
    async with stage.runner("r1"):
        headers = (("ce_type", NAMES[NodeTask].encode()),)
        await stage.outside.send([Outbound(TASKS, 0, b"no task", None, headers)])
        await stage.give(task("a"))
        letters = f"{TASKS}.dlt"
        await stage.until(
            lambda: len(stage.answers()) == 1 and len(stage.broker.records(letters)) == 1
        )
    (letter,) = stage.broker.records(letters)
    assert codec.decode_body("shell.dead-lettered.v1", letter.value).value == b"no task"


async def test_a_task_that_comes_twice_while_it_runs_holds_no_offset_back() -> None:
    stage = Stage()
    go_on = asyncio.Event()

    async def slowly(task: NodeTask) -> NodeResult:
        await go_on.wait()
        return await stage.perform(task)

    async with stage.runner("r1", slowly) as work:
        await stage.give(task("a"))
        await stage.until(lambda: work.counts.tasks == 1)
        await stage.give(task("a"))
        await stage.until(lambda: work.counts.tasks == 2)
        go_on.set()
        await stage.until(lambda: len(stage.answers()) == 1)
    async with stage.runner("r2"):
        await stage.give(task("b"))
        await stage.until(lambda: len(stage.answers()) == 2)
    assert stage.runs == ["a", "b"]


async def test_a_task_whose_deadline_cannot_be_read_is_a_dead_letter() -> None:
    stage = Stage()
    async with stage.runner("r1"):
        await stage.give(task("a", deadline="soon"), task("b", deadline="2030-01-01T00:00:00"))
        await stage.give(task("c"))
        letters = f"{TASKS}.dlt"
        await stage.until(
            lambda: len(stage.answers()) == 1 and len(stage.broker.records(letters)) == 2
        )
    assert stage.runs == ["c"]


async def test_an_answer_that_could_not_be_sent_is_sent_again() -> None:
    stage = Stage()
    failures = iter([True, True])
    stage.broker.faults.fails = lambda client, record: (
        ConnectionError("no") if record.topic == RESULTS and next(failures, False) else None
    )
    async with stage.runner("r1"):
        await stage.give(task("a"))
        await stage.until(lambda: len(stage.answers()) == 1)
    assert stage.runs == ["a"]


async def test_a_lease_that_ran_out_is_reported_as_a_lost_worker() -> None:
    stage = Stage()
    await stage.claims.claim("gone", {"a": Owner("t", "e")})
    stage.claims.now_s = LEASE_S + 1
    async with stage.runner("r1"):
        await stage.until(lambda: len(stage.answers()) == 1)
    (answer,) = stage.answers()
    assert answer.error is not None
    assert (answer.token, answer.outcome, answer.error.type) == ("a", "failed", "worker_lost")
    assert answer.error.effect_state == "unknown"


async def test_a_runner_that_lost_its_lease_stops_before_its_next_effect() -> None:
    stage = Stage()
    stopped: list[str] = []

    async def endless(task: NodeTask) -> NodeResult:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(task.token)
            raise
        raise AssertionError

    async with stage.runner("r1", endless):
        await stage.give(task("a", effect="unsafe"))
        await stage.until(lambda: "a" in stage.claims.leases)
        stage.claims.leases["a"].runner = "somebody else"
        await stage.until(lambda: stopped == ["a"])
    assert stage.answers() == []


def _next(prefix: Prefix, done: Sequence[int]) -> int:
    for offset in done:
        prefix.done(offset)
    return prefix.next


def test_the_finished_prefix_waits_for_the_oldest_open_task() -> None:
    prefix = Prefix(5)
    assert [prefix.begin(offset) for offset in (5, 6, 7, 6)] == [True, True, True, False]
    assert _next(prefix, [6, 7]) == 5
    assert _next(prefix, [5]) == 8
    assert prefix.open == 0


HALF = "half a pair: \ud800"


async def test_items_that_are_no_json_fail_and_the_attempt_is_answered_at_once() -> None:
    async def perform(task: NodeTask) -> NodeResult:
        items = [{"json": {"t": "a"}}, {"json": {"t": HALF}}, {"json": endless(5_000)}, None]
        items += [{"json": endless(240)}, {"json": endless(260)}]
        why = ErrorFacts(type="upstream", message=HALF, codes=(HALF,))
        return NodeResult(
            execution_id=task.execution_id,
            token=task.token,
            outcome="failed",
            ports={"main": items},
            failed=((3, why),),
            error=why,
        )

    stage = Stage()
    async with stage.runner("r1", perform) as work:
        await stage.give(task("t"))
        await stage.until(lambda: len(stage.answers()) == 1)
        await stage.until(lambda: not work.runs)
    (answer,) = stage.answers()
    made = [{"json": {"t": "a"}}, None, None, None, {"json": endless(240)}, None]
    assert answer.ports == {"main": made}
    assert [place for place, _ in answer.failed] == [1, 2, 3, 5]
    assert {error.type for _, error in answer.failed} == {"output_not_json"}
    assert answer.error is not None and answer.error.effect_state == "done"


def endless(levels: int) -> Any:
    made: Any = []
    for _ in range(levels):
        made = [made]
    return made


async def test_what_is_no_json_outside_of_items_fails_the_attempt() -> None:
    async def perform(task: NodeTask) -> NodeResult:
        return NodeResult(
            execution_id=task.execution_id, token=task.token, outcome="completed", ports=HALF
        )

    stage = Stage()
    async with stage.runner("r1", perform):
        await stage.give(task("t"))
        await stage.until(lambda: len(stage.answers()) == 1)
    (answer,) = stage.answers()
    assert (answer.outcome, answer.error and answer.error.type) == ("failed", "output_not_json")


def test_what_is_no_json_is_not_large() -> None:
    result = NodeResult(execution_id="e", token="t", outcome="completed", ports=HALF * 100_000)
    assert not is_large(result)


class LosesAnswers(MemoryClaims):
    """Leases whose server goes away after it has written a claim; the answer does not come."""

    lost = 0

    async def claim(self, runner: str, tasks: Mapping[str, Owner]) -> frozenset[str]:
        """Claim, and lose the first answer to each set of tasks."""
        won = await super().claim(runner, tasks)
        if won or self.lost == 0:
            self.lost += 1
            raise Unreachable("it was written, and nobody heard")
        return won

    async def finish(self, runner: str, tokens: Sequence[str]) -> None:
        """Lose this, too: nothing is noted."""
        raise Unreachable("gone")


async def test_a_claim_whose_answer_is_lost_is_the_runners_that_made_it() -> None:
    stage = Stage()
    stage.claims = LosesAnswers()
    async with stage.runner("r1"):
        await stage.give(task("t1", effect="unsafe"))
        await stage.until(lambda: len(stage.answers()) == 1)
    assert (stage.runs, stage.claims.lost) == (["t1"], 1)


async def test_a_claim_whose_answer_is_lost_begins_nothing_that_was_begun_before() -> None:
    stage = Stage()
    stage.claims = LosesAnswers()
    async with stage.runner("r1"):
        await stage.give(task("t1", effect="unsafe"))
        await stage.until(lambda: len(stage.answers()) == 1)
        # The same task stands in the topic once more, and is claimed with another one.
        again = task("t1", effect="unsafe")
        await stage.give(again, task("t2", effect="unsafe", execution_id="execution of t1"))
        await stage.until(lambda: len(stage.answers()) == 2)
    assert stage.runs == ["t1", "t2"]
