"""A platform of real processes for tests: services that can be killed and started again.

A stage stands on servers that it shares (`shared_ground`) or that are its own (`own_ground`),
(stage_ground.py), always with a database and topics of its own. Read next: promises.py, which
judges what it did.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import asyncpg
import httpx
import psutil
from perdure_common import migrate
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Phase
from perdure_common.embedded.lifeline import tied
from perdure_common.embedded.ports import Ports
from perdure_common.ids import partition_of, sha256_of_json
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_common.topics import create_topics
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.message import NAMES
from perdure_contracts.publish import Publisher, PublishError
from perdure_contracts.scheduler import DeploymentFailed, DeployWorkflow, WorkflowDeployed
from stage_ground import Ground
from zygote import Child, Zygote, shared_zygote

MODULES = {
    "engine": "perdure_engine.app",
    "runner": "perdure_engine.runner.app",
    "scheduler": "perdure_scheduler.app",
    "recovery": "perdure_recovery.app",
}
PARTITIONS = 4
PATIENCE_S = 90.0
PATIENT = {"PERDURE_VERDICT_WAIT_S": "60"}
"""A killed recovery is away for some ten seconds; what waits for it should not fail meanwhile."""

MANUAL = "perdure.trigger.manual"
SOURCE = "/tests"
ENDED = ("SUCCESS", "ERROR", "CANCELED", "TIMEOUT")
_GONE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


ASKS_FOR_PATHS = frozenset(("WEBHOOK", "GITHUB", "SLACK"))
DEPLOYED = """
select deployment_action, error_message from scheduler.workflow_deployment_history
 where workflow_id = $1 and deployment_action in ('DEPLOY_COMPLETED', 'DEPLOY_FAILED')
"""


class Refused(Exception):
    """A command was refused; `code` is the refusal's, the text its reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Kill:
    """A `kill -9`: whom it hit, whether it lived and was ready, and how much was open then."""

    victim: str
    pid: int
    hit: bool
    open_executions: int

    def __str__(self) -> str:
        """The evidence in one line."""
        how = "ended by it" if self.hit else "was gone before"
        return f"kill -9 {self.victim} ({self.pid}): {how}, {self.open_executions} open"


