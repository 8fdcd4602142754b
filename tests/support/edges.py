"""Sends to what a platform hears beside Kafka, again and again until it is taken: for kills there.

Each sender says who the receiver is by a mark, sends one thing, and returns when it has an answer;
`count` says how many executions came of it.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from api_client import Api
from authority import Authority
from definitions_for_tests import chain, edge, node, request
from hook_client import Hooks
from mail_server import USER, MailServer
from perdure_common.ids import partition_of
from perdure_common.shell.ports import Outbound
from platform_stage import MANUAL, PARTITIONS, SOURCE, Stage

AGAIN_S = 0.3
"""How long a sender waits that got no answer."""

REACHED_S = 90.0
GONE = (httpx.HTTPError, OSError, smtplib.SMTPException)
"""What it looks like when whoever was to answer has died."""

SETTLED_S = 0.7
"""How long it is waited for something that must not come."""


@dataclass
class Edges:
    """A platform and what surrounds it."""

    stage: Stage
    imap: MailServer
    authority: Authority
    smtp_port: int
    failing_url: str

    async def topic(self, name: str) -> str:
        """Make a foreign topic and return its name."""
        found = f"{self.stage.ground.prefix}-{name}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.stage.ground.kafka_bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(found, 1, 1)])
        finally:
            await admin.close()
        return found

    async def record(self, topic: str, body: bytes) -> None:
        """Put a record on a foreign topic."""
        producer: Any = AIOKafkaProducer(
            bootstrap_servers=self.stage.ground.kafka_bootstrap, acks="all"
        )
        await producer.start()
        try:
            await producer.send_and_wait(topic, body)
        finally:
            await producer.stop()

    async def mark_of(self, workflow_id: str) -> list[str]:
        """Return the marks with which a workflow was started, one for each execution."""
        rows = await self.stage.rows(
            "select run_data->'result'->0->>'mark' as mark from engine.workflow_executions "
            "where workflow_id = $1 and status = 'SUCCESS'",
            workflow_id,
        )
        return sorted(str(row["mark"]) for row in rows)

    async def served(self, definition: Any) -> str:
        """Deploy a workflow and wait until it serves."""
        workflow_id = await self.stage.deploy(definition)
        await self.until_served(workflow_id)
        return workflow_id

    async def until_served(self, workflow_id: str) -> None:
        """Wait until a workflow serves."""
        await self.stage.until(
            lambda: self.stage.rows(
                "select 1 from scheduler.trigger_index where workflow_id = $1 "
                "and deployment_status = 'active'",
                workflow_id,
            ),
            f"{workflow_id} to serve",
        )

    async def started_once(self, workflow_id: str, mark: str) -> None:
        """Wait for the one execution with a mark, and for others that must not be."""

        async def there() -> bool:
            return mark in await self.mark_of(workflow_id)

        await self.stage.until(there, f"an execution with {mark}")
        await asyncio.sleep(SETTLED_S)
        assert await self.mark_of(workflow_id) == [mark]


async def again(send: Callable[[], Awaitable[Any]]) -> Any:
    """Send until it is answered, as whoever waits for an answer does."""
    async with asyncio.timeout(REACHED_S):
        while True:
            try:
                return await send()
            except GONE:
                await asyncio.sleep(AGAIN_S)


def workflow(name: str, kind: str, mark: str, **parameters: Any) -> Any:
    """Return a workflow with one trigger whose result is a mark out of what started it."""
    step = node("step", "ACTION.SET", values={"mark": mark})
    trigger = node("start", f"TRIGGER.{kind}", **parameters)
    return {"name": name, "nodes": [trigger, step], "connections": [edge("start", "step")]}


def mail(mark: str, to: str) -> EmailMessage:
    """Return a mail that has the mark as its subject."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.com", to, mark
    made["Message-ID"] = f"<{mark}@example.com>"
    made.set_content("Two of them, please.")
    return made


# What is sent, by the place at which whoever hears it dies -----------------------------------

Sent = Callable[[], Awaitable[None]]
Plan = Callable[[Edges, str], Awaitable[tuple[Sent, Sent]]]
"""Prepares; returns what is done until it is answered, and what looks at what came of it."""


