"""What is counted of triggers: of two with one path the younger never fires."""

from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.settings import DEFAULT_TENANT
from perdure_scheduler.mail.mailboxes import open_pool
from perdure_scheduler.measuring import TriggerMetrics
from prometheus_client import CollectorRegistry

INSERT = """
    INSERT INTO scheduler.trigger_index (
        id, tenant_id, workflow_id, workflow_name, deployment_version, node_id, trigger_type,
        trigger_subtype, trigger_config, index_key, path, deployment_status, created_at
    ) SELECT gen_random_uuid(), $1, gen_random_uuid(), 'w' || n, 1, 'hook', 'TRIGGER', $2,
        $3::text::jsonb, '/orders', '/orders', 'active', to_timestamp(n)
    FROM generate_series(1, $4) AS n
"""


@pytest.mark.parametrize(
    ("subtype", "config", "shadowed"),
    [
        ("WEBHOOK", "{}", 1),
        ("WEBHOOK", '{"methods": ["PUT", "POST"]}', 1),
        ("WEBHOOK", '{"methods": ["PUT"]}', 0),
        ("GITHUB", "{}", 1),
    ],
)
async def test_a_trigger_whose_path_another_had_first_is_counted(
    database: str, subtype: str, config: str, shadowed: int
) -> None:
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute(INSERT, DEFAULT_TENANT, "WEBHOOK", "{}", 1)
    await connection.execute(
        INSERT.replace("to_timestamp(n)", "to_timestamp(99)"), DEFAULT_TENANT, subtype, config, 1
    )
    await connection.close()
    assert await counted(database) == shadowed


async def test_triggers_of_github_share_a_path(database: str) -> None:
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute(INSERT, DEFAULT_TENANT, "GITHUB", "{}", 2)
    await connection.close()
    assert await counted(database) == 0


async def test_a_topic_is_counted_once_however_many_of_its_partitions_are_in_trouble(
    database: str,
) -> None:
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO scheduler.topic_troubles (tenant_id, topic, partition, code, message) "
        "SELECT $1, 'orders', n, 'topic_not_allowed', '' FROM generate_series(0, 2) AS n",
        DEFAULT_TENANT,
    )
    await connection.close()
    assert await counted(database, "perdure_foreign_topics_failing") == 1


@pytest.mark.parametrize(
    ("jitter_s", "least_s", "most_s"), [("0", 30.0, 3_000.0), ("100000000", 0.0, 0.0)]
)
async def test_a_clock_is_overdue_when_its_jitter_is_over(
    database: str, jitter_s: str, least_s: float, most_s: float
) -> None:
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute(INSERT, DEFAULT_TENANT, "CRON", f'{{"jitter_s": {jitter_s}}}', 3)
    await connection.execute(
        "UPDATE scheduler.trigger_index SET next_fire_at = "
        "CASE workflow_name WHEN 'w3' THEN now() + interval '1 hour' "
        "ELSE now() - interval '30 seconds' END"
    )
    await connection.close()
    overdue_s = await counted(database, "perdure_cron_overdue_seconds")
    assert overdue_s is not None and least_s <= overdue_s <= most_s


async def test_firings_are_counted_over_all_versions(database: str) -> None:
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute(INSERT, DEFAULT_TENANT, "CRON", "{}", 2)
    await connection.execute(
        "UPDATE scheduler.trigger_index SET fired_count = 5, missed_count = 2, "
        "deployment_status = CASE workflow_name WHEN 'w1' THEN 'inactive' ELSE 'active' END"
    )
    # As it was before there were totals: what is known of versions that serve no more counts too.
    await migrate.down(database, "scheduler", "scheduler/0009_answers_have_files")
    await migrate.up(database, "scheduler")
    await connection.execute(
        "UPDATE scheduler.trigger_totals SET fired_count = fired_count + 1 "
        "WHERE trigger_subtype = 'CRON'"
    )
    await connection.close()
    assert await counted(database, "perdure_cron_fired_total") == 11
    assert await counted(database, "perdure_cron_missed_total") == 4


async def counted(database: str, name: str = "perdure_triggers_shadowed") -> float | None:
    registry = CollectorRegistry()
    metrics = TriggerMetrics(registry)
    pool = await open_pool(database)
    try:
        await metrics.look(pool)
    finally:
        await pool.close()
    return registry.get_sample_value(name)
