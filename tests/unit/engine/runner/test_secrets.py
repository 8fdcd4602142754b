"""Nodes that name a credential: it is used for the call, and stands in nothing that comes back."""

import base64
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from answering_server import Asked, Server, answering_server, as_json, parsed
from perdure_common.credentials import MemoryCredentials
from perdure_common.outbound import AllowList
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.message import NAMES
from perdure_engine.nodes.registry import SPECIFICATIONS
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.here import Here
from perdure_engine.runner.perform import AGENTS, perform
from perdure_engine.runner.secrets import hidden
from perdure_engine.runner.secrets_of_nodes import PUT
from perdure_engine.runner.tools import Tools
from perdure_engine.runner.work import TASKS

KEPT = {
    ("t", "bearer"): {"token": "tok-very-secret"},
    ("t", "basic"): {"username": "me", "password": "pw-very-secret"},
    ("t", "named"): {"name": "x-key", "value": "val-very-secret"},
    ("t", "database"): {"url": "postgresql://me:pw-very-secret@127.0.0.1:9/db"},
    ("t", "mail"): {"url": "smtps://me:pw-very-secret@127.0.0.1:9"},
    ("other", "theirs"): {"token": "x-very-secret"},
}


def task(subtype: str, **parameters: Any) -> NodeTask:
    return NodeTask(
        token="t",
        execution_id="e",
        workflow_id="w",
        node_id="n",
        node_type="EXTERNAL_ACTION",
        node_subtype=subtype,
        parameters=[parameters],
        items=[{}],
        effect="pure",
        length="short",
        deadline="2099-01-01T00:00:00+00:00",
        idempotency_key="key",
    )


@dataclass
class Stage:
    server: Server
    url: str
    tools: Tools

    async def do(self, subtype: str, **parameters: Any) -> Any:
        result: Any = await perform(self.tools, task(subtype, **parameters), "r", "t")
        assert "very-secret" not in repr(result)
        return result.error or result.ports["main"][0]["json"]

    @property
    def asked(self) -> Asked:
        return parsed(self.server.asked[-1])


@pytest.fixture
async def stage() -> AsyncGenerator[Stage]:
    async with answering_server() as (server, port), Clients(1) as http:
        server.answer = lambda asked: as_json({"ok": True, "echo": asked.decode()})
        url = f"http://127.0.0.1:{port}"
        allowed = AllowList.parse(["127.0.0.0/8"])
        tools = Tools(http, allowed, credentials=MemoryCredentials(dict(KEPT)))
        services = {"slack_url": url, "github_url": url, "google_calendar_url": url}
        yield Stage(server, url, replace(tools, **services))


async def test_a_request_has_its_token_by_the_credential_and_the_answer_does_not_tell_it(
    stage: Stage,
) -> None:
    made = await stage.do("HTTP_REQUEST", url=stage.url, credential="bearer")
    assert stage.asked.headers["authorization"] == "Bearer tok-very-secret"
    assert "authorization: bearer [credential]" in made["body"]["echo"].lower()


@pytest.mark.parametrize(
    ("kind", "handle", "header", "value"),
    [
        ("basic", "basic", "authorization",
         "Basic " + base64.b64encode(b"me:pw-very-secret").decode()),
        ("header", "named", "x-key", "val-very-secret"),
    ],
)  # fmt: skip
async def test_every_way_to_authenticate_takes_a_credential(
    stage: Stage, kind: str, handle: str, header: str, value: str
) -> None:
    await stage.do("HTTP_REQUEST", url=stage.url, credential=handle, auth={"kind": kind})
    assert stage.asked.headers[header] == value


async def test_a_query_parameter_takes_a_credential_too(stage: Stage) -> None:
    await stage.do("HTTP_REQUEST", url=stage.url, credential="named", auth={"kind": "query"})
    assert stage.asked.query == (("x-key", "val-very-secret"),)


@pytest.mark.parametrize("subtype", ["SLACK", "GITHUB", "GOOGLE_CALENDAR"])
async def test_a_service_has_its_token_by_the_credential(stage: Stage, subtype: str) -> None:
    given = {
        "SLACK": {"channel": "C1", "text": "x"},
        "GITHUB": {"operation": "comment", "repository": "a/b", "number": 1, "body": "x"},
        "GOOGLE_CALENDAR": {"operation": "delete_event", "event_id": "x", "calendar_id": "c"},
    }[subtype]
    await stage.do(subtype, credential="bearer", **given)
    assert stage.asked.headers["authorization"] == "Bearer tok-very-secret"


async def test_a_database_and_a_mail_server_have_their_address_by_the_credential(
    stage: Stage,
) -> None:
    error = await stage.do("SQL", credential="database", query="select 1")
    assert (error.type, error.dependency) == ("connect_failed", "sql:127.0.0.1")
    mail = {"from": "a@x.test", "to": "b@x.test", "subject": "s", "text": "t"}
    error = await stage.do("SEND_EMAIL", credential="mail", **mail)
    assert (error.type, error.dependency) == ("connect_failed", "smtp:127.0.0.1")
    await stage.tools.databases.close()


@pytest.mark.parametrize(
    ("handle", "type"), [("gone", "credential_not_found"), ("theirs", "credential_not_found"),
                         ("basic", "credential_incomplete")],
)  # fmt: skip
async def test_a_credential_that_cannot_be_used_fails_before_anything_is_sent(
    stage: Stage, handle: str, type: str
) -> None:
    error = await stage.do("HTTP_REQUEST", url=stage.url, credential=handle)
    assert (error.type, error.effect_state, error.stage) == (type, "not_sent", "credential")
    assert stage.server.asked == []


async def test_a_process_without_a_store_opens_none(stage: Stage) -> None:
    stage.tools = Tools(stage.tools.http, stage.tools.allowed)
    error = await stage.do("HTTP_REQUEST", url=stage.url, credential="bearer")
    assert error.type == "credentials_off"


async def test_a_task_with_a_credential_is_not_taken_by_the_engines_process() -> None:
    async def never(task: NodeTask, tenant_id: str) -> NodeResult:
        raise AssertionError(task)

    here = Here(never, name="e", partitions=1, most=8, now=lambda: datetime.now(UTC))
    given = task("HTTP_REQUEST", url="https://x.test", credential="bearer")
    body = codec.encode_body(given)
    record = Outbound(TASKS, 0, body, b"e", (("ce_type", NAMES[NodeTask].encode()),))
    assert here.take(record, lambda answer: None) is False


def test_every_node_with_a_credential_has_a_place_for_what_is_in_it() -> None:
    named = {
        (each.node_type, each.subtype)
        for each in SPECIFICATIONS
        if any(parameter.name == "credential" for parameter in each.parameters)
        and each.node_type != "TRIGGER"  # the scheduler verifies by it, and puts it nowhere
    }
    assert named - {*AGENTS, ("TOOL", "HTTP"), ("TOOL", "MCP")} == set(PUT)


def test_short_texts_and_names_are_not_hidden() -> None:
    fields = {"name": "x-long-name", "value": "abc", "username": "somebody"}
    assert hidden({"text": "x-long-name abc somebody"}, fields) == {
        "text": "x-long-name abc somebody"
    }
