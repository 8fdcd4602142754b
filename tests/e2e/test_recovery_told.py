"""What recovery tells, on real servers: figures, families, dead letters mended once, no secrets."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from answering_server import Server, answering_server, as_json
from api_client import Api, ApiProblem
from command_line import Said, perdure
from definitions_for_tests import chain, node, request
from perdure_common import replay
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.ids import partition_of
from perdure_common.shell.ports import Outbound
from perdure_recovery.app import service
from platform_stage import MANUAL, PARTITIONS, PATIENT, SOURCE, Stage
from stage_ground import shared_ground

from bench.recovery_secrets import Sample, is_removed, samples

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRIGGERS = "perdure.triggers.v1"
WORDS = "The step failed and somebody else has to look at it now."
"""What the model says of everything."""
BAD_BODY = b'{"amount": 1'
BYTES_KEPT = {("recovery", "dead_letters"), ("recovery", "journal"), ("scheduler", "journal")}
"""Tables that keep a record as it came, bytes and all, if it is a dead letter."""
PART = 14
"""Characters of a secret that stand nowhere by chance, in however many ids and hashes."""
SAMPLES = [sample for sample in samples(11, 1) if sample.keyed][::7]
"""Secrets that a provider might repeat in its error."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    async with (
        shared_ground(servers) as ground,
        answering_server() as (model, port),
        Stage(
            ground,
            allow=("127.0.0.1/32",),
            settings={
                **PATIENT,
                "PERDURE_PROSE_URL": f"http://127.0.0.1:{port}/v1",
                "PERDURE_PROSE_MODEL": "small-1",
                "PERDURE_PROSE_KEY": "none",
            },
        ) as made,
    ):
        model.answer = lambda asked: as_json({"choices": [{"message": {"content": WORDS}}]})
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside() -> AsyncGenerator[tuple[Server, int]]:
    async with answering_server() as made:
        yield made


def api(stage: Stage) -> Api:
    return Api(f"http://127.0.0.1:{stage.ports['recovery']}")


async def typed(stage: Stage, *words: object) -> Said:
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def run(stage: Stage, name: str, url: str) -> Any:
    """Deploy a workflow that asks `url`, run it, and return its row once it has ended."""
    await stage.deploy(chain(name, request("ask", url)))
    return await stage.ended(await stage.trigger(name, {}))


async def told_of(stage: Stage, execution_id: str) -> Any:
    async def explained() -> Any:
        return await stage.rows(
            "select * from recovery.recovery_explanations where execution_id = $1", execution_id
        )

    return await stage.until(explained, "an explanation")


