"""Real payloads of GitHub, signed, through the listener: each starts what it should, and once."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeAlias

import httpx
import pytest
import pytest_asyncio
from github_examples import examples
from hook_client import (
    CREDENTIALS_KEY,
    Hooks,
    by_github,
    hooked,
    set_credential,
    settled,
    started,
)
from perdure_common.embedded import Addresses
from platform_stage import PATIENT, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "It's a Secret to Everybody"
HELLO = "codertocat/hello-world"
AT_ONCE = 16
Wanted: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
"""Whether an event with a payload is to start something."""

SENT = [(event, payload, json.dumps(payload).encode()) for event, payload in examples()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    """A platform whose listener takes any number of requests."""
    settings = {
        **PATIENT,
        "PERDURE_CREDENTIALS_KEY": CREDENTIALS_KEY,
        "PERDURE_HOOKS_PER_MINUTE": "0",
    }
    async with shared_ground(servers) as ground, Stage(ground, (), settings) as made:
        await set_credential(made, "gh", secret=SECRET)
        yield made


async def send_all(stage: Stage, secret: str) -> list[httpx.Response]:
    """Send every payload, signed with a secret, some at a time; return the answers in order."""
    turns = asyncio.Semaphore(AT_ONCE)

    async with Hooks(stage) as hooks:

        async def send(event: str, body: bytes) -> httpx.Response:
            async with turns:
                return await hooks.post("/github", body, by_github(body, event, secret))

        return await asyncio.gather(*(send(event, body) for event, _, body in SENT))


def about(payload: Mapping[str, Any]) -> str:
    """Return the repository that a payload is about, in lower case."""
    repository: Mapping[str, Any] = payload.get("repository") or {}
    return str(repository.get("full_name", "")).lower()


def expected(wanted: Wanted) -> set[bytes]:
    """Return the bodies that start something: GitHub's deliveries are known by their bodies."""
    return {body for event, payload, body in SENT if wanted(event, payload)}


async def test_every_payload_starts_what_asks_for_it_and_forged_ones_start_nothing(
    stage: Stage,
) -> None:
    def listens(name: str, repository: str, **filters: Any) -> Any:
        made = hooked("/github", kind="GITHUB", repository=repository, credential="gh", **filters)
        return {**made, "name": name}

    async def deployed(name: str, repository: str, **filters: Any) -> str:
        return await stage.deploy(listens(name, repository, **filters), {"gh": ("secret",)})

    everything = await deployed("all", "*")
    opened = await deployed("opened", "*", events=["issues"], actions=["opened"])
    own = await deployed("own", "Codertocat/Hello-World", events=["pull_request", "push"])
    master = await deployed("master", "*", events=["push"], branches=["master"])
    nobody = await deployed("nobody", "nobody/nothing")
    wants: dict[str, Wanted] = {
        everything: lambda event, _: event != "ping",
        opened: lambda event, payload: (event, payload.get("action")) == ("issues", "opened"),
        own: lambda event, payload: event in ("pull_request", "push") and about(payload) == HELLO,
        master: lambda event, payload: (event, payload.get("ref")) == ("push", "refs/heads/master"),
        nobody: lambda _, __: False,
    }

    forged = await send_all(stage, "another secret")
    assert {answer.status_code for answer in forged} == {401}
    kept = await stage.rows("select count(*) as n from scheduler.trigger_receipts")
    assert kept[0]["n"] == 0, "nothing is kept of what is forged"

    answers = await send_all(stage, SECRET)
    told: dict[bytes, list[tuple[int, str]]] = {}
    for (event, _, body), answer in zip(SENT, answers, strict=True):
        status = answer.json()["status"]
        told.setdefault(body, []).append((answer.status_code, status))
        assert (status == "ignored") == (event == "ping"), (event, answer.text)
    for each in told.values():
        first, *rest = sorted(each, reverse=True)
        assert first in ((202, "accepted"), (202, "ignored")), each
        assert all(again in ((200, "duplicate"), (202, "ignored")) for again in rest), each

    total = 0
    for workflow_id, wanted in wants.items():
        bodies = expected(wanted)
        found = await settled(stage, workflow_id, len(bodies))
        assert len(found) == len(bodies), workflow_id
        total += len(bodies)
    assert total > 300
    rows = await stage.rows("select count(*) as n from engine.workflow_executions")
    assert rows[0]["n"] == total
    pings = sum(event == "ping" for event, _, _ in SENT)
    url = f"http://127.0.0.1:{stage.ports['scheduler']}/metrics"
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(url)).text.splitlines()
    assert f'perdure_hook_ignored_total{{subtype="GITHUB"}} {float(pings)}' in lines
    again = await send_all(stage, SECRET)
    assert {answer.json()["status"] for answer in again} == {"duplicate", "ignored"}
    assert len(await started(stage, everything)) == len(expected(wants[everything]))
