"""Requests to the scheduler's listener: who has a 2xx forgets, so what it says must happen.

The listener is the real one, but for its socket, on receipts that are kept in memory. Senders
send again, under the same id, until they are answered; sometimes the answer gets lost on its way.
"""

import asyncio
import hmac
import random
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, cast

import orjson
from definitions_for_tests import Definition, chain, node
from perdure_common.shell.ports import Bus, Unreachable
from perdure_scheduler.hook_settings import UNCAPPED
from perdure_scheduler.hooks.answers import Answers
from perdure_scheduler.hooks.files import Files
from perdure_scheduler.hooks.limits import Rates
from perdure_scheduler.hooks.listener import Listener
from perdure_scheduler.hooks.metrics import HookMetrics
from perdure_scheduler.hooks.receipts import Intake
from perdure_scheduler.hooks.routes import Routes
from perdure_scheduler.hooks.secrets import Secrets
from perdure_scheduler.hooks.store import HookStore
from perdure_scheduler.hooks.tools import Tools
from perdure_scheduler.hooks.trials import Trials
from prometheus_client import CollectorRegistry

from simulation.loop import Process, now, spawn
from simulation.stores import Database

SECRET = "a secret of the simulation"
CREDENTIALS: Mapping[str, tuple[str, ...]] = {"hooks": ("secret",)}
ANSWER_S = 8.0
"""How long a sender waits for an answer before it sends again, in virtual seconds."""

LOST = 0.15
"""How often an answer does not come to its sender."""

Receipts = dict[tuple[str, str], dict[str, Any]]


def _started_by(name: str, trigger: Definition) -> Definition:
    made = chain(name, node("set", "ACTION.SET", values={"n": "{{ $json.n }}"}))
    made["nodes"][0] = {**trigger, "node_id": made["nodes"][0]["node_id"]}
    return made


def _of_github(name: str) -> Definition:
    given = {"repository": "acme/shop", "credential": "hooks"}
    return _started_by(name, node("start", "TRIGGER.GITHUB", **given))


HOOKED: tuple[Definition, ...] = (
    _started_by("hooked", node("start", "TRIGGER.WEBHOOK", path="/sim", auth="none")),
    _of_github("hub one"),
    _of_github("hub two"),
)
"""What requests start: one workflow by its path, two by what GitHub sends."""


class Instants:
    """The class `datetime` as far as the listener asks it: in virtual time."""

    @staticmethod
    def now(zone: tzinfo | None = None) -> datetime:
        """Return the instant of the running loop, as the process sees it."""
        return now().astimezone(zone)


