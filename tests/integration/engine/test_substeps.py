"""Sub-steps and credentials: what the ones in memory do, those in PostgreSQL do too."""

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.credentials import CredentialError, PostgresCredentials, Seal
from perdure_engine.runner.agents.journal import Journal
from perdure_engine.runner.claims import Owner, PostgresClaims
from perdure_engine.runner.substeps import (
    Agent,
    LeaseLost,
    MemorySubsteps,
    PostgresSubsteps,
    Substep,
    Substeps,
    Usage,
)

FIRST = Agent("key-0", "t", "e", "n", "token-1", "runner-1")
SECOND = replace(FIRST, token="token-2", runner="runner-2")
MODEL = Substep("r1", 1, "model", "m")
TOOL = Substep("r2", 2, "tool", "look")


@dataclass
class Ground:
    """A store of sub-steps, and how a lease is lost."""

    store: Substeps
    database: str = ""

    async def lose(self, agent: Agent) -> None:
        if isinstance(self.store, MemorySubsteps):
            self.store.lost.add(agent.token)
            return
        connection: Any = await asyncpg.connect(self.database)
        await connection.execute(
            "update engine.node_claims set lease_until = now() where token = $1", agent.token
        )
        await connection.close()


@pytest.fixture(params=["memory", "postgres"])
async def ground(request: pytest.FixtureRequest, database: str) -> AsyncGenerator[Ground]:
    if request.param == "memory":
        yield Ground(MemorySubsteps())
        return
    await migrate.up(database, "engine")
    claims, store = PostgresClaims(database), PostgresSubsteps(database)
    for agent in (FIRST, SECOND):
        await claims.claim(agent.runner, {agent.token: Owner("t", "e")})
    yield Ground(store, database)
    await store.close()
    await claims.close()


async def test_a_finished_call_is_read_by_the_next_attempt(ground: Ground) -> None:
    usage = Usage(10, 5, 0.25)
    await ground.store.begin(FIRST, MODEL)
    await ground.store.finish(FIRST, replace(MODEL, result='{"a": 1}', usage=usage))
    await ground.store.begin(FIRST, TOOL)
    first, second = await ground.store.of(SECOND)
    assert (first.request, first.state, first.result, first.usage) == (
        "r1", "finished", '{"a": 1}', usage,
    )  # fmt: skip
    assert (second.request, second.n, second.state, second.token) == ("r2", 2, "begun", "token-1")
    assert await ground.store.of(replace(FIRST, key="key-1")) == []


async def test_an_attempt_without_its_lease_begins_nothing(ground: Ground) -> None:
    await ground.lose(FIRST)
    with pytest.raises(LeaseLost):
        await ground.store.begin(FIRST, MODEL)
    assert await ground.store.of(FIRST) == []


async def test_a_call_that_was_taken_over_is_not_finished_by_who_lost_it(ground: Ground) -> None:
    await ground.store.begin(FIRST, MODEL)
    await ground.lose(FIRST)
    await ground.store.begin(SECOND, MODEL)
    with pytest.raises(LeaseLost):
        await ground.store.finish(FIRST, replace(MODEL, result='"late"'))
    await ground.store.finish(SECOND, replace(MODEL, result='"mine"'))
    (step,) = await ground.store.of(SECOND)
    assert (step.result, step.token) == ('"mine"', "token-2")


async def test_what_is_known_of_a_call_that_nobody_took_over_is_kept(ground: Ground) -> None:
    await ground.store.begin(FIRST, TOOL)
    await ground.lose(FIRST)
    await ground.store.finish(FIRST, replace(TOOL, result='"done"'))
    (step,) = await ground.store.of(SECOND)
    assert (step.state, step.result) == ("finished", '"done"')


async def test_a_finished_call_cannot_be_begun_again(ground: Ground) -> None:
    await ground.store.begin(FIRST, MODEL)
    await ground.store.finish(FIRST, replace(MODEL, result="1"))
    with pytest.raises(LeaseLost):
        await ground.store.begin(SECOND, MODEL)


async def test_an_answer_that_led_nowhere_is_asked_for_again_and_has_its_cost(
    ground: Ground,
) -> None:
    await ground.store.begin(FIRST, MODEL)
    await ground.store.finish(FIRST, replace(MODEL, result="1", usage=Usage(7, 0, 1.0)))
    await ground.store.void(FIRST, ["r1"])
    journal = await Journal.read(ground.store, SECOND)
    assert journal.answer("r1") is None
    assert journal.used == Usage(7, 0, 1.0)
    await ground.store.begin(SECOND, MODEL)
    assert {step.state for step in await ground.store.of(SECOND)} == {"void", "begun"}


async def test_sub_steps_of_executions_that_ended_long_ago_are_forgotten(database: str) -> None:
    await migrate.up(database, "engine")
    connection: Any = await asyncpg.connect(database)
    for name, ended in (("old", 1), ("open", None)):
        await connection.execute(
            "insert into engine.workflow_executions (execution_id, id, tenant_id, workspace_id, "
            "workflow_id, workflow_version, end_time) values ($1, gen_random_uuid(), 't', "
            "gen_random_uuid(), gen_random_uuid(), 1, $2)",
            name,
            ended,
        )
        await connection.execute(
            "insert into engine.substeps (agent, request, n, kind, name, tenant_id, execution_id, "
            "node_id, token) values ($1, 'r', 1, 'tool', 'x', 't', $1, 'n', 't')",
            name,
        )
    store = PostgresSubsteps(database)
    await store.forget()
    await store.close()
    rows = await connection.fetch("select execution_id from engine.substeps")
    await connection.close()
    assert [row["execution_id"] for row in rows] == ["open"]


async def test_credentials_are_kept_sealed_replaced_listed_and_deleted(database: str) -> None:
    await migrate.up(database, "engine")
    store = PostgresCredentials(database, Seal([os.urandom(32)]))
    await store.set("t", "shop", {"token": "tok-very-secret"})
    await store.set("t", "shop", {"username": "me", "password": "pw-very-secret"})
    assert await store.fields_of("t", "shop") == {"username": "me", "password": "pw-very-secret"}
    (listed,) = await store.list("t")
    assert (listed.handle, listed.fields) == ("shop", ("password", "username"))
    connection: Any = await asyncpg.connect(database)
    (row,) = await connection.fetch("select c::text as text, secret from engine.credentials c")
    await connection.close()
    assert "very-secret" not in row["text"]
    assert b"very-secret" not in row["secret"]
    with pytest.raises(CredentialError, match="there is no credential 'shop'"):
        await store.fields_of("other", "shop")
    assert await store.delete("t", "shop") is True
    assert await store.delete("t", "shop") is False
    await store.close()
