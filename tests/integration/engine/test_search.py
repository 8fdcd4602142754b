"""Lists and searches of the API on tables with many rows: each question is answered by an index.

The plan is PostgreSQL's own, made and run for what the API really asks. Counted is how many rows
are looked at, not how long that takes.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest_asyncio
from perdure_common import migrate
from perdure_common.api.reading import Reading
from perdure_common.api.table import make_cursor, page_sql, read_query
from perdure_engine.api.tables import TABLES

EXECUTIONS = 200_000
WORKFLOWS = 1_000
LOOKED_AT_MAX = 3_000
"""Rows that a page of 50 may look at, where what is asked for is not rare."""

FILL = """
insert into engine.workflow_executions
       (id, tenant_id, execution_id, workspace_id, workflow_id, workflow_version, status, mode,
        triggered_by, metadata, error_message, start_time, created_at)
select (lpad(to_hex(1764000000000 + n * 1000), 12, '0') || '8000800000000000' ||
        lpad(to_hex(n), 4, '0'))::uuid,
       't', 'x' || n, gen_random_uuid(),
       ('00000000-0000-7000-8000-' || lpad((n % $2)::text, 12, '0'))::uuid,
       1, case n % 50 when 0 then 'ERROR' when 1 then 'RUNNING' else 'SUCCESS' end, 'TRIGGER',
       'MANUAL:start', jsonb_build_object('workflow_name', 'workflow ' || n % $2),
       case n % 50 when 0 then 'connection to shop number ' || n || ' refused' end,
       1764000000000 + n * 1000, to_timestamp(1764000000 + n)
  from generate_series(1, $1::int) as n
"""


@pytest_asyncio.fixture(loop_scope="function")
async def filled(database: str) -> AsyncIterator[Any]:
    await migrate.up(database, "engine")
    connection: Any = await asyncpg.connect(database)
    await connection.execute("set search_path = engine")
    await connection.execute(FILL, EXECUTIONS, WORKFLOWS)
    await connection.execute("vacuum analyze engine.workflow_executions")
    yield connection
    await connection.close()


async def types_of(connection: Any, table: str) -> dict[str, str]:
    rows = await connection.fetch(
        "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
        " where attrelid = $1::regclass and attnum > 0 and not attisdropped",
        f"engine.{table}",
    )
    return {row["attname"]: row["type"] for row in rows}


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


async def planned(
    connection: Any, table: str, *asked: tuple[str, str]
) -> tuple[set[str], int, int]:
    """Run a page of the API; return the indexes used, the rows looked at, and those found."""
    view = TABLES[table]
    sql, arguments = page_sql(
        table, view, await types_of(connection, table), "t", read_query(view, asked)
    )
    found = await connection.fetchval(f"explain (analyze, format json) {sql}", *arguments)
    (top,) = json.loads(found)
    indexes: set[str] = set()
    looked_at = 0
    for step in steps(top["Plan"]):
        assert step["Node Type"] != "Seq Scan", f"{asked} reads all of {table}"
        if "Index Name" in step:
            indexes.add(step["Index Name"])
            looked_at += (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * int(
                step["Actual Loops"]
            )
    return indexes, int(looked_at), int(top["Plan"]["Actual Rows"])


WORKFLOW = "00000000-0000-7000-8000-000000000007"
LATE = "2025-11-26T18:00:00Z"
NEWEST, OF_WORKFLOW = "workflow_executions_newest_idx", "workflow_executions_workflow_idx"


PAGES: tuple[tuple[tuple[tuple[str, str], ...], str], ...] = (
    ((), NEWEST),
    ((("limit", "500"),), NEWEST),
    ((("status", "SUCCESS"),), NEWEST),
    ((("status", "ERROR"),), NEWEST),
    ((("status", "RUNNING"), ("status", "ERROR")), NEWEST),
    ((("q", "shop"),), NEWEST),
    ((("workflow_id", WORKFLOW),), OF_WORKFLOW),
    ((("workflow_id", WORKFLOW), ("mode", "TRIGGER")), OF_WORKFLOW),
    ((("started_after", LATE), ("started_before", "2025-11-26T19:00:00Z")), NEWEST),
    ((("started_before", LATE), ("status", "ERROR")), NEWEST),
    ((("execution_id", "x77777"),), "workflow_executions_pkey"),
)
"""What is asked for, and the index that answers it."""


async def test_pages_of_executions_are_found_by_an_index(filled: Any) -> None:
    for asked, index in PAGES:
        indexes, looked_at, found = await planned(filled, "workflow_executions", *asked)
        assert indexes == {index}, asked
        assert found > 0, asked
        assert looked_at <= LOOKED_AT_MAX, asked
    # A page deep in the list costs what the first one does.
    row = await filled.fetchrow("select id from workflow_executions where execution_id = 'x1000'")
    view = TABLES["workflow_executions"]
    cursor = make_cursor(view, json.dumps({"id": str(row["id"])}).encode())
    indexes, looked_at, found = await planned(filled, "workflow_executions", ("cursor", cursor))
    assert (indexes, found) == ({NEWEST}, 51)
    assert looked_at <= 60
    # What is rare is looked for within the time that was asked for.
    rare = (("started_after", "2025-11-26T22:00:00Z"), ("q", "nobody wrote this"))
    indexes, looked_at, found = await planned(filled, "workflow_executions", *rare)
    assert (indexes, found) == ({NEWEST}, 0)
    assert looked_at < EXECUTIONS / 20


async def test_a_rare_text_is_found_page_by_page_each_by_an_index(
    filled: Any, database: str
) -> None:
    view = TABLES["workflow_executions"]
    assert view.walked is not None
    rare = (("started_before", LATE), ("status", "ERROR"), ("q", "number 15000 refused"))
    indexes, looked_at, found = await planned(filled, "workflow_executions", *rare)
    assert (indexes, found) == ({NEWEST}, 0)
    assert looked_at <= view.walked
    reading = Reading(database, "engine")
    seen: list[str] = []
    pages, last = 0, b""
    try:
        while last is not None:
            cursor = [("cursor", make_cursor(view, last))] if last else []
            query = read_query(view, [*rare, *cursor])
            rows, last = await reading.page("workflow_executions", view, "t", query)
            seen += [json.loads(row)["execution_id"] for row in rows]
            pages += 1
    finally:
        await reading.close()
    assert seen == ["x15000"]
    before = await filled.fetchval(
        "select count(*) from workflow_executions where created_at < $1::text::timestamptz", LATE
    )
    assert pages == before // view.walked + 1
    of_one = (*rare, ("workflow_id", WORKFLOW))
    indexes, looked_at, found = await planned(filled, "workflow_executions", *of_one)
    assert (indexes, found) == ({OF_WORKFLOW}, 0)
    assert looked_at <= EXECUTIONS / WORKFLOWS
