"""The health summary of the database says what the measures in code say."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.api.reading import Reading
from perdure_common.ids import derived
from perdure_recovery.api_measures import PERIOD, SQL, alerts
from perdure_recovery.cleaning import clean
from perdure_recovery.measures import Counted, kpis, measured, wilson

TENANT = "00000000-0000-7000-8000-000000000001"
DAY = datetime(2026, 3, 1, tzinfo=UTC)
OUTCOMES = ("recovered", "recovered", "recovered", "escalated", "superseded", "open", "handled")


def drawn(chance: random.Random, number: int) -> dict[str, Any]:
    outcome = chance.choice(OUTCOMES)
    first = DAY + timedelta(seconds=chance.randrange(86_400))
    fixed = chance.random() < 0.2
    return {
        "id": derived("episode", number),
        "tenant_id": TENANT,
        "workspace_id": "ws",
        "execution_id": f"e{number}",
        "pattern_signature": "v1:0",
        "failure_type": chance.choice(("timeout", "auth")),
        "dependency_class": chance.choice(("http", "llm")),
        "first_failed_at": first,
        "last_failed_at": first,
        "eligible": chance.random() < 0.7,
        "judged_transient": chance.random() < 0.5,
        "cured_unchanged": chance.random() < 0.5,
        "fallback": chance.random() < 0.3,
        "obsolete": outcome == "superseded",
        "outcome": outcome,
        "duration_s": None if outcome == "open" else round(chance.uniform(0.1, 300), 1),
        "missed": fixed,
        "fixed_at": first + timedelta(hours=chance.choice((2, 30))) if fixed else None,
    }


def is_wrong(row: dict[str, Any]) -> bool:
    """A false positive, from its definition."""
    if row["outcome"] == "open":
        return False
    within = row["fixed_at"] is not None and row["fixed_at"] - row["first_failed_at"] <= timedelta(
        days=1
    )
    return row["obsolete"] or (
        row["judged_transient"] and not row["cured_unchanged"] and not within
    )


@pytest.fixture
async def connection(database: str) -> Any:
    await migrate.up(database, "recovery")
    made: Any = await asyncpg.connect(database)
    await made.execute("SET search_path = recovery")
    yield made
    await made.close()


async def test_the_summary_of_a_day_equals_the_measures(connection: Any, database: str) -> None:
    chance = random.Random(3)
    rows = [drawn(chance, number) for number in range(400)]
    names = list(rows[0])
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await connection.executemany(
        f"INSERT INTO recovery_episodes ({', '.join(names)}) VALUES ({places})",
        [tuple(row.values()) for row in rows],
    )
    made = measured(
        [
            Counted(
                failure_type=row["failure_type"],
                dependency_class=row["dependency_class"],
                fallback=row["fallback"],
                outcome=row["outcome"],
                eligible=row["eligible"],
                false_positive=is_wrong(row),
                missed=row["missed"],
                duration_s=row["duration_s"] or 1e9,
            )
            for row in rows
        ]
    )
    (day,) = await connection.fetch("SELECT * FROM recovery_system_health_summary")
    assert (day["episodes"], day["eligible"], day["recovered"]) == (
        made.episodes,
        made.eligible,
        made.recovered,
    )
    assert (day["false_positives"], day["missed"], day["open"]) == (
        made.false_positives,
        made.missed,
        made.open,
    )
    assert day["coverage"] == pytest.approx(made.coverage.value, abs=1e-6)
    assert day["success_rate"] == pytest.approx(made.success.value, abs=1e-6)
    assert day["success_low"] == pytest.approx(made.success.low, abs=1e-6)
    assert day["success_high"] == pytest.approx(made.success.high, abs=1e-6)
    times = made.time_to_recovery
    assert (day["mttr_p50_s"], day["mttr_p90_s"]) == (times.p50_s, times.p90_s)
    assert day["mttr_mean_s"] == pytest.approx(times.mean_s, abs=1e-3)

    reading = Reading(database, "recovery")
    try:
        period = (TENANT, DAY, DAY + timedelta(days=1), None)
        counted = [Counted(**row) for row in await reading.rows(SQL["episodes"], *period)]
    finally:
        await reading.close()
    assert sum(each.count for each in counted) == len(rows)
    told = kpis(counted)["all"]
    assert told["success"]["value"] == made.success.value
    assert told["false_positives"] == made.false_positives
    assert told["time_to_recovery"]["censored_median_s"] == times.censored_median_s


async def test_the_summary_says_how_many_breakers_of_the_tenant_are_open(connection: Any) -> None:
    row = drawn(random.Random(5), 1)
    names, places = ", ".join(row), ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await connection.execute(
        f"INSERT INTO recovery_episodes ({names}) VALUES ({places})", *row.values()
    )
    summary = "SELECT open_breakers FROM recovery_system_health_summary"
    assert await connection.fetchval(summary) == 0
    breakers = [
        (TENANT, "a", "open"),
        (TENANT, "b", "open"),
        (TENANT, "c", "half_open"),
        (TENANT, "d", "closed"),
        ("somebody else", "a", "open"),
    ]
    await connection.executemany(
        "INSERT INTO recovery_breakers (tenant_id, breaker_id, dependency, state)"
        " VALUES ($1, $2, 'http:x', $3)",
        breakers,
    )
    assert await connection.fetchval(summary) == 2


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (3, 11), (990, 1_000)])
async def test_the_interval_of_the_database_is_wilsons(
    connection: Any, successes: int, trials: int
) -> None:
    (row,) = await connection.fetch(
        "SELECT wilson_low($1, $2) AS low, wilson_high($1, $2) AS high", successes, trials
    )
    share = wilson(successes, trials)
    assert (row["low"], row["high"]) == (
        pytest.approx(share.low, abs=1e-6),
        pytest.approx(share.high, abs=1e-6),
    )


@pytest.mark.parametrize("days", [-1, 0, 6])
async def test_what_is_young_is_not_cleaned(connection: Any, days: int) -> None:
    with pytest.raises(asyncpg.PostgresError, match="from 7"):
        await connection.fetchval("SELECT cleanup_old_recovery_data($1)", days)


async def test_of_no_trials_there_is_no_interval(connection: Any) -> None:
    assert await connection.fetchval("SELECT wilson_low(0, 0)") is None


async def test_a_table_that_grows_too_fast_is_told(connection: Any, database: str) -> None:
    day = "SELECT recovery.note_table_sizes(current_date - $1::integer)"
    assert await connection.fetchval(day, 91) > 5
    tables = await connection.fetchval(day, 0)
    assert await connection.fetchval(day, 0) == 0, "once a day"
    assert await connection.fetchval("SELECT count(*) FROM table_sizes") == tables
    await connection.execute(
        "INSERT INTO table_sizes VALUES"
        " ('recovery_attempts', current_date - 1, -150000000, now() - interval '18 hours'),"
        " ('recovery_modes', current_date - 1, -1, now() - interval '1 hour')"
    )
    reading = Reading(database, "recovery")
    try:
        sizes = await reading.rows(SQL["sizes"])
    finally:
        await reading.close()
    grown = {row["table"]: row["grown_daily"] for row in sizes}
    assert grown["recovery_attempts"] == pytest.approx(200_000_000, rel=0.01), "18 hours, no day"
    assert grown["recovery_modes"] is None, "what came within an hour says nothing of a day"
    (alert,) = alerts(0, 0, sizes)
    assert alert.startswith("recovery.recovery_attempts grows by 200,")


@pytest.mark.parametrize("days", [0, 90])
async def test_sizes_are_noted_also_where_rows_are_kept_for_ever(
    connection: Any, database: str, days: int
) -> None:
    old = (
        "INSERT INTO recovery_episodes (id, tenant_id, workspace_id, execution_id, kept_until,"
        " pattern_signature, failure_type, dependency_class, outcome, first_failed_at,"
        " last_failed_at)"
        " VALUES ($1, $2, 'ws', 'e', $3, 'v1:0', 'timeout', 'http', 'escalated', $3, $3)"
    )
    await connection.execute(old, derived("episode", "old"), TENANT, DAY - timedelta(days=4000))
    gone = await clean(database, "recovery", days)
    assert gone == (1 if days else 0)
    assert await connection.fetchval("SELECT count(*) FROM table_sizes") > 5


async def test_what_people_are_asked_is_what_nobody_has_answered_in_time(connection: Any) -> None:
    later, before = "9999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
    rows = {
        "leave": ("waiting_approval", {"cause": "approval", "interaction_id": "i", "until": later}),
        "ended": ("refused", {"cause": "person", "interaction_id": "i", "until": later}),
        "answered": ("refused", {"interaction_id": "i", "until": later, "said": "retry"}),
        "over": ("waiting_approval", {"interaction_id": "i", "until": before}),
        "released": ("running", {"interaction_id": "i", "until": later}),
        "breaker": ("parked", {"cause": "breaker", "until": later}),
        "refused": ("refused", {"refused_by": "caps"}),
    }
    for name, (status, context) in rows.items():
        await connection.execute(
            "INSERT INTO recovery_attempts (id, tenant_id, workspace_id, execution_id,"
            " recovery_strategy, attempt_number, triggered_by, recovery_reason, started_at, status,"
            " recovery_context, error_message, episode_id, failure_id, failure_pattern_id,"
            " confidence_score, ai_reasoning)"
            " VALUES ($1, $2, 'ws', $3, 'backoff', 1, 'engine', 'r', now(), $4, $5, 'm',"
            " $1, 'f', $1, 1, 'a')",
            derived("attempt", name), TENANT, name, status, json.dumps(context),
        )  # fmt: skip
    asked = await connection.fetch("SELECT execution_id FROM recovery_questions ORDER BY 1")
    assert [row["execution_id"] for row in asked] == ["ended", "leave"]


@pytest.mark.parametrize(
    ("nodes", "more", "beyond"),
    [
        (["a"] * 3, {}, 0),
        (["a"] * 5, {}, 2),
        (["a"] * 5, {"triggered_by": "person"}, 0),
        (["a"] * 5, {"status": "refused"}, 0),
        (["a"] * 5, {"recovery_strategy": "skip_compensate"}, 0),
        ([f"n{n}" for n in range(12)], {}, 2),
    ],
)
async def test_what_was_tried_against_the_caps_is_counted_from_the_rows(
    connection: Any, database: str, nodes: list[str], more: dict[str, str], beyond: int
) -> None:
    row = {"triggered_by": "engine", "status": "failed", "recovery_strategy": "backoff", **more}
    for n, name in enumerate(nodes):
        await connection.execute(
            "INSERT INTO recovery_attempts (id, tenant_id, workspace_id, execution_id, node_id,"
            " recovery_strategy, attempt_number, triggered_by, recovery_reason, started_at, status,"
            " episode_id, failure_id, failure_pattern_id, confidence_score, ai_reasoning)"
            " VALUES ($1, $2, 'ws', 'e', $3, $4, 1, $5, 'r', $6, $7, $1, 'f', $1, 1, 'a')",
            derived("attempt", n), TENANT, name, row["recovery_strategy"], row["triggered_by"],
            DAY + timedelta(minutes=n), row["status"],
        )  # fmt: skip
    reading = Reading(database, "recovery")
    try:
        until = DAY + timedelta(days=1)
        found = await reading.rows(SQL["beyond_caps"], TENANT, DAY, until, None, 3, 10)
        after = await reading.rows(SQL["beyond_caps"], TENANT, until, DAY + PERIOD, None, 3, 10)
    finally:
        await reading.close()
    assert [each["count"] for each in (*found, *after)] == [beyond, 0]
