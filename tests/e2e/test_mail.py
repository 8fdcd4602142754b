"""Mails start workflows: from a real IMAP server, by a real SMTP client, each once."""

import asyncio
import json
import smtplib
import ssl
from collections.abc import AsyncGenerator, Generator
from email.message import EmailMessage
from typing import Any

import httpx
import pytest
import pytest_asyncio
from authority import Authority
from definitions_for_tests import edge, node
from mail_server import PASSWORD, USER, MailServer, free_port, mail_server, silent_server
from outside_world import World
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from platform_stage import PATIENT, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = b"k" * 32
KEY_TEXT = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
SMTP_PORT = free_port()


@pytest.fixture(scope="module")
def imap() -> Generator[MailServer]:
    with mail_server() as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    servers: Addresses, world: World, imap: MailServer, authority: Authority
) -> AsyncGenerator[Stage]:
    del world
    settings = {
        **PATIENT,
        "PERDURE_CREDENTIALS_KEY": KEY_TEXT,
        "PERDURE_SMTP_PORT": str(SMTP_PORT),
        "PERDURE_SMTP_CERTIFICATE": str(authority.certificate),
    }
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=("127.0.0.0/8",), settings=settings) as made,
    ):
        credentials = PostgresCredentials(ground.database_url, Seal([KEY]))
        await credentials.set(DEFAULT_TENANT, "orders-mailbox", {"password": PASSWORD})
        await credentials.set(DEFAULT_TENANT, "wrong", {"password": "not it"})
        await credentials.close()
        yield made


def workflow(name: str, address: str, **parameters: Any) -> dict[str, Any]:
    step = node("step", "ACTION.SET", values={"subject": "{{ $json.subject }}"})
    trigger = node("mail", "TRIGGER.EMAIL", address=address, **parameters)
    return {"name": name, "nodes": [trigger, step], "connections": [edge("mail", "step")]}


def mailbox(port: int, credential: str = "orders-mailbox") -> dict[str, Any]:
    return {
        "host": "127.0.0.1", "port": port, "tls": "none", "user": USER,
        "credential": credential, "poll_s": 5,
    }  # fmt: skip


def mail(number: object, to: str, **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.com", to, f"order {number}"
    made["Message-ID"] = f"<{number}@example.com>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content("Two of them, please.")
    return made


async def subjects(stage: Stage, workflow_id: str) -> list[str]:
    rows = await stage.rows(
        "select d.data::jsonb->'data'->>'subject' as subject from scheduler.journal d "
        "where d.type = 'scheduler.trigger-accepted.v1' "
        "and d.data::jsonb->'starts'->0->>'workflow_id' = $1 order by 1",
        workflow_id,
    )
    return [row["subject"] for row in rows]


async def executions(stage: Stage, workflow_id: str) -> int:
    rows = await stage.rows(
        "select count(*) as n from engine.workflow_executions where workflow_id = $1", workflow_id
    )
    return int(rows[0]["n"])


async def until_started(stage: Stage, workflow_id: str, count: int) -> None:
    async def found() -> bool:
        return await executions(stage, workflow_id) >= count

    await stage.until(found, f"{count} executions")


async def deploying_ended(stage: Stage, workflow_id: str) -> tuple[str, str]:
    """Return how a deployment ended: the action and the reason."""

    async def found() -> Any:
        rows = await stage.rows(
            "select deployment_action, coalesce(error_message, '') as why "
            "from scheduler.workflow_deployment_history where workflow_id = $1 "
            "and deployment_action in ('DEPLOY_COMPLETED', 'DEPLOY_FAILED')",
            workflow_id,
        )
        return (rows[0]["deployment_action"], rows[0]["why"]) if rows else None

    return await stage.until(found, "the end of the deployment")


async def test_each_mail_in_a_mailbox_starts_once_wherever_the_scheduler_is_killed(
    stage: Stage, imap: MailServer
) -> None:
    await asyncio.to_thread(imap.append, bytes(mail("old", "orders@shop.example")))
    box = mailbox(imap.port)
    workflow_id = await stage.deploy(workflow("imap", "orders@shop.example", mailbox=box))
    assert (await deploying_ended(stage, workflow_id))[0] == "DEPLOY_COMPLETED"
    sent: list[str] = []
    for round in range(4):
        batch = [f"{round}-{n}" for n in range(5)]
        mails = [bytes(mail(each, "orders@shop.example")) for each in batch]
        await asyncio.to_thread(imap.append, *mails, mails[0])  # one comes twice
        sent += batch
        if round < 3:
            await asyncio.sleep(0.3 * round)
            await stage.kill("scheduler")
            stage.begin("scheduler")
            await stage.until_ready(["scheduler"])
    await until_started(stage, workflow_id, len(sent))
    bounce = mail("bounce", "orders@shop.example", Auto_Submitted="auto-replied")
    last = mail("last", "orders+berlin@shop.example")
    await asyncio.to_thread(imap.append, bytes(bounce), bytes(last))
    await until_started(stage, workflow_id, len(sent) + 1)
    expected = sorted(f"order {each}" for each in (*sent, "last"))
    assert await subjects(stage, workflow_id) == expected, "what was there before starts nothing"


async def test_a_mailbox_that_refuses_fails_the_deployment_with_a_reason(
    stage: Stage, imap: MailServer
) -> None:
    box = mailbox(imap.port, "wrong")
    workflow_id = await stage.deploy(workflow("refused", "x@shop.example", mailbox=box))
    action, why = await deploying_ended(stage, workflow_id)
    assert action == "DEPLOY_FAILED"
    assert "mailbox_refused" in why and "look at its credential" in why


async def test_a_server_that_hangs_keeps_no_other_trigger_from_firing(
    stage: Stage, authority: Authority
) -> None:
    with silent_server() as port:
        box = mailbox(port)
        hanging = await stage.deploy(workflow("hanging", "y@shop.example", mailbox=box))
        other = await stage.deploy(workflow("beside it", "z@shop.example"))
        await asyncio.to_thread(deliver, authority, mail("z", "z@shop.example"))
        await until_started(stage, other, 1)
        assert await executions(stage, hanging) == 0
        action, why = await deploying_ended(stage, hanging)
        assert action == "DEPLOY_FAILED" and "cannot be reached" in why


def deliver(
    authority: Authority, message: EmailMessage, sender: str | None = None, *to: str
) -> Any:
    """Send a mail by SMTP; return who was refused."""
    with smtplib.SMTP("localhost", SMTP_PORT, timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=authority.trusted))
        return client.send_message(message, from_addr=sender, to_addrs=list(to) or None)


