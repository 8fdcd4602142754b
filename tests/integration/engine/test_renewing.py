"""Credentials are renewed by their issuer: once for all who need it, and nothing of it is told."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import pytest
from answering_server import Server, answering_server, as_json, parsed
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.outbound import AllowList
from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.perform import perform
from perdure_engine.runner.tools import Tools

TENANT = "t"
SCHEMA = """
CREATE SCHEMA engine;
CREATE TABLE engine.credentials (
    tenant_id text, handle text, fields text[], key_id text, nonce bytea, secret bytea,
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (tenant_id, handle))
"""


@dataclass
class Issuer:
    """An issuer that takes a refresh token once, and a server that takes only its newest token."""

    number: int = 1
    status: str = "200 OK"
    rotates: bool = True
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    forms: list[dict[str, list[str]]] = field(default_factory=list[Any])
    headers: list[dict[str, str]] = field(default_factory=list[Any])

    def answer(self, asked: bytes) -> bytes:
        """Answer `/token` as an issuer, everything else as a server with a token."""
        request = parsed(asked)
        if request.path != "/token":
            well = request.headers.get("authorization") == f"Bearer access-token-{self.number}"
            told = request.headers.get("authorization", "")
            return (
                as_json({"ok": True, "told": told})
                if well
                else as_json({"error": "invalid_token", "told": told}, "401 Unauthorized")
            )
        form = parse_qs(request.body.decode())
        self.forms.append(form)
        self.headers.append(dict(request.headers))
        if self.status != "200 OK":
            return as_json({"error": "invalid_grant", "seen": form["refresh_token"]}, self.status)
        if form["refresh_token"] != [f"refresh-token-{self.number if self.rotates else 1}"]:
            return as_json({"error": "invalid_grant"}, "400 Bad Request")
        self.number += 1
        made: dict[str, Any] = {"access_token": f"access-token-{self.number}", **self.more}
        if self.rotates:
            made["refresh_token"] = f"refresh-token-{self.number}"
        return as_json(made)


class Stage:
    """A runner's tools with credentials in a real database."""

    def __init__(self, server: Server, port: int, database: str, clients: Clients) -> None:
        self.issuer = Issuer()
        server.answer = self.issuer.answer
        self.url = f"http://127.0.0.1:{port}"
        self.key = os.urandom(32)
        self.database = database
        self.clients = clients
        self.stores: list[PostgresCredentials] = []
        self.tools = self.another()

    def another(self) -> Tools:
        """Return the tools of another process."""
        self.stores.append(PostgresCredentials(self.database, Seal([self.key])))
        allowed = AllowList.parse(["127.0.0.0/8"])
        return Tools(self.clients, allowed, credentials=self.stores[-1])

    async def keep(self, **more: str) -> None:
        fields = {
            "token": "access-token-0", "refresh_token": "refresh-token-1",
            "token_url": f"{self.url}/token", "client_id": "perdure", **more,
        }  # fmt: skip
        await self.stores[0].set(TENANT, "shop", fields)

    async def kept(self) -> dict[str, str]:
        return dict(await self.stores[0].fields_of(TENANT, "shop"))

    async def call(self, tools: Tools | None = None) -> NodeResult:
        parameters = {"url": f"{self.url}/things", "credential": "shop"}
        task = NodeTask(
            token="t", execution_id="e", workflow_id="w", node_id="n",
            node_type="EXTERNAL_ACTION", node_subtype="HTTP_REQUEST", parameters=[parameters],
            items=[{}], effect="pure", length="short", deadline="2099-01-01T00:00:00+00:00",
            idempotency_key="key",
        )  # fmt: skip
        return await perform(tools or self.tools, task, "r", TENANT)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    connection = await asyncpg.connect(database)
    await connection.execute(SCHEMA)
    await connection.close()
    async with answering_server() as (server, port), Clients(1) as clients:
        made = Stage(server, port, database, clients)
        yield made
        for store in made.stores:
            await store.close()


async def test_after_a_refusal_the_credential_is_renewed_and_the_next_call_works(
    stage: Stage,
) -> None:
    await stage.keep(client_secret="client secret/1")
    refused = await stage.call()
    assert refused.error is not None
    assert refused.error.status_code == 401
    assert (await stage.call()).outcome == "completed"
    assert len(stage.issuer.forms) == 1
    assert stage.issuer.forms[0] == {
        "grant_type": ["refresh_token"], "refresh_token": ["refresh-token-1"],
    }  # fmt: skip
    pair = base64.b64decode(stage.issuer.headers[0]["authorization"].removeprefix("Basic "))
    assert pair == b"perdure:client%20secret%2F1"
    kept = await stage.kept()
    assert (kept["token"], kept["refresh_token"]) == ("access-token-2", "refresh-token-2")


