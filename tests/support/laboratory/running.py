"""Runs scenarios on one platform, side by side, and looks at what became of each."""

import asyncio
import base64
import os
import time
import traceback
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from perdure_common.embedded import Addresses
from platform_stage import ENDED, Stage
from stage_ground import Ground, shared_ground

from laboratory.outside import Server, address
from laboratory.scenario import Case, Expected, Scenario

LOOK_S = 0.25
SETTLE_S = 6.0
"""After its end, how long an execution's rows may still change before they are judged as they are:
what is told to recovery only then comes a moment later."""

LIMIT_S = 150.0

OPEN = ("planned", "running", "parked", "waiting_approval")
"""States of attempts that have no outcome yet."""

EXECUTIONS = """
    select d.id as event, x.* from scheduler.trigger_deliveries d,
           jsonb_array_elements_text(d.executions) as started (id)
      join engine.workflow_executions x on x.execution_id = started.id
     where d.id = any($1)
"""
DECISIONS = """
    select a.*, p.failure_type, p.pattern_signature, p.dependency
      from recovery.recovery_attempts a
      join recovery.failure_patterns p on p.id = a.failure_pattern_id
     where a.execution_id = any($1)
     order by a.created_at, a.attempt_number
"""
EXPLANATIONS = """
    select * from recovery.recovery_explanations where execution_id = any($1)
     order by created_at
"""


def settings_of(ground: Ground) -> dict[str, str]:
    """Return how the platform is set up: every server is local, databases are its own."""
    url = ground.database_url
    strict = f"{url}{'&' if '?' in url else '?'}default_transaction_isolation=repeatable%20read"
    return {
        "PERDURE_VERDICT_WAIT_S": "30",
        "PERDURE_CODE": "python",
        "PERDURE_CREDENTIALS_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "PERDURE_SQL_DATABASES": f"laboratory={url} laboratory-strict={strict}",
    }


@asynccontextmanager
async def laboratory_stage(
    servers: Addresses | None = None, ground: Ground | None = None
) -> AsyncGenerator[Stage]:
    """Give a platform that may reach local servers, on the servers of all tests or a ground."""
    if ground is not None:
        async with Stage(ground, allow=("127.0.0.0/8",), settings=settings_of(ground)) as stage:
            yield stage
        return
    assert servers is not None
    async with (
        shared_ground(servers) as shared,
        Stage(shared, allow=("127.0.0.0/8",), settings=settings_of(shared)) as stage,
    ):
        yield stage


@dataclass
class Seen:
    """What became of a scenario. `problems` is empty if it is what must become of it."""

    scenario: Scenario
    status: str = ""
    decisions: Sequence[Mapping[str, Any]] = ()
    explanations: Sequence[Mapping[str, Any]] = ()
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    expected: Expected | None = None
    took_s: float = 0.0
    problems: list[str] = field(default_factory=list[str])

    @property
    def types(self) -> list[str]:
        """The types of its failures, in order."""
        return [str(each["failure_type"]) for each in self.decisions]

    @property
    def strategies(self) -> list[str]:
        """What was decided, in order."""
        return [str(each["recovery_strategy"]) for each in self.decisions]

    @property
    def outcome(self) -> str:
        """What came of the last decision."""
        return str(self.decisions[-1]["recovery_outcome"] or "") if self.decisions else ""

    def differs(self, expected: Expected) -> list[str]:
        """Return in which ways it is not as expected."""
        found: list[str] = []
        pairs = (
            ("the execution is", self.status, expected.status),
            ("its failures are", self.types, list(expected.types)),
            ("what was decided is", self.strategies, list(expected.strategies)),
            ("the last outcome is", self.outcome, expected.outcome),
        )
        found += [f"{what} {is_!r}, not {must!r}" for what, is_, must in pairs if is_ != must]
        found += [
            f"{server} was asked {self.calls.get(server)} times, not {count}"
            for server, count in expected.calls.items()
            if self.calls.get(server) != count
        ]
        return found


