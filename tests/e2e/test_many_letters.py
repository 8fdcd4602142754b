"""Thousands of dead letters, on real servers: listed, mended, sent again, each exactly once."""

import asyncio
import json
import re
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from command_line import Said, perdure
from definitions_for_tests import chain, node
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.engine import SaveWorkflow
from platform_stage import PARTITIONS, SOURCE, Stage
from promises import what_verify_finds
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("engine", "scheduler", "recovery")
EACH = 1_000
"""Records for each service that it cannot read."""

PATIENT_S = 240.0
MENDED = 12
GROWN_MAX = 200 * 1024 * 1024
"""Bytes that a process may need for all of it: far more than one batch, far less than all letters
with their bodies over again and again."""

LATE = re.compile("Kafka does not take the command now|was not answered in time")

TYPES = {
    "engine": "engine.save-workflow.v1",
    "scheduler": "scheduler.deploy-workflow.v1",
    "recovery": "recovery.set-mode.v1",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    async with shared_ground(servers) as ground, Stage(ground, names=SERVICES) as made:
        yield made


def topic_of(service: str) -> str:
    return f"perdure.{service}.commands.v1"


def poison(service: str, n: int) -> Outbound:
    """Return a record that looks like a command and is none; a few are large."""
    stream = str(uuid.uuid4())
    padding = "x" * (50_000 if n % 100 == 0 else 500)
    value = json.dumps({"poison": f"{service}-{n}", "padding": padding}).encode()
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{service}-{n}",
        "ce_source": SOURCE,
        "ce_type": TYPES[service],
        "ce_subject": stream,
        "content-type": "application/json",
    }
    sent = tuple((name, value.encode()) for name, value in headers.items())
    return Outbound(
        topic_of(service), partition_of(stream, PARTITIONS), value, stream.encode(), sent
    )


async def count(stage: Stage, where: str) -> int:
    [row] = await stage.rows(f"select count(*) as n from recovery.dead_letters where {where}")
    return int(row["n"])


async def typed(stage: Stage, *words: object) -> Said:
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def listed(api: httpx.AsyncClient, limit: int) -> list[Mapping[str, Any]]:
    """Return the letters that wait, page by page."""
    found: list[Mapping[str, Any]] = []
    asked: dict[str, Any] = {"status": "waiting", "limit": limit}
    while True:
        page = (await api.get("/v1/dead_letters", params=asked)).json()
        found += page["items"]
        if page["next"] is None:
            return found
        asked["cursor"] = page["next"]


async def mended(stage: Stage, api: httpx.AsyncClient, letters: Sequence[Any]) -> dict[str, str]:
    """Give letters a body that is a command; return the workflow that each of them saves."""
    workflows: dict[str, str] = {}
    for letter in letters:
        workflow_id = letter["headers"]["ce_subject"]
        definition = chain(f"mended-{workflow_id[:8]}", node("calm", "FLOW.NOOP"))
        message = SaveWorkflow(workflow_id=workflow_id, definition=definition, saved_by="tests")
        body = {"json": json.loads(codec.encode_body(message)), "reason": "it was no workflow"}
        answer = await api.put(f"/v1/dead_letters/{letter['id']}/body", json=body)
        assert answer.status_code == 200, answer.text
        workflows[letter["id"]] = workflow_id
    return workflows


async def sent_on(stage: Stage, service: str) -> Counter[str]:
    """Return how often each poisonous record stands in a service's topic."""
    bus = KafkaBus(stage.ground.kafka_bootstrap, "letters", stage.ground.prefix)
    found: Counter[str] = Counter()
    try:
        bounds = await bus.bounds([(topic_of(service), n) for n in range(PARTITIONS)])
        ends = {place: end for place, (_, end) in bounds.items()}
        bus.read({place: first for place, (first, _) in bounds.items()})
        reached = {place: first for place, (first, _) in bounds.items()}
        while any(reached[place] < end for place, end in ends.items()):
            for record in await bus.fetch(2_000, 1.0):
                reached[record.topic, record.partition] = record.offset + 1
                if record.value.startswith(b'{"poison": "'):
                    found[record.value.split(b'"')[3].decode()] += 1
    finally:
        await bus.close()
    return found


async def redriven_in_bulk(api: httpx.AsyncClient, before: str) -> int:
    """Send what waits since before an instant, until nothing does; return how many took it."""
    done = 0
    while True:
        body = {"action": "retry", "limit": 500, "before": before, "asked_by": "ann"}
        try:
            answer = await api.post("/v1/bulk/dead_letters", json=body)
        except httpx.TransportError:  # recovery is killed in the middle of it
            await asyncio.sleep(0.2)
            continue
        if answer.status_code == 503:
            await asyncio.sleep(0.2)
            continue
        assert answer.status_code == 200, answer.text
        told = answer.json()
        done += told["accepted"]
        refused = {each["code"] for each in told["letters"] if not each["accepted"]}
        # What was asked for before the end of the process is carried out by the next one.
        assert refused <= {"late", "already_settled", "bus_unreachable"}, refused
        if not told["matched"]:
            return done