class SimHookStore:
    """What one process's listener asks of the scheduler's tables; receipts are beside them."""

    def __init__(self, database: Database, receipts: Receipts, tenant_id: str) -> None:
        self._database = database
        self._kept = receipts
        self.tenant_id = tenant_id

    async def run(self, name: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        """See `HookStore.run`; a statement may be done although its answer is lost."""
        here = self._database
        await here.travel()
        statements: Mapping[str, Callable[..., Sequence[Mapping[str, Any]]]] = {
            "routes": self._routes,
            "put_receipts": self._put_receipts,
            "receipts": self._receipts_of,
        }
        rows = statements[name](*arguments[1:])
        if here.happens("receipts written, no answer", here.trouble.unanswered):
            raise Unreachable("the statement was done, its answer was lost")
        await asyncio.sleep(0.001)
        return rows

    def _routes(self, paths: Sequence[str]) -> list[Mapping[str, Any]]:
        return [
            {**row, "trigger_config": orjson.dumps(row["trigger_config"]).decode()}
            for row in self._database.store.tables.get("trigger_index", ())
            if row["path"] in paths and row["deployment_status"] == "active" and row["is_active"]
        ]

    def _put_receipts(self, *columns: Sequence[Any]) -> list[Mapping[str, Any]]:
        new: list[Mapping[str, Any]] = []
        for source, id, event_id, received_at, execution_id, _ in zip(*columns, strict=True):
            if (source, id) not in self._kept:
                self._kept[source, id] = {
                    "source": source,
                    "id": id,
                    "event_id": event_id,
                    "received_at": received_at,
                    "execution_id": execution_id,
                }
                new.append({"source": source, "id": id})
        return new

    def _receipts_of(self, sources: Sequence[str], ids: Sequence[str]) -> list[Mapping[str, Any]]:
        deliveries = {
            (row["source"], row["id"]): row
            for row in self._database.store.tables.get("trigger_deliveries", ())
        }
        found: list[Mapping[str, Any]] = []
        for key in zip(sources, ids, strict=True):
            receipt = self._kept.get(key)
            if receipt is not None:
                taken = deliveries.get((receipt["source"], receipt["event_id"]))
                started = None if taken is None else orjson.dumps(taken["executions"]).decode()
                sha256 = None if taken is None else taken["body_sha256"]
                found.append({**receipt, "executions": started, "body_sha256": sha256})
        return found


class SimCredentials:
    """Has the one secret that requests are signed with."""

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        """See `Credentials.fields_of`."""
        del tenant_id, handle
        return {"secret": SECRET}


class HookServer:
    """The listener of one scheduler; it takes requests as long as its process lives."""

    def __init__(
        self, process: Process, bus: Bus, database: Database, receipts: Receipts, tenant_id: str
    ) -> None:
        self.process = process
        kept = cast("HookStore", SimHookStore(database, receipts, tenant_id))
        self._intake = Intake(kept, bus)
        self._drained = asyncio.Event()
        self._listener = Listener(
            Tools(
                tenant_id=tenant_id,
                store=kept,
                routes=Routes(kept),
                secrets=Secrets(cast("Any", SimCredentials()), tenant_id),
                rates=Rates(0),
                intake=self._intake,
                answers=Answers(kept),
                trials=Trials(kept, bus, 1),
                files=Files("http://sim.example", tenant_id),
                metrics=HookMetrics(CollectorRegistry()),
                bytes_max=10_000,
                caps=UNCAPPED,
                public_url="http://sim.example",
                bodies_url="http://sim.example/",
            )
        )
        self._working = asyncio.get_running_loop().create_task(self._intake.run(self._drained))

    async def close(self) -> None:
        """Write what came, and end."""
        self._drained.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._working, 10.0)

    def ask(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> "asyncio.Future[tuple[int, bytes]]":
        """Let the process answer a request; the future is never done if it dies before."""
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        spawn(self.process, self._answer(path, headers, body, answer))
        return answer

    async def _answer(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        answer: "asyncio.Future[tuple[int, bytes]]",
    ) -> None:
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
        }
        said: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        await self._listener(scope, receive, send)
        if not answer.done():
            answer.set_result((said[0]["status"], said[1]["body"]))


@dataclass
class Answered:
    """A request with a 2xx: the event that it is, and the execution that it named, if it did."""

    source: str
    event_id: str
    workflows: tuple[str, ...]
    execution_id: str = ""


