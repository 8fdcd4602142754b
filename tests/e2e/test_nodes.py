"""Nodes on a whole platform: through CSV and SQL into a database, and out again."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from definitions_for_tests import chain, node
from perdure_common import replay
from perdure_common.embedded import Addresses
from perdure_engine.app import service
from perdure_engine.nodes.registry import SPECIFICATIONS
from platform_stage import PATIENT, Stage
from promises import until_settled
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    """A platform whose own database nodes may use, as the database `here`."""
    async with shared_ground(servers) as ground:
        databases = {"PERDURE_SQL_DATABASES": f"here={ground.database_url}"}
        async with Stage(ground, settings={**PATIENT, **databases}) as made:
            await made.rows("CREATE SCHEMA shop")
            await made.rows("CREATE TABLE shop.orders (key text UNIQUE, id int, total numeric)")
            yield made


def sql(node_id: str, query: str, **parameters: Any) -> dict[str, Any]:
    return node(node_id, "EXTERNAL_ACTION.SQL", database="here", query=query, **parameters)


LOAD = chain(
    "load",
    node("rows", "ACTION.CSV", value="{{ $json.text }}"),
    sql(
        "save",
        "INSERT INTO shop.orders (id, total, key) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING",
        values=["{{ Number($json.id) }}", "{{ $json.total }}"],
        mode="write",
        idempotency_parameter=True,
    ),
    node("one", "FLOW.LIMIT", count=1),
    sql("sum", "SELECT sum(total) AS total, count(*) AS count FROM shop.orders"),
)


async def test_rows_of_a_text_are_written_once_each_though_the_runner_is_killed(
    stage: Stage,
) -> None:
    await stage.deploy(LOAD)
    text = "id,total\n" + "".join(f"{n},{n}.5\n" for n in range(1, 21))
    event = await stage.trigger("load", {"text": text})
    await stage.kill("runner")
    stage.begin("runner")
    row = await stage.ended(event)
    assert row["status"] == "SUCCESS", row["error_message"]
    [result] = json.loads(row["run_data"])["result"]
    assert result == {"rows": [{"total": "220.0", "count": 20}], "count": 1}
    await until_settled(stage)
    report = await replay.check(service, stage.ground.database_url)
    assert [str(each) for each in report.differences] == []


async def test_a_statement_that_is_wrong_is_told_and_not_tried_again(
    stage: Stage,
) -> None:
    await stage.deploy(chain("wrong", sql("ask", "SELECT * FROM shop.nothing")))
    row = await stage.ended(await stage.trigger("wrong", {}))
    assert row["status"] == "ERROR"
    details = json.loads(row["error_details"])
    assert details["type"] == "sql_failed"
    assert 'relation "shop.nothing" does not exist' in details["message"]
    nodes = await stage.nodes_of(row["execution_id"])
    assert nodes["ask"]["retry_count"] == 0


async def test_the_table_of_specifications_is_filled_when_the_engine_starts(stage: Stage) -> None:
    async def filled() -> list[Any]:
        return await stage.rows("SELECT node_type, node_subtype FROM engine.node_specifications")

    rows = await stage.until(filled, "the specifications")
    assert {(row["node_type"], row["node_subtype"]) for row in rows} == {
        (each.node_type, each.subtype) for each in SPECIFICATIONS
    }