async def test_no_secret_of_an_answer_gets_anywhere(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    for number, sample in enumerate(SAMPLES):
        error = {"error": {"message": f"refused: {sample.text}", "code": "invalid_value"}}
        server.answer = lambda asked, error=error: as_json(error, status="400 Bad Request")
        row = await run(stage, f"leak-{number}", f"http://127.0.0.1:{port}/v1/{number}")
        assert row["status"] == "ERROR"
        (told,) = await told_of(stage, row["execution_id"])
        assert told["failure_category"] == "validation"
    assert await _leaks(stage, SAMPLES) == []


async def _leaks(stage: Stage, secrets: list[Sample]) -> list[str]:
    """Return where a part of a secret stands: tables, logs, topics."""
    found: list[str] = []

    def look(where: str, text: str) -> None:
        found.extend(f"{where}: {s.name}" for s in secrets if not is_removed(s, text, PART))

    tables = await stage.rows(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema in ('engine', 'recovery', 'scheduler') and table_type = 'BASE TABLE'"
    )
    assert len(tables) > 30
    for schema, table in tables:
        for row in await stage.rows(f'select t::text as t from "{schema}"."{table}" as t'):
            look(f"{schema}.{table}", row["t"])
    for name in stage.names:
        look(f"log of {name}", stage.log_of(name).read_text("utf-8", errors="replace"))
    bus = KafkaBus(stage.ground.kafka_bootstrap, "leaks", stage.ground.prefix)
    names = ("engine.commands", "engine.events", "engine.failures", "engine.tasks",
             "recovery.commands", "recovery.events")  # fmt: skip
    places = [(f"perdure.{name}.v1", at) for name in names for at in range(PARTITIONS)]
    bounds = await bus.bounds(places)
    full = {place: last - first for place, (first, last) in bounds.items() if last > first}
    bus.read({place: bounds[place][0] for place in full})
    read = 0
    while read < sum(full.values()):
        records = await bus.fetch(500, 5.0)
        assert records, "every record of the topics is looked at"
        read += len(records)
        for record in records:
            look(record.topic, record.value.decode("utf-8", "replace"))
    await bus.close()
    return found


async def test_recovery_tells_how_well_it_does(stage: Stage, outside: tuple[Server, int]) -> None:
    server, port = outside
    asked: list[bytes] = []

    def flaky(request: bytes) -> bytes:
        asked.append(request)
        fails = len(asked) == 1
        return as_json({"n": len(asked)}, status="503 Unavailable" if fails else "200 OK")

    server.answer = flaky
    row = await run(stage, "mended", f"http://127.0.0.1:{port}/flaky")
    assert (row["status"], len(asked)) == ("SUCCESS", 2)

    async with api(stage) as client:

        async def recovered() -> Any:
            return (await client.get("/v1/recovery_episodes", outcome="recovered"))["items"]

        (episode,) = await stage.until(recovered, "the episode")
        assert episode["execution_id"] == row["execution_id"]
        assert (episode["eligible"], episode["attempts"], episode["failures"]) == (True, 1, 1)
        figures = await client.get("/v1/kpis")
        every = figures["all"]
        assert every["episodes"] == len(SAMPLES) + 1
        assert (every["eligible"], every["recovered"]) == (1, 1)
        assert every["success"]["value"] == 1.0
        assert every["success"]["low"] < 0.5  # of one there is little to say
        assert every["time_to_recovery"]["p50_s"] == round(episode["duration_s"], 1)
        assert figures["by_failure_type"]["dependency_down"]["recovered"] == 1
        assert figures["explanations"]["completeness"] == 1.0
        assert figures["explanations"]["faithfulness"] >= 0.95
        assert figures["alerts"] == []
        nothing = await client.get("/v1/kpis", workspace_id="nobody's")
        assert nothing["all"]["episodes"] == 0
        (day,) = (await client.get("/v1/health_summary"))["items"]
        assert (day["episodes"], day["recovered"], day["open"]) == (len(SAMPLES) + 1, 1, 0)
        assert day["table_bytes"] > 0
        families = (await client.get("/v1/families"))["items"]
        assert sum(each["occurrences"] for each in families) == len(SAMPLES) + 1
        report = await client.get("/v1/compliance_report")
        assert report["unexplained_decisions"] == 0
        assert sum(each["count"] for each in report["decisions"]) == len(SAMPLES) + 1
        assert report["erasures"] == []
        assert report["attempts_beyond_caps"] == 0
        for bad in ({"since": "yesterday"}, {"since": "2026-02-01", "before": "2026-01-01"}):
            with pytest.raises(ApiProblem) as problem:
                await client.get("/v1/kpis", **bad)
            assert problem.value.status == 400

    said = await typed(stage, "recovery", "kpis")
    assert said.code == 0, said.err
    assert "recovered of the eligible" in said.out
    assert "dependency_down" in said.out
    as_data = (await typed(stage, "recovery", "kpis", "--json")).json
    assert as_data["all"]["recovered"] == 1
    alike = (await typed(stage, "recovery", "families", "--json")).json
    assert sum(each["occurrences"] for each in alike) == len(SAMPLES) + 1
    explained = await typed(stage, "recovery", "explain", row["execution_id"])
    assert "503" in explained.out
    assert (await typed(stage, "recovery", "incidents", "--json")).json == []
    assert (await typed(stage, "recovery", "breakers", "--status", "open", "--json")).json == []
    metrics = await scraped(stage)
    assert metrics['perdure_recovery_episodes{failure_type="all",service="recovery"}'] > 0
    shares = 'perdure_recovery_success_ratio{bound="%s",failure_type="all",service="recovery"}'
    low, value, high = (metrics[shares % bound] for bound in ("low", "value", "high"))
    assert low <= value <= high
    assert value == pytest.approx(as_data["all"]["success"]["value"])
    assert metrics['perdure_recovery_explanations_complete_ratio{service="recovery"}'] == 1.0


async def test_a_workspace_s_budget_is_set_shown_and_lifted(stage: Stage) -> None:
    said = await typed(stage, "recovery", "budget", "12.5", "--workspace", "thrifty")
    assert said.code == 0, said.err
    assert "12.50 USD a month in workspace thrifty" in said.out
    rows = {each["workspace_id"]: each for each in await budgets(stage)}
    assert rows["thrifty"]["recovery_usd"] == 12.5
    assert (await typed(stage, "recovery", "budget", "none", "--workspace", "thrifty")).code == 0
    rows = {each["workspace_id"]: each for each in await budgets(stage)}
    assert rows["thrifty"]["recovery_usd"] is None
    for word in ("-1", "much", "inf", "nan"):
        assert (await typed(stage, "recovery", "budget", "--", word)).code == 2


async def budgets(stage: Stage) -> list[dict[str, Any]]:
    """Return what `perdure recovery budget` shows, as data."""
    return (await typed(stage, "recovery", "budget", "--json")).json


async def scraped(stage: Stage) -> dict[str, float]:
    """Return recovery's metrics as Prometheus gets them."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{stage.ports['recovery']}/metrics")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_a_model_puts_explanations_into_words_beside_the_decisions(stage: Stage) -> None:
    async def worded() -> Any:
        return await stage.rows(
            "select * from recovery.recovery_explanations where prose is not null"
        )

    rows = await stage.until(worded, "words")
    assert {row["prose"] for row in rows} == {WORDS}
    assert {row["generation_model"] for row in rows} == {"small-1"}
    assert all(row["ai_analysis_used"] and row["failure_summary"] != WORDS for row in rows)
    said = await typed(stage, "recovery", "explain", rows[0]["execution_id"])
    assert WORDS in " ".join(said.out.split())


async def _bad_events(stage: Stage, name: str, count: int) -> list[str]:
    """Publish trigger events whose body is cut off; return their ids."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    records: list[Outbound] = []
    for each in ids:
        headers = {
            "ce_specversion": b"1.0",
            "ce_id": each.encode(),
            "ce_source": SOURCE.encode(),
            "ce_type": MANUAL.encode(),
            "ce_subject": name.encode(),
            "content-type": b"application/json",
        }
        place = partition_of(each, PARTITIONS)
        records.append(Outbound(TRIGGERS, place, BAD_BODY, each.encode(), tuple(headers.items())))
    await stage.put(records)
    return ids


async def _letters(stage: Stage, ids: list[str], status: str) -> list[Any]:
    async def all_of_them() -> Any:
        rows = await stage.rows(
            "select id::text as id, * from recovery.dead_letters "
            "where headers->>'ce_id' = any ($1) and status = $2",
            ids, status,
        )  # fmt: skip
        return rows if len(rows) == len(ids) else None

    return await stage.until(all_of_them, f"{len(ids)} dead letters that are {status}")


@pytest.mark.parametrize("place", ["before_commit", "after_commit_before_publish", "after_publish"])
async def test_mended_letters_are_sent_once_though_recovery_is_killed(
    stage: Stage, place: str
) -> None:
    name = f"mended-letters-{place}"
    await stage.deploy(
        chain(name, node("sum", "ACTION.SET", values={"twice": "{{ $json.n * 2 }}"}))
    )
    ids = await _bad_events(stage, name, 6)
    letters = await _letters(stage, ids, "waiting")
    async with api(stage) as client:
        for number, letter in enumerate(letters):
            body = {"json": {"n": number}, "reason": "it was cut off", "edited_by": "ann"}
            edited = await client.send("PUT", f"/v1/dead_letters/{letter['id']}/body", body)
            assert edited["settled"] is True
        wanted = {"action": "retry", "code": "bad_json", "asked_by": "ann"}
        looked = await client.send("POST", "/v1/bulk/dead_letters", wanted | {"dry_run": True})
        assert (looked["matched"], looked["accepted"]) == (6, 0)
        await _letters(stage, ids, "waiting")
        (signature,) = {letter["pattern_signature"] for letter in letters}
        for pattern, matched in ((signature, 6), ("v1:none", 0)):
            alike = wanted | {"pattern": pattern, "dry_run": True}
            found = await client.send("POST", "/v1/bulk/dead_letters", alike)
            assert found["matched"] == matched
    listed = await typed(stage, "dead-letters", "patterns", "--json")
    (mine,) = [row for row in listed.json if row["pattern_signature"] == signature]
    assert (mine["waiting"], mine["attempts_max"], mine["service"]) == (6, 1, "scheduler")
    alike = await typed(stage, "dead-letters", "list", "--pattern", signature, "--json")
    assert {row["id"] for row in alike.json} == {str(letter["id"]) for letter in letters}
    none = await typed(stage, "dead-letters", "list", "--pattern", "v1:none", "--json")
    assert none.json == []

    assert await stage.end("recovery") == 0
    stage.begin("recovery", f"recovery.{place}:kill@2")
    await stage.until_ready(["recovery"])
    redriving = asyncio.create_task(
        typed(stage, "dead-letters", "redrive", "--all", "--pattern", signature)
    )
    await stage.until_killed("recovery")
    stage.begin("recovery")
    await stage.until_ready(["recovery"])
    await redriving
    again = await typed(stage, "dead-letters", "redrive", "--all", "--code", "bad_json", "--json")
    assert {row["status"] for row in again.json} <= {"redriven", "waiting"}
    await _letters(stage, ids, "redriven")
    rows = [await stage.ended(each) for each in ids]
    results = sorted(row["run_data"]["result"][0]["twice"] for row in map(_read, rows))
    assert results == [0, 2, 4, 6, 8, 10]
    for each in ids:
        assert len(await stage.executions_of(each)) == 1
    kept = await _letters(stage, ids, "redriven")
    assert {row["raw"] for row in kept} == {BAD_BODY}
    assert {row["retry_count"] for row in kept} == {1}


def _read(row: Any) -> dict[str, Any]:
    return {**row, "run_data": json.loads(row["run_data"])}


async def test_a_letter_that_is_gone_or_settled_says_so(stage: Stage) -> None:
    (letter, *_) = await stage.rows("select id::text as id from recovery.dead_letters limit 1")
    async with api(stage) as client:
        for path, code, status in (
            (f"/v1/dead_letters/{letter['id']}/settle", "already_settled", 409),
            (f"/v1/dead_letters/{uuid.uuid4()}/settle", "dead_letter_not_found", 404),
        ):
            with pytest.raises(ApiProblem) as problem:
                await client.send("POST", path, {"action": "retry"})
            assert (problem.value.code, problem.value.status) == (code, status)
        with pytest.raises(ApiProblem) as problem:
            await client.send("PUT", f"/v1/dead_letters/{letter['id']}/body", {"base64": "!"})
        assert problem.value.status == 400
    twice = await typed(stage, "dead-letters", "redrive", letter["id"])
    assert twice.code == 1
    assert "was settled" in twice.err
    said = await typed(stage, "recovery", "explain", letter["id"])
    assert said.code == 0, said.err
    assert "Nothing is tried: a record is not sent again by itself" in " ".join(said.out.split())
    (decision,) = await stage.rows(
        "select triggered_by, recovery_context->>'said' as said from recovery.recovery_attempts "
        "where dead_letter_id = $1",
        uuid.UUID(letter["id"]),
    )
    assert (decision["triggered_by"], decision["said"]) == ("dead_letter", "retry")


async def _made_again(stage: Stage) -> None:
    report = await replay.check(service, stage.ground.database_url)
    assert [str(each) for each in report.differences] == []


async def test_what_was_forgotten_is_not_brought_back_by_a_replay(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    await _made_again(stage)
    before = await _counts(stage)
    assert before["recovery_episodes"] == len(SAMPLES) + 1
    (kept,) = await stage.rows("select recovery.cleanup_old_recovery_data(90) as gone")
    assert kept["gone"] == 0
    assert await _counts(stage) == before
    await stage.rows("select recovery.cleanup_old_recovery_data(90, now() + interval '91 days')")
    short = await _counts(stage)
    assert short["recovery_explanations"] == 0  # none is of an attempt that failed
    frequent = await stage.rows("select from recovery.failure_patterns where occurrence_count > 1")
    assert short["failure_patterns"] == len(frequent) < before["failure_patterns"]
    assert short["recovery_episodes"] == before["recovery_episodes"]
    await _made_again(stage)
    await stage.rows("select recovery.cleanup_old_recovery_data(90, now() + interval '181 days')")
    assert (await _counts(stage))["recovery_episodes"] == 0
    await _made_again(stage)

    server.answer = lambda asked: as_json({"error": "again"}, status="403 Forbidden")
    for name in ("again", "and-again"):
        row = await run(stage, name, f"http://127.0.0.1:{port}/forbidden")
        await told_of(stage, row["execution_id"])
    sql = "select occurrence_count as n from recovery.failure_patterns where failure_type = $1"

    async def counted() -> bool:  # a pattern hears of a failure a moment after its decision
        return [row["n"] for row in await stage.rows(sql, "permission")] == [2]

    await stage.until(counted, "both to be counted by one pattern")


async def _counts(stage: Stage) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in ("failure_patterns", "recovery_attempts", "recovery_explanations",
                  "recovery_episodes"):  # fmt: skip
        (row,) = await stage.rows(f"select count(*) as n from recovery.{table}")
        found[table] = row["n"]
    return found


async def test_people_are_asked_about_what_nothing_mends_and_their_answer_is_done(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    granted = asyncio.Event()
    server.answer = lambda request: (
        as_json({"ok": True}) if granted.is_set() else as_json({}, "403 Forbidden")
    )
    await stage.deploy(chain("granted", request("ask", f"http://127.0.0.1:{port}/")))
    event = await stage.trigger("granted", {})
    row = await stage.ended(event)
    assert row["status"] == "ERROR"  # nobody waits for people

    async def asked() -> Any:
        lines = (await typed(stage, "recovery", "questions", "--json")).json
        return [each for each in lines if each["execution_id"] == row["execution_id"]]

    (question,) = await stage.until(asked, "a question")
    wrong = await typed(stage, "recovery", "answer", question["id"], "approve", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "unknown_answer")
    granted.set()
    said = await typed(stage, "recovery", "answer", question["id"], "retry", "--json")
    assert said.code == 0, said
    status = "select status from engine.workflow_executions where execution_id = $1"

    async def well() -> bool:
        (found,) = await stage.rows(status, row["execution_id"])
        return found["status"] == "SUCCESS"

    await stage.until(well, "an execution that went on")
    again = await typed(stage, "recovery", "answer", question["id"], "retry", "--json")
    assert again.json["error"]["code"] == "not_asked"


async def test_many_failures_alike_are_an_incident_that_says_what_happened(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    server.answer = lambda asked: as_json({}, status="422 Unprocessable")
    await stage.deploy(chain("many", request("ask", f"http://127.0.0.1:{port}/many")))
    events = [await stage.trigger("many", {"n": n}) for n in range(12)]
    for event in events:
        assert (await stage.ended(event))["status"] == "ERROR"

    async def counted() -> Any:
        said = await typed(stage, "recovery", "incidents", "--json")
        found = [each for each in said.json if each["dependency"].startswith("http:")]
        return [each for each in found if each["executions"] >= 12]

    (row,) = await stage.until(counted, "the incident of all twelve")
    assert (row["failure_type"], row["failures"]) == ("validation", 12)
    assert row["severity_level"] == "critical"
    said = await typed(stage, "recovery", "incidents", row["id"])
    assert said.code == 0, said.err
    words = " ".join(said.out.split())
    assert "validation http:127.0.0.1" in words
    assert "one attempt is made to see; the others wait in line" in words
    unknown = await typed(stage, "recovery", "incidents", "none-such")
    assert unknown.code == 1
    assert "there is no incident 'none-such'" in unknown.err