@dataclass
class Senders:
    """Those who send requests, and what they were told."""

    servers: Mapping[str, HookServer]
    chance: random.Random
    workflow_ids: tuple[str, ...]
    tenant_id: str
    fault: Callable[[str], None]
    breaks: Callable[[str, str], None]
    answered: dict[str, Answered] = field(default_factory=dict)

    async def work(self, requests: int, for_s: float) -> None:
        """Send requests, each until it is answered."""
        loop = asyncio.get_running_loop()
        sending: list[asyncio.Task[None]] = []
        try:
            for n in range(requests):
                await asyncio.sleep(self.chance.uniform(0.0, 1.4 * for_s / requests))
                sending.append(loop.create_task(self._send(f"hook-{n}")))
            await asyncio.gather(*sending)
        finally:
            for each in sending:
                each.cancel()

    async def _send(self, id: str) -> None:
        github = self.chance.random() < 0.4
        body = orjson.dumps({"n": id, "repository": {"full_name": "acme/shop"}})
        headers = {"content-type": "application/json"}
        if github:
            name, workflows = "github", self.workflow_ids[1:]
            digest = hmac.digest(SECRET.encode(), body, "sha256").hex()
            headers |= {"x-github-event": "push", "x-github-delivery": id}
            headers["x-hub-signature-256"] = f"sha256={digest}"
        else:
            name, workflows = "sim", self.workflow_ids[:1]
            headers["webhook-id"] = id
        while True:
            told = await self._asked(f"/hooks/{self.tenant_id}/{name}", headers, body)
            if told is not None:
                self._heard(id, f"/hooks/{name}", workflows, told)
                if self.chance.random() >= LOST:
                    return
                self.fault("answer to a request lost")
            await asyncio.sleep(self.chance.uniform(0.1, 2.0))

    async def _asked(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | None:
        """Ask a scheduler; return what it answered with a 2xx, None if it did not."""
        names = sorted(self.servers)
        if not names:
            return None
        answer = self.servers[self.chance.choice(names)].ask(path, headers, body)
        try:
            status, said = await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            self.fault("request not answered")
            return None
        if status >= 300:
            if status != 503:
                self.breaks("webhook", f"{path} was answered {status}: {said.decode()[:200]}")
            return None
        return orjson.loads(said)

    def _heard(
        self, id: str, source: str, workflows: tuple[str, ...], told: Mapping[str, Any]
    ) -> None:
        named = str(told.get("execution_id", ""))
        now = Answered(source, str(told["event_id"]), workflows, named)
        before = self.answered.setdefault(id, now)
        if before.event_id != now.event_id:
            self.breaks("webhook", f"{id} is {before.event_id}, and is {now.event_id}")
        before.execution_id = before.execution_id or named


def check(
    senders: Senders,
    scheduler: Mapping[str, Sequence[Mapping[str, Any]]],
    engine: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    at_rest: bool,
    restored: bool,
) -> int:
    """Check that each request with a 2xx has started one execution of each of its workflows.

    The tables of both services are given. Before all rests it need not have done so yet. After a
    restore the execution that was named may be another one: its receipt may be forgotten.
    """
    accepted = {(r["source"], r["id"]): r for r in scheduler.get("trigger_deliveries", ())}
    executions = {r["execution_id"]: r for r in engine.get("workflow_executions", ())}
    for id, each in senders.answered.items():
        row = accepted.get((each.source, each.event_id))
        if row is None:
            if at_rest:
                senders.breaks("webhook", f"{id} had a 2xx and is forgotten")
            continue
        started: list[str] = list(row["executions"])
        if len(started) != len(each.workflows):
            senders.breaks("webhook", f"{id} starts {started} for {len(each.workflows)} triggers")
        if each.execution_id and not restored and each.execution_id not in started:
            senders.breaks("webhook", f"{id} was told {each.execution_id}, it is {started}")
        if not at_rest:
            continue
        found = sorted(str(executions[e]["workflow_id"]) for e in started if e in executions)
        if found != sorted(each.workflows):
            senders.breaks("webhook", f"{id} has started executions of {found}")
    if at_rest:
        _check_numbers(senders, accepted, executions)
    return len(senders.answered)


def _check_numbers(
    senders: Senders,
    accepted: Mapping[tuple[str, str], Mapping[str, Any]],
    executions: Mapping[str, Mapping[str, Any]],
) -> None:
    """Check that requests have started nothing beside what is known of them."""
    known = {e for key, row in accepted.items() if key[0].startswith("/hooks/")
             for e in row["executions"]}  # fmt: skip
    for execution_id, row in executions.items():
        hooked = str(row["workflow_id"]) in senders.workflow_ids
        if hooked and execution_id not in known:
            senders.breaks("webhook", f"execution {execution_id} was started for no request")