@dataclass
class Laboratory:
    """Scenarios on a stage."""

    stage: Stage
    limit_s: float = LIMIT_S
    _servers: list[Server] = field(default_factory=list[Server])
    _triggering: asyncio.Lock = field(default_factory=asyncio.Lock)
    _events: dict[str, Case] = field(default_factory=dict[str, Case])
    _executions: dict[str, Any] = field(default_factory=dict[str, Any])
    _decisions: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])

    async def run(
        self, scenarios: Sequence[Scenario], killed: Sequence[Scenario] = (), first: int = 1
    ) -> list[Seen]:
        """Run scenarios, all at the same time; return what became of each, in order.

        In the middle of those of `killed`, which begin first, the runner is killed.
        """
        watching = asyncio.create_task(self._watch())
        try:
            doomed = [
                asyncio.create_task(self.one(each, number))
                for number, each in enumerate(killed, first)
            ]
            if doomed:
                await self._kill_worker(len(doomed))
            others = [
                self.one(each, number) for number, each in enumerate(scenarios, first + len(doomed))
            ]
            return [*await asyncio.gather(*doomed), *await asyncio.gather(*others)]
        finally:
            watching.cancel()

    async def _kill_worker(self, count: int) -> None:
        """Kill the runner once it is in the middle of all of these, and start another one."""
        async with asyncio.timeout(self.limit_s):
            while sum(len(each.asked) for each in self._servers) < count:
                await asyncio.sleep(0.05)
        assert (await self.stage.kill("runner")).hit
        self.stage.begin("runner")
        await self.stage.until_ready(["runner"])

    async def one(self, scenario: Scenario, number: int) -> Seen:
        """Run a scenario in a world of its own."""
        seen = Seen(scenario)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.limit_s), _case(self.stage, scenario, number) as case:
                await self._stage_it(scenario, case, seen)
        except Exception:  # one scenario that goes wrong leaves the others alone
            seen.problems.append(traceback.format_exc(limit=-3))
        seen.took_s = time.monotonic() - began
        return seen

    async def _stage_it(self, scenario: Scenario, case: Case, seen: Seen) -> None:
        self._servers += case.servers.values()
        if scenario.before is not None:
            await scenario.before(case)
        await self.stage.deploy(scenario.workflow(case))
        acting: asyncio.Task[None] | None = None
        if scenario.during is not None:
            acting = asyncio.create_task(_during(scenario, case))
        if scenario.waits_for_hold:
            await case.until("holding")
        async with self._triggering:  # its first call connects
            event_id = await self.stage.trigger(case.mark, scenario.data)
        self._events[event_id] = case
        try:
            await self._until_settled(scenario, case, event_id, seen)
        finally:
            if acting is not None and not acting.done():
                acting.cancel()
        self._judge(scenario, seen)
        if acting is not None:
            [error] = await asyncio.gather(acting, return_exceptions=True)
            if error is not None:
                seen.problems.append(f"what was to be done meanwhile came to nothing: {error!r}")
        if scenario.after is not None and not seen.problems:
            await scenario.after(case)

    def _judge(self, scenario: Scenario, seen: Seen) -> None:
        differences = [seen.differs(each) for each in scenario.expected]
        for expected, found in zip(scenario.expected, differences, strict=True):
            if not found:
                seen.expected = expected
                return
        seen.problems += min(differences, key=len)
        seen.problems += [f"  {each['ai_reasoning']}" for each in seen.decisions]

    async def _until_settled(
        self, scenario: Scenario, case: Case, event_id: str, seen: Seen
    ) -> None:
        ended_at: float | None = None
        while True:
            row = self._executions.get(event_id)
            if row is not None:
                seen.status = row["status"]
                seen.decisions = self._decisions.get(row["execution_id"], [])
                seen.calls = {name: len(each.asked) for name, each in case.servers.items()}
                if row["status"] in ENDED:
                    ended_at = ended_at or time.monotonic()
                    is_open = any(each["status"] in OPEN for each in seen.decisions)
                    fits = any(not seen.differs(each) for each in scenario.expected)
                    if (fits and not is_open) or time.monotonic() - ended_at > SETTLE_S:
                        break
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(2 * LOOK_S)  # what should not come has a moment to come
        seen.decisions = self._decisions.get(case.execution_id, [])
        seen.calls = {name: len(each.asked) for name, each in case.servers.items()}
        seen.explanations = await self.stage.rows(EXPLANATIONS, [case.execution_id])

    async def _watch(self) -> None:
        """Look at everything once in a while, for all scenarios together."""
        while True:
            waiting = list(self._events)
            if waiting:
                for row in await self.stage.rows(EXECUTIONS, waiting):
                    self._executions[row["event"]] = row
                    self._events[row["event"]].execution_id = row["execution_id"]
                ids = [each.execution_id for each in self._events.values() if each.execution_id]
                found: dict[str, list[Any]] = {}
                for row in await self.stage.rows(DECISIONS, ids):
                    found.setdefault(row["execution_id"], []).append(row)
                self._decisions = found
            await asyncio.sleep(LOOK_S)


async def _during(scenario: Scenario, case: Case) -> None:
    assert scenario.during is not None
    try:
        await scenario.during(case)
    except BaseException:
        case.names["holding"] = "failed"
        raise


@asynccontextmanager
async def _case(stage: Stage, scenario: Scenario, number: int) -> AsyncGenerator[Case]:
    host = address(number)
    servers = {
        name: Server(script, host, tls=name in scenario.tls)
        for name, script in scenario.servers.items()
    }
    case = Case(number, host, stage, servers)
    try:
        for server in servers.values():
            await server.begin()
        yield case
    finally:
        for server in case.servers.values():
            await server.end()
