"""The clean-up forgets what is settled, over or at rest, and never what is open."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_common import migrate
from perdure_common.api.reading import Reading
from perdure_common.ids import derived
from perdure_recovery.api_measures import SQL
from perdure_recovery.cleaning import clean
from perdure_recovery.retention import FOREVER, SHORT

TENANT = "00000000-0000-7000-8000-000000000001"
OLD = datetime(2020, 3, 1, tzinfo=UTC)
LETTER = (
    "INSERT INTO dead_letters (id, tenant_id, stream, service, topic, partition, record_offset,"
    " source, event_type, raw, sha256, error, status, processed_at)"
    " VALUES ($1, $2, 's', 'engine', 't', 0, 0, 's', 'e', 'hunter2', 'h', 'poison: x', $3, $4)"
)
INCIDENT = (
    "INSERT INTO recovery_incidents (id, tenant_id, workspace_id, pattern_id, signature,"
    " failure_type, gate, opened_at, closed_at)"
    " VALUES ($1, $2, 'ws', $1, 's', 'network', 'open', $3, $4)"
)
BREAKER = (
    "INSERT INTO recovery_breakers (breaker_id, tenant_id, dependency, state, updated_at)"
    " VALUES ($1, $2, 'http:x', $1, $3)"
)


@pytest.fixture
async def filled(connection: Any, database: str) -> Any:
    """A connection to tables that were filled before rows of these kinds were forgotten."""
    for status in ("waiting", "redriven", "dropped"):
        settled = None if status == "waiting" else OLD
        await connection.execute(LETTER, derived("letter", status), TENANT, status, settled)
    young = datetime.now(UTC) - timedelta(days=89)
    await connection.execute(LETTER, derived("letter", "young"), TENANT, "dropped", young)
    await connection.execute(INCIDENT, derived("incident", "over"), TENANT, OLD, OLD)
    await connection.execute(INCIDENT, derived("incident", "open"), TENANT, OLD, None)
    for state in ("closed", "open", "half_open"):
        await connection.execute(BREAKER, state, TENANT, OLD)
    await migrate.up(database, "recovery")
    return connection


async def left(connection: Any) -> dict[str, set[str]]:
    queries = {
        "letters": "SELECT status FROM dead_letters",
        "incidents": "SELECT coalesce(closed_at::text, 'open') FROM recovery_incidents",
        "breakers": "SELECT state FROM recovery_breakers",
    }
    return {name: {row[0] for row in await connection.fetch(sql)} for name, sql in queries.items()}


async def test_what_was_settled_before_has_its_time_and_what_is_open_has_none(
    filled: Any,
) -> None:
    rows = await filled.fetch(
        "SELECT status AS what, kept_until FROM dead_letters WHERE processed_at IS DISTINCT FROM"
        " (SELECT max(processed_at) FROM dead_letters)"
        " UNION ALL SELECT gate || (closed_at IS NULL), kept_until FROM recovery_incidents"
        " UNION ALL SELECT state, kept_until FROM recovery_breakers"
    )
    assert {row["what"]: row["kept_until"] for row in rows} == {
        "waiting": FOREVER, "redriven": OLD + SHORT, "dropped": OLD + SHORT,
        "opentrue": FOREVER, "openfalse": OLD + SHORT,
        "open": FOREVER, "half_open": FOREVER, "closed": OLD + SHORT,
    }  # fmt: skip


async def test_only_what_was_settled_long_ago_is_forgotten(filled: Any, database: str) -> None:
    assert await clean(database, "recovery", 0) == 0, "kept for ever"
    assert await clean(database, "recovery", 90) == 4
    assert await left(filled) == {
        "letters": {"waiting", "dropped"},  # the young one
        "incidents": {"open"},
        "breakers": {"open", "half_open"},
    }
    assert await clean(database, "recovery", 7) == 1
    assert (await left(filled))["letters"] == {"waiting"}
    told = await filled.fetch("SELECT table_name FROM expired")
    names = {row["table_name"] for row in told}
    assert {"dead_letters", "recovery_incidents", "recovery_breakers"} <= names


async def test_a_report_says_what_was_erased_in_its_period(filled: Any, database: str) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=5)
    assert await clean(database, "recovery", 90) == 4
    assert await clean(database, "recovery", 90) == 0
    between = datetime.now(UTC) + timedelta(seconds=5)
    reading = Reading(database, "recovery")
    try:
        rows = await reading.rows(SQL["erasures"], begun, between)
        before = await reading.rows(SQL["erasures"], OLD, begun)
        after = await reading.rows(SQL["erasures"], between, between + timedelta(days=1))
    finally:
        await reading.close()
    assert {row["table"]: row["rows"] for row in rows} == {
        "dead_letters": 2,
        "recovery_breakers": 1,
        "recovery_incidents": 1,
    }
    assert all(begun < row["first_at"] == row["last_at"] < between for row in rows)
    assert before == after == []