@dataclass
class Stage:
    """The platform on its ground; an async context manager that starts and ends all of it.

    Services are forked from a `zygote`, which is quick; without one each loads its code itself.
    """

    ground: Ground
    allow: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: PATIENT)
    names: Sequence[str] = tuple(MODULES)
    zygote: Zygote | None = field(default_factory=lambda: shared_zygote(*MODULES.values()))
    processes: dict[str, "subprocess.Popen[bytes] | Child"] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    _hooks: dict[str, int] = field(default_factory=dict)
    _claims: Ports = field(default_factory=Ports)
    _connection: Any = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _bus: Any = None
    _publisher: Any = None
    _asked: int = 0

    async def __aenter__(self) -> "Stage":
        """Migrate, create topics, start every service and wait until each is ready."""
        ground = self.ground
        (self.ground.folder / "logs").mkdir(exist_ok=True)
        await asyncio.gather(
            *(migrate.up(ground.database_url, name) for name in migrate.services()),
            create_topics(ground.kafka_bootstrap, ground.prefix, PARTITIONS),
        )
        self._bus = KafkaBus(ground.kafka_bootstrap, "stage", ground.prefix)
        self.ports = {name: self._claims.claim() for name in self.names}
        try:
            for name in self.names:
                self.begin(name)
            await self.until_ready()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything that was started here, kindly first."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                await asyncio.to_thread(process.wait, 15.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        await self._hang_up()
        if self._bus is not None:
            await self._bus.close()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        self._claims.release()

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which the command line finds the servers and the services."""
        home = {"PERDURE_HOME": str(self.ground.folder / "home")}
        urls = {f"PERDURE_{n.upper()}_URL": f"http://127.0.0.1:{p}" for n, p in self.ports.items()}
        return {**home, **self._servers, **urls}

    @property
    def _servers(self) -> dict[str, str]:
        return {
            "PERDURE_DATABASE_URL": self.ground.database_url,
            "PERDURE_KAFKA_BOOTSTRAP": self.ground.kafka_bootstrap,
            "PERDURE_TOPIC_PREFIX": self.ground.prefix,
            "PERDURE_PARTITIONS": str(PARTITIONS),
        }

    # Processes ------------------------------------------------------------------------

    def begin(self, name: str, fault: str = "", *, beside: str = "") -> None:
        """Start a service; `fault` is what is to happen to it, as `PERDURE_FAULT` says it.

        `beside` names a second process of a service that runs already.
        """
        key = beside or name
        if key not in self.ports:
            self.ports[key] = self._claims.claim()
        env = {key: value for key, value in os.environ.items() if not key.startswith("PERDURE_")}
        env |= {
            **self._servers,
            "PERDURE_HTTP_ALLOW": ",".join(self.allow),
            f"PERDURE_{name.upper()}_PORT": str(self.ports[key]),
            "PERDURE_FAULT": fault,
            **(
                {"PERDURE_ENGINE_URL": f"http://127.0.0.1:{self.ports['engine']}"}
                if "engine" in self.ports
                else {}
            ),
            **({"PERDURE_HOOKS_PORT": str(self.hooks_port(key))} if name == "scheduler" else {}),
            **self.settings,
        }
        if self.zygote is not None:
            self.processes[key] = self.zygote.begin(MODULES[name], env, self.log_of(key))
            return
        with self.log_of(key).open("ab") as log:
            self.processes[key] = subprocess.Popen(
                [sys.executable, "-m", MODULES[name]],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=tied(signal.SIGKILL),
            )

    def hooks_port(self, key: str = "scheduler") -> int:
        """Return the port on which a scheduler takes requests to triggers."""
        name = f"hooks of {key}"
        if name not in self._hooks:
            self._hooks[name] = self._claims.claim()
        return self._hooks[name]

    def log_of(self, name: str) -> Path:
        """Return the file that has what a service printed."""
        return self.ground.folder / "logs" / f"{name}.log"

    def complaints(self) -> str:
        """Return the last warnings of every service, for the text of a failure."""
        found: list[str] = []
        for name in self.names:
            lines = self.log_of(name).read_text(encoding="utf-8", errors="replace").splitlines()
            told = [line for line in lines if '"level":"info"' not in line.replace(" ", "")]
            # One that is repeated would hide the others.
            last = {re.sub(r'"timestamp":"[^"]*"', "", line): line for line in told}
            found += [f"{name}: {line[:600]}" for line in list(last.values())[-6:]]
        return "\n".join(found)

    async def kill(self, name: str) -> Kill:
        """End a service by SIGKILL, whatever it is doing."""
        process = self.processes[name]
        running = await self.open_executions()
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        code = await asyncio.to_thread(process.wait, 10.0)
        return Kill(name, process.pid, alive and code == -signal.SIGKILL, running)

    async def end(self, name: str) -> int:
        """End a service as SIGTERM does; return its exit code."""
        self.processes[name].terminate()
        return await asyncio.to_thread(self.processes[name].wait, PATIENCE_S)

    async def until_killed(self, name: str) -> None:
        """Wait until a service has come to the point at which it was to die."""

        async def dead() -> bool:
            code = self.processes[name].poll()
            assert code in (None, -signal.SIGKILL), f"{name} ended with {code}"
            return code is not None

        await self.until(dead, f"the end of {name}")

    async def until_stopped(self, name: str) -> None:
        """Wait until a service has come to the point at which it was to stop, and does nothing."""
        process = psutil.Process(self.processes[name].pid)

        async def still() -> bool:
            return process.status() == psutil.STATUS_STOPPED

        await self.until(still, f"{name} to stop")

    async def kill_server(self, name: str, *, immediate: bool = False) -> Kill:
        """End a server of our own by SIGKILL; its keeper starts it again.

        `immediate` ends PostgreSQL as `pg_ctl stop -m immediate` does, which is SIGQUIT.
        """
        running = await self.open_executions()
        pid = self.ground.server_pid(name)
        victim = psutil.Process(pid)
        victim.send_signal(signal.SIGQUIT if immediate else signal.SIGKILL)
        gone, _ = await asyncio.to_thread(psutil.wait_procs, [victim], 10.0)
        return Kill(name, pid, bool(gone), running)

    def suspend(self, name: str) -> None:
        """Let a service stand still, whatever it is doing."""
        psutil.Process(self.processes[name].pid).suspend()

    def resume(self, name: str) -> None:
        """Let a service that stands still go on."""
        psutil.Process(self.processes[name].pid).resume()

    def stop_server(self, name: str) -> None:
        """Let a server of our own stand still: it keeps its connections and says nothing."""
        psutil.Process(self.ground.server_pid(name)).suspend()

    def let_server_go_on(self, name: str) -> None:
        """Let a server that stands still go on."""
        psutil.Process(self.ground.server_pid(name)).resume()

    async def until_served(self, name: str) -> None:
        """Wait until the keeper has started a killed server again."""

        async def back() -> bool:
            assert self.ground.embedded is not None
            state = await asyncio.to_thread(self.ground.embedded.status)
            return state.phase is Phase.READY and psutil.pid_exists(self.ground.server_pid(name))

        await self.until(back, f"{name} to come back")

    async def until_ready(self, names: Iterable[str] = (), limit_s: float = PATIENCE_S) -> None:
        """Wait until services say that they can work."""
        waiting = set(names) or set(self.names)
        limit = time.monotonic() + limit_s
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            while waiting:
                for name in sorted(waiting):
                    if await self._is_ready(client, name):
                        waiting.discard(name)
                assert time.monotonic() < limit, f"not ready: {waiting}\n{self.complaints()}"
                await asyncio.sleep(0.05)

    async def _is_ready(self, client: httpx.AsyncClient, name: str) -> bool:
        code = self.processes[name].poll()
        assert code is None, f"{name} ended with {code}\n{self.complaints()}"
        try:
            answer = await client.get(f"http://127.0.0.1:{self.ports[name]}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    # Asking ---------------------------------------------------------------------------

    async def send(
        self, service: str, stream: str, message: object, topic: str | None = None
    ) -> str:
        """Put a command on a topic, as an outsider does; return the id of its event."""
        self._asked += 1
        event = CloudEvent(
            id=f"ask-{self._asked}",
            source=SOURCE,
            type=NAMES[type(message)],
            subject=stream,
            datacontenttype="application/json",
            data=codec.encode_body(message),
        )
        headers, value = encode(event)
        where = topic or f"perdure.{service}.commands.v1"
        record = Outbound(where, partition_of(stream, PARTITIONS), value, stream.encode(), headers)
        await self.put([record])
        return event.id

    async def put(self, records: Sequence[Outbound]) -> None:
        """Write records to topics, whatever they are."""
        errors = await self._bus.send(records)
        assert all(error is None for error in errors), errors

    async def answer(self, service: str, event_id: str) -> dict[str, Any]:
        """Wait for what became of an outsider's message."""
        sql = f"select answer from {service}.delivery where source = $1 and id = $2"

        async def found() -> str | None:
            rows = await self.rows(sql, SOURCE, event_id)
            return rows[0]["answer"] if rows else None

        return json.loads(await self.until(found, f"an answer of {service} to {event_id}"))

    async def ask(self, service: str, stream: str, message: object) -> dict[str, Any]:
        """Send a command and return what became of it.

        Raises:
            Refused: It was refused.
        """
        answer = await self.answer(service, await self.send(service, stream, message))
        rejected = answer.get("rejected")
        if rejected is not None:
            raise Refused(rejected["code"], rejected["reason"])
        return answer

    async def save(self, definition: Any, workflow_id: str = "") -> str:
        """Save a definition and return its workflow's id. Raises as `ask`."""
        workflow_id = workflow_id or str(uuid.uuid4())
        message = SaveWorkflow(workflow_id=workflow_id, definition=definition, saved_by="tests")
        await self.ask("engine", workflow_id, message)
        return workflow_id

    async def deploy(
        self, definition: Any, credentials: Mapping[str, tuple[str, ...]] | None = None
    ) -> str:
        """Save a definition, let its first version serve, and return the workflow's id.

        `credentials` are the fields of those that its triggers name. It waits for paths, not for
        mailboxes and topics.
        """
        workflow_id = await self.save(definition)
        message = DeployWorkflow(
            workflow_id=workflow_id,
            version=1,
            sha256=sha256_of_json(definition),
            definition=definition,
            deployed_by="tests",
            credentials=dict(credentials or {}),
        )
        answer = await self.ask("scheduler", workflow_id, message)
        assert NAMES[DeploymentFailed] not in answer["events"], answer
        subtypes = {each.get("node_subtype") for each in definition["nodes"]}
        if NAMES[WorkflowDeployed] not in answer["events"] and subtypes & ASKS_FOR_PATHS:
            await self.until(lambda: self._served(workflow_id), f"the deployment of {workflow_id}")
        return workflow_id

    async def _served(self, workflow_id: str) -> bool:
        """Tell whether a deployment that waits for its paths has ended. Fails if it has failed."""
        rows = await self.rows(DEPLOYED, workflow_id)
        assert all(row["deployment_action"] != "DEPLOY_FAILED" for row in rows), rows
        return bool(rows)

    async def trigger(self, subject: str, data: Any, id: str = "", type: str = MANUAL) -> str:
        """Publish a trigger event until it is acknowledged; return its id."""
        event_id = id or str(uuid.uuid4())
        while True:
            try:
                if self._publisher is None:
                    bootstrap, prefix = self.ground.kafka_bootstrap, self.ground.prefix
                    there = Publisher(bootstrap, source=SOURCE, topic_prefix=prefix, timeout_s=10)
                    self._publisher = await there.__aenter__()
                return await self._publisher.publish(type, subject, data, id=event_id)
            except PublishError:
                await self._hang_up()
                await asyncio.sleep(0.2)

    async def _hang_up(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.__aexit__(None, None, None)

    # Looking --------------------------------------------------------------------------

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        """Return what a query finds, through restarts of the server."""
        limit = time.monotonic() + PATIENCE_S
        while True:
            async with self._asking:
                try:
                    if self._connection is None or self._connection.is_closed():
                        url = self.ground.database_url
                        self._connection = await asyncpg.connect(url, timeout=5)
                    return await self._connection.fetch(sql, *arguments, timeout=20)
                except _GONE as error:
                    assert time.monotonic() < limit, f"the database does not come back: {error!r}"
                    self._connection = None
            await asyncio.sleep(0.2)

    async def until(self, found: Any, what: str, limit_s: float = PATIENCE_S) -> Any:
        """Wait until `found()` returns something true, and return it."""
        limit = time.monotonic() + limit_s
        while True:
            result = await found()
            if result:
                return result
            assert time.monotonic() < limit, f"in vain for {what}\n{self.complaints()}"
            await asyncio.sleep(0.05)

    async def open_executions(self) -> int:
        """Return how many executions are under way, as their rows say."""
        rows = await self.rows(
            "select count(*) as n from engine.workflow_executions where status = 'RUNNING'"
        )
        return int(rows[0]["n"])

    async def executions_of(self, event_id: str) -> list[Any]:
        """Return the rows of the executions that a trigger event started."""
        return await self.rows(
            """
            select x.* from scheduler.trigger_deliveries d,
                            jsonb_array_elements_text(d.executions) as started (id)
              join engine.workflow_executions x on x.execution_id = started.id
             where d.id = $1
            """,
            event_id,
        )

    async def ended(self, event_id: str, limit_s: float = PATIENCE_S) -> Any:
        """Wait until the one execution that an event started has ended; return its row."""

        async def found() -> Any:
            rows = await self.executions_of(event_id)
            return [row for row in rows if row["status"] in ENDED]

        [row] = await self.until(found, f"the end of what event {event_id} started", limit_s)
        return row

    async def nodes_of(self, execution_id: str) -> dict[str, Any]:
        """Return the rows of an execution's node runs by node id."""
        rows = await self.rows(
            "select * from engine.node_executions where execution_id = $1", execution_id
        )
        return {row["node_id"]: row for row in rows}
