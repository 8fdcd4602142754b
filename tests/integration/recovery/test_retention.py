"""How long rows are kept that were there before it was mended, as the migration leaves them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common import migrate
from perdure_common.ids import derived
from perdure_recovery.retention import FOREVER, LONG, SHORT

AT = datetime(2026, 3, 1, tzinfo=UTC)
"""Its 180 days have a change to summer time in them, and none back."""


async def add(connection: Any, name: str, status: str, attempt: datetime, why: datetime) -> None:
    """Add an attempt and its explanation, and until when each was to be kept."""
    await connection.execute(
        "INSERT INTO recovery_attempts (id, tenant_id, workspace_id, execution_id,"
        " recovery_strategy, attempt_number, triggered_by, recovery_reason, started_at, status,"
        " recovery_context, error_message, episode_id, failure_id, failure_pattern_id,"
        " confidence_score, ai_reasoning, updated_at, kept_until)"
        " VALUES ($1, 't', 'ws', $2, 'backoff', 1, 'engine', 'r', $4, $3, '{}', 'm',"
        " $1, 'f', $1, 1, 'a', $4, $5)",
        derived("attempt", name), name, status, AT, attempt,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO recovery_explanations (id, tenant_id, workspace_id, execution_id,"
        " recovery_attempt_id, failure_summary, root_cause, retry_decision,"
        " confidence_explanation, user_action_required, estimated_resolution_time,"
        " severity_level, display_category, error_pattern_matched, failure_category,"
        " recovery_strategy, ai_analysis_used, explanation_source, generation_model,"
        " generation_confidence, failure_time, explanation_generated_at, kept_until)"
        " VALUES ($1, 't', 'ws', $2, $3, 's', 'c', 'd', 'e', 'a', 't', 'low', 'x', 'v1:0',"
        " 'timeout', 'backoff', false, 'rule', 'none', 1, $4, $4, $5)",
        derived("explanation", name), name, derived("attempt", name), AT, why,
    )  # fmt: skip


async def test_rows_of_before_are_kept_as_those_of_now(connection: Any, database: str) -> None:
    long, short = AT + LONG, AT + SHORT
    rows = {
        "failed": ("failed", long, short),
        "refused": ("refused", long, short),
        "stopped": ("refused", FOREVER, short),
        "expired": ("expired", FOREVER, short),
        "withdrawn": ("superseded", FOREVER, short),
        "overtaken": ("superseded", long, short),
        "helped": ("succeeded", short, short),
        "open": ("running", FOREVER, FOREVER),
        "parked": ("parked", FOREVER, FOREVER),
    }
    for name, row in rows.items():
        await add(connection, name, *row)
    await connection.execute(
        f"ALTER DATABASE {database.rpartition('/')[2].partition('?')[0]}"
        " SET timezone = 'Europe/Berlin'"
    )
    await migrate.up(database, "recovery")
    found = await connection.fetch(
        "SELECT a.execution_id AS name, a.kept_until AS attempt, e.kept_until AS why"
        " FROM recovery_attempts a JOIN recovery_explanations e ON e.recovery_attempt_id = a.id"
    )
    assert {row["name"]: (row["attempt"], row["why"]) for row in found} == {
        **{name: (attempt, why) for name, (_, attempt, why) in rows.items()},
        "failed": (long, long),
        "stopped": (long, short),
        "expired": (long, short),
        "withdrawn": (long, short),
    }
    assert long - AT == timedelta(hours=180 * 24)