async def webhook(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A request that is sent again under its id until it has a 2xx."""
    path = f"/{mark}"
    made = workflow(mark, "WEBHOOK", "{{ $json.mark }}", path=path, auth="none")
    workflow_id = await edges.served(made)

    async def send() -> None:
        async with Hooks(edges.stage) as hooks:
            headers = {"content-type": "application/json", "webhook-id": mark}
            answer = await hooks.post(path, {"mark": mark}, headers)
            if answer.status_code >= 300:
                raise httpx.HTTPError(answer.text)

    return lambda: again(send), lambda: edges.started_once(workflow_id, mark)


async def mailbox(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A mail in a mailbox that the scheduler reads."""
    box = {
        "host": "127.0.0.1", "port": edges.imap.port, "tls": "none", "user": USER,
        "credential": "mailbox", "poll_s": 5,
    }  # fmt: skip
    address = f"{mark}@shop.example"
    made = workflow(mark, "EMAIL", "{{ $json.subject }}", address=address, mailbox=box)
    workflow_id = await edges.served(made)

    async def send() -> None:
        await asyncio.to_thread(edges.imap.append, bytes(mail(mark, address)))

    return send, lambda: edges.started_once(workflow_id, mark)


async def smtp(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A mail that its sender keeps until it was answered 250."""
    address = f"{mark}@shop.example"
    made = workflow(mark, "EMAIL", "{{ $json.subject }}", address=address)
    workflow_id = await edges.served(made)

    def deliver() -> None:
        with smtplib.SMTP("localhost", edges.smtp_port, timeout=30) as client:
            client.starttls(context=ssl.create_default_context(cafile=edges.authority.trusted))
            client.send_message(mail(mark, address))

    async def send() -> None:
        await asyncio.to_thread(deliver)

    return lambda: again(send), lambda: edges.started_once(workflow_id, mark)


async def record(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A record of a foreign topic."""
    topic = await edges.topic(mark)
    made = workflow(mark, "KAFKA", "{{ $json.mark }}", topic=topic)
    workflow_id = await edges.served(made)

    async def send() -> None:
        await edges.record(topic, f'{{"mark": "{mark}"}}'.encode())

    return send, lambda: edges.started_once(workflow_id, mark)


async def settling(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A deployment that waits until the topic of its trigger is being read."""
    topic = await edges.topic(mark)
    made = workflow(mark, "KAFKA", "{{ $json.mark }}", topic=topic)
    workflow_ids: list[str] = []

    async def send() -> None:
        workflow_ids.append(await edges.stage.deploy(made))

    async def look() -> None:
        (workflow_id,) = workflow_ids
        await edges.until_served(workflow_id)
        await edges.record(topic, f'{{"mark": "{mark}"}}'.encode())
        await edges.started_once(workflow_id, mark)

    return send, look


async def start(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A request to the engine's API that is sent again under its key."""
    step = node("step", "ACTION.SET", values={"mark": "{{ $json.mark }}"})
    workflow_id = await edges.served(chain(mark, step))
    told: list[str] = []

    async def ask() -> None:
        async with Api(f"http://127.0.0.1:{edges.stage.ports['engine']}") as api:
            body = {"workflow_id": workflow_id, "data": {"mark": mark}}
            answer = await api.send("POST", "/v1/workflow_executions", body, key=mark)
            told.append(answer["execution_id"])

    async def look() -> None:
        await edges.started_once(workflow_id, mark)
        rows = await edges.stage.rows(
            "select execution_id from engine.workflow_executions where workflow_id = $1",
            workflow_id,
        )
        assert told == [row["execution_id"] for row in rows], "who asked was told another one"

    return lambda: again(ask), look


async def mending(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A dead letter's body that is mended by recovery's API."""
    stage = edges.stage
    headers = {
        "ce_specversion": b"1.0", "ce_id": mark.encode(), "ce_source": SOURCE.encode(),
        "ce_type": MANUAL.encode(), "ce_subject": b"nobody", "content-type": b"application/json",
    }  # fmt: skip
    place = partition_of(mark, PARTITIONS)
    topic = "perdure.triggers.v1"
    await stage.put([Outbound(topic, place, b"{", mark.encode(), tuple(headers.items()))])
    found = "select id::text as id, stream from recovery.dead_letters where headers->>'ce_id' = $1"
    (letter,) = await stage.until(lambda: stage.rows(found, mark), "the dead letter")

    async def ask() -> None:
        async with Api(f"http://127.0.0.1:{stage.ports['recovery']}") as api:
            body = {"json": {"mark": mark}, "reason": "it was cut off", "edited_by": "ann"}
            await api.send("PUT", f"/v1/dead_letters/{letter['id']}/body", body, key=mark)

    async def look() -> None:
        rows = await stage.rows(
            "select 1 from recovery.journal where stream = $1 and type like '%letter-edited%'",
            letter["stream"],
        )
        assert len(rows) == 1, "it was mended twice"

    return lambda: again(ask), look


async def prose(edges: Edges, mark: str) -> tuple[Sent, Sent]:
    """A failure whose explanation a model puts into words."""
    once = request("post", edges.failing_url, json={})
    await edges.served(chain(mark, {**once, "max_retries": 0}))
    events: list[str] = []

    async def send() -> None:
        events.append(await edges.stage.trigger(mark, {"mark": mark}))

    async def look() -> None:
        row = await edges.stage.ended(events[0])
        worded = (
            "select prose from recovery.recovery_explanations "
            "where execution_id = $1 and prose is not null"
        )
        key = row["execution_id"]
        assert await edges.stage.until(lambda: edges.stage.rows(worded, key), "its words")
        kept = await edges.stage.rows(
            "select data::json->>'attempt_id' as attempt, count(*) as n from recovery.journal "
            "where type = 'recovery.prose-kept.v1' group by 1 having count(*) > 1"
        )
        assert kept == [], "an explanation was kept twice"

    return send, look


PLANS: dict[tuple[str, str], Plan] = {
    ("engine", "after_ask_before_answer"): start,
    ("scheduler", "after_receipt_before_publish"): webhook,
    ("scheduler", "after_hook_before_answer"): webhook,
    ("scheduler", "after_mailbox_before_mark"): mailbox,
    ("scheduler", "after_smtp_before_answer"): smtp,
    ("scheduler", "after_record_before_offset"): record,
    ("scheduler", "before_settle"): settling,
    ("recovery", "after_ask_before_answer"): mending,
    ("recovery", "after_prose_before_publish"): prose,
}
"""What leads to each place of `fault.EDGES`."""