async def test_a_refresh_token_that_was_replaced_is_used_the_next_time(stage: Stage) -> None:
    await stage.keep()
    for number in (2, 3):
        await stage.call()
        assert (await stage.call()).outcome == "completed"
        assert (await stage.kept())["refresh_token"] == f"refresh-token-{number}"
        await stage.stores[0].set(
            TENANT, "shop", {**await stage.kept(), "token": "revoked-token-1"}
        )
    assert [each["client_id"] for each in stage.issuer.forms] == [["perdure"]] * 2


async def test_an_issuer_that_replaces_nothing_is_asked_with_the_same_token(stage: Stage) -> None:
    stage.issuer.rotates = False
    await stage.keep()
    await stage.call()
    assert (await stage.kept())["refresh_token"] == "refresh-token-1"


async def test_many_at_once_in_several_processes_share_one_renewal(stage: Stage) -> None:
    await stage.keep()
    others = [stage.tools, stage.another(), stage.another()]
    results = await asyncio.gather(*(stage.call(others[n % 3]) for n in range(24)))
    assert len(stage.issuer.forms) == 1, "an issuer may revoke what is used twice"
    assert {each.outcome for each in results} <= {"failed", "completed"}
    again = await asyncio.gather(*(stage.call(others[n % 3]) for n in range(6)))
    assert {each.outcome for each in again} == {"completed"}
    assert len(stage.issuer.forms) == 1


async def test_what_is_about_to_expire_is_renewed_before_it_is_used(stage: Stage) -> None:
    stage.issuer.more = {"expires_in": 3600}
    await stage.keep(expires_at=f"{time.time() + 5:.0f}")
    assert (await stage.call()).outcome == "completed"
    until = float((await stage.kept())["expires_at"])
    assert 3500 < until - time.time() <= 3601
    assert (await stage.call()).outcome == "completed"
    assert len(stage.issuer.forms) == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "503 Service Unavailable"])
async def test_an_issuer_that_refuses_is_told_with_the_failure_and_changes_nothing(
    stage: Stage, status: str
) -> None:
    stage.issuer.status = status
    await stage.keep(client_secret="client-secret-1")
    before = await stage.kept()
    result = await stage.call()
    assert result.error is not None
    assert result.error.status_code == 401, "it is the call that failed"
    assert "the credential was not renewed" in result.error.message
    assert status.partition(" ")[0] in result.error.message
    assert await stage.kept() == before


async def test_nothing_of_a_renewal_is_told(stage: Stage) -> None:
    await stage.keep(client_secret="client-secret-1")
    refused = await stage.call()
    completed = await stage.call()
    stage.issuer.status = "400 Bad Request"
    await stage.stores[0].set(TENANT, "shop", {**await stage.kept(), "token": "revoked-token-9"})
    failed = await stage.call()
    told = json.dumps([str(each) for each in (refused, completed, failed)])
    for secret in ("access-token", "refresh-token", "client-secret", "revoked-token"):
        assert secret not in told


async def test_a_credential_without_a_refresh_token_is_left_alone(stage: Stage) -> None:
    await stage.stores[0].set(TENANT, "shop", {"token": "access-token-0"})
    result = await stage.call()
    assert result.error is not None
    assert "renewed" not in result.error.message
    assert stage.issuer.forms == []


async def test_a_credential_that_is_gone_meanwhile_is_told(stage: Stage) -> None:
    await stage.keep()

    async def nobody(fields: Any) -> Any:
        raise AssertionError(fields)

    await stage.stores[0].delete(TENANT, "shop")
    with pytest.raises(ValueError, match="any more"):
        await stage.stores[0].renew(TENANT, "shop", "x", nobody)


async def test_what_fails_while_a_credential_is_locked_is_not_told_as_the_databases_fault(
    stage: Stage,
) -> None:
    await stage.keep()
    store, token = stage.stores[0], (await stage.kept())["token"]

    async def no_issuer(fields: Any) -> Any:
        raise ConnectionRefusedError("no issuer here")

    with pytest.raises(ConnectionRefusedError, match="no issuer here"):
        await store.renew(TENANT, "shop", token, no_issuer)

    async def no_database(fields: Any) -> Any:
        connection: Any = await asyncpg.connect(stage.database)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        return {**fields, "token": "new"}

    with pytest.raises(Unreachable):
        await store.renew(TENANT, "shop", token, no_database)
    left = False
    async with asyncio.timeout(30):
        while not left:  # what the pool holds of the ended connections is found out one by one
            with suppress(Unreachable):
                left = (await stage.kept())["token"] == token
                assert left