async def test_a_mail_by_smtp_starts_one_execution_for_each_recipient(
    stage: Stage, authority: Authority
) -> None:
    first = await stage.deploy(workflow("first", "a@shop.example"))
    second = await stage.deploy(
        workflow("second", "b@shop.example", filter="{{ $json.subject !== 'order no' }}")
    )
    message = mail("both", "a@shop.example, b+x@shop.example")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="o.pdf")
    await asyncio.to_thread(deliver, authority, message)
    await asyncio.to_thread(deliver, authority, message)
    await asyncio.to_thread(deliver, authority, mail("no", "b@shop.example"))
    await asyncio.to_thread(deliver, authority, mail("yes", "b@shop.example"))
    await until_started(stage, first, 1)
    await until_started(stage, second, 2)
    assert await subjects(stage, first) == ["order both"]
    assert await subjects(stage, second) == ["order both", "order yes"]
    [row] = await stage.rows(
        "select data::jsonb->'data'->'attachments'->0 as kept from scheduler.journal "
        "where type = 'scheduler.trigger-accepted.v1' and data::jsonb->>'subject' = $1",
        "a@shop.example",
    )
    url = f"http://127.0.0.1:{stage.ports['scheduler']}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        found = await client.get(json.loads(row["kept"])["path"])
        assert (found.status_code, found.content) == (200, b"%PDF-")
        assert (await client.get("/v1/attachments/none")).status_code == 404


async def test_the_listener_refuses_strangers_and_takes_bounces_without_starting(
    stage: Stage, authority: Authority
) -> None:
    workflow_id = await stage.deploy(workflow("third", "c@shop.example"))
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await asyncio.to_thread(deliver, authority, mail("x", "nobody@shop.example"))
    await asyncio.to_thread(
        deliver, authority, mail("bounce", "c@shop.example"), "", "c@shop.example"
    )
    await asyncio.to_thread(deliver, authority, mail("real", "c@shop.example"))
    await until_started(stage, workflow_id, 1)
    assert await subjects(stage, workflow_id) == ["order real"]


async def test_nothing_is_taken_before_the_connection_is_sealed(stage: Stage) -> None:
    workflow_id = await stage.deploy(workflow("sealed", "d@shop.example"))

    def in_the_clear() -> None:
        with smtplib.SMTP("localhost", SMTP_PORT, timeout=30) as client:
            client.ehlo()
            assert client.has_extn("starttls") and not client.has_extn("auth")
            assert client.docmd("AUTH", "PLAIN AGFubgBzZWNyZXQ=")[0] == 530
            assert client.mail("ann@example.com")[0] == 530
            with pytest.raises(ssl.SSLCertVerificationError):
                client.starttls(context=ssl.create_default_context())

    await asyncio.to_thread(in_the_clear)
    assert await executions(stage, workflow_id) == 0
