"""The scheduler's API shows what its migrations have made."""

import httpx
from perdure_common import migrate
from perdure_common.api.reading import Reading
from perdure_common.http import make_app
from perdure_common.observe import Metrics
from perdure_scheduler.api import TABLES

TENANT = "00000000-0000-7000-8000-000000000001"


async def _ready() -> list[str]:
    return []


async def test_every_table_can_be_asked_by_every_filter(database: str) -> None:
    await migrate.up(database, "scheduler")
    reading = Reading(database, "scheduler")
    app = make_app(
        "scheduler",
        tables=TABLES,
        reading=reading,
        tenant_id=TENANT,
        ready=_ready,
        metrics=Metrics("scheduler"),
    )
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
            for table, view in TABLES.items():
                for name in (*view.filters, *(["q"] if view.search else [])):
                    answer = await client.get(f"/v1/{table}", params={name: "1"})
                    understood = answer.status_code == 200
                    assert understood or answer.json()["code"] == "invalid_value", answer.text
    finally:
        await reading.close()