async def test_thousands_of_letters_are_sent_again_once_each_whoever_is_killed_meanwhile(
    stage: Stage,
) -> None:
    url = f"http://127.0.0.1:{stage.ports['recovery']}"
    grown = psutil.Process(stage.processes["recovery"].pid).memory_info().rss
    assert await stage.end("scheduler") == 0
    for first in range(0, EACH, 250):
        records = [poison(s, n) for s in SERVICES for n in range(first, first + 250)]
        await stage.put(records)

    async def two_thirds() -> bool:
        return await count(stage, "status = 'waiting'") == 2 * EACH

    await stage.until(two_thirds, "the letters of the two that run")
    stage.begin("scheduler")

    async def all_of_them() -> bool:
        return await count(stage, "status = 'waiting'") == len(SERVICES) * EACH

    await stage.until(all_of_them, "the letters of the one that was down")
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as api:
        letters = await listed(api, 333)
        assert len({each["id"] for each in letters}) == len(letters) == len(SERVICES) * EACH
        assert Counter(each["service"] for each in letters) == dict.fromkeys(SERVICES, EACH)
        status = (await typed(stage, "status", "--json")).json
        assert (status["dead_letters_waiting"], status["dead_letters_more"]) == (
            len(SERVICES) * EACH,
            False,
        )
        of_engine = [each for each in letters if each["service"] == "engine"]
        workflows = await mended(stage, api, of_engine[:MENDED])
        [moment] = await stage.rows("select clock_timestamp() as at")
        before = moment["at"].isoformat()
        dry = await typed(
            stage, "dead-letters", "redrive", "--all", "--limit", 1_000, "--dry-run", "--json"
        )
        assert dry.code == 0, dry.err
        assert len({row["id"] for row in dry.json}) == 1_000
        assert await count(stage, "status = 'waiting'") == len(SERVICES) * EACH, "it was dry"
        [dropped] = dry.json[:1]
        said = await typed(stage, "dead-letters", "redrive", "--drop", dropped["id"])
        assert said.code == 0, said.err
        bulk = ("dead-letters", "redrive", "--all", "--service", "scheduler", "--limit", 300)
        said = await typed(stage, *bulk, "--json")
        assert "error" not in said.json, said
        refused = {row["refused"] for row in said.json} - {None}
        # On a machine with much to do Kafka may take longer than one waits for it.
        assert all(LATE.search(reason) for reason in refused), refused
        assert said.code == bool(refused), said.err
        assert len({row["id"] for row in said.json}) == len(said.json) <= 300
        sending = asyncio.create_task(redriven_in_bulk(api, before))

        async def half_way() -> bool:
            assert not sending.done(), sending
            return await count(stage, "status = 'redriven'") >= EACH

        await stage.until(half_way, "half of them to be sent again")
        grown = psutil.Process(stage.processes["recovery"].pid).memory_info().rss - grown
        assert (await stage.kill("recovery")).hit
        stage.begin("recovery")
        await sending

    redriven = len(SERVICES) * EACH - 1
    again = redriven - MENDED

    async def failed_again() -> bool:
        return await count(stage, "status = 'waiting' and attempts = 2") >= again

    try:
        await stage.until(failed_again, "the letters of what failed a second time", PATIENT_S)
    except AssertionError as error:
        sql = "select service, status, attempts, count(*) as n from recovery.dead_letters"
        rows = await stage.rows(f"{sql} group by 1, 2, 3 order by 1, 2, 3")
        raise AssertionError([tuple(row) for row in rows]) from error
    first = "attempts = 1"
    assert await count(stage, f"{first} and status = 'redriven' and retry_count = 1") == redriven
    assert await count(stage, f"{first} and status = 'dropped'") == 1
    assert await count(stage, "true") == len(SERVICES) * EACH + again, "none is lost or doubled"
    known = {each["id"]: each for each in letters}
    untouched = {*workflows, dropped["id"]}
    for service in SERVICES:
        once = {
            known[id]["headers"]["ce_id"] for id in untouched if known[id]["service"] == service
        }
        expected = {f"{service}-{n}": 1 + (f"{service}-{n}" not in once) for n in range(EACH)}
        found = await sent_on(stage, service)
        assert found.keys() == expected.keys()
        # What was sent when the process was killed is sent once more: its copies are one letter.
        assert {name for name, n in expected.items() if found[name] < n} == set()
        assert {name for name in once if found[name] > 1} == set(), "dropped and mended ones"
    saved = await stage.rows(
        "select id::text from engine.workflows where id = any($1)", list(workflows.values())
    )
    assert sorted(row["id"] for row in saved) == sorted(workflows.values())
    assert grown < GROWN_MAX, f"{grown / 1024 / 1024:.0f} MB"
    assert await what_verify_finds(stage) == []
