"""What every service's API answers, on a real PostgreSQL with a small table."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from perdure_common import http, migrate
from perdure_common.api import table
from perdure_common.api.reading import Reading
from perdure_common.api.table import LIMIT_MAX, TableView
from perdure_common.http import listen, make_app, serve
from perdure_common.observe import Metrics, RowCount
from perdure_common.settings import SettingError, Settings

OURS = "00000000-0000-7000-8000-000000000001"
THEIRS = "00000000-0000-7000-8000-000000000009"

MIGRATION = """
-- migrate:up
CREATE TABLE parcels (
    id uuid PRIMARY KEY, tenant_id text NOT NULL, name text NOT NULL, weight integer,
    sent boolean NOT NULL, made_at timestamptz NOT NULL, detail jsonb NOT NULL
);
INSERT INTO parcels
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '{ours}',
    'parcel ' || n, n, n % 2 = 0, '2026-01-01T00:00:00.000001Z'::timestamptz
    + (n / 3) * interval '1 second', jsonb_build_object('n', n, 'big', 12345678901234567890)
FROM generate_series(1, 10) AS n;
INSERT INTO parcels VALUES
    ('00000000-0000-0000-0000-00000000000a', '{theirs}', '100%_theirs', 1, true, now(), '{{}}');
-- migrate:down
DROP TABLE parcels;
"""
DELIVERY = """
-- migrate:up
CREATE TABLE delivery (
    tenant_id text, source text, id text, answer text, received_at timestamptz
);
INSERT INTO delivery VALUES
    ('{ours}', '/cli', 'c 1', '{{"events": ["parcels.sent.v1"]}}', '2026-01-01T00:00:00Z'),
    ('{ours}', '/cli', 'a/b', '{{"rejected": {{"code": "zero"}}}}', '2026-01-01T00:00:00Z');
-- migrate:down
DROP TABLE delivery;
"""

PARCELS = TableView(
    columns=("id", "name", "weight", "sent", "made_at", "detail"),
    order=("made_at", "id"),
    filters=("name", "weight", "sent"),
    search=("name",),
)
TABLES = {
    "parcels": PARCELS,
    "missing": TableView(columns=("id",), order=("id",)),
}


COUNTS = (
    ((), 10),
    ((("sent", "true"),), 5),
    ((("sent", "true"), ("sent", "false")), 10),
    ((("name", "parcel 3"), ("sent", "true")), 0),
)


@dataclass
class Api:
    """The API of a service called `parcels`, and what it says of its readiness."""

    app: FastAPI
    client: httpx.AsyncClient
    database: str
    reasons: list[str] = field(default_factory=list)

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        return await self.client.get(path, params=parameters or None)

    async def names(self, **parameters: Any) -> list[str]:
        answer = await self.get("/v1/parcels", **parameters)
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()["items"]]

    async def problem(self, path: str, status: int, **parameters: Any) -> dict[str, Any]:
        answer = await self.get(path, **parameters)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = answer.json()
        assert body["status"] == status
        assert body["detail"]
        return body


def made(reading: Reading, reasons: Sequence[str], *, rows: Sequence[RowCount] = ()) -> FastAPI:
    async def ready() -> Sequence[str]:
        return reasons

    metrics = Metrics("parcels", rows=rows, counts=reading.counts)
    return make_app(
        "parcels", tables=TABLES, reading=reading, tenant_id=OURS, ready=ready, metrics=metrics
    )


@pytest.fixture
async def api(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    for service, sql in (("shell", DELIVERY), ("parcels", MIGRATION)):
        (tmp_path / service).mkdir()
        text = sql.format(ours=OURS, theirs=THEIRS)
        (tmp_path / service / "0001_first.sql").write_text(text)
    await migrate.up(database, "parcels", tmp_path)
    reading = Reading(database, "parcels")
    reasons: list[str] = []
    rows = (RowCount("perdure_parcels", "Parcels.", "parcels", "sent", ("true", "false")),)
    app = made(reading, reasons, rows=rows)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://parcels") as client:
        try:
            yield Api(app, client, database, reasons)
        finally:
            await reading.close()


@pytest.fixture
async def alone() -> AsyncIterator[Api]:
    """The API of a service whose database is not there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reading = Reading(f"postgresql://nobody@127.0.0.1:{port}/none", "parcels")
    app = made(reading, [])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://parcels") as client:
        yield Api(app, client, "")


# Lists ------------------------------------------------------------------------------


async def test_a_list_has_the_newest_rows_first_as_json(api: Api) -> None:
    body = (await api.get("/v1/parcels", limit=1)).json()
    assert body["items"] == [
        {
            "id": "00000000-0000-0000-0000-000000000010",
            "name": "parcel 10",
            "weight": 10,
            "sent": True,
            "made_at": "2026-01-01T00:00:03.000001+00:00",
            "detail": {"n": 10, "big": 12345678901234567890},
        }
    ]


async def test_pages_follow_each_other_without_gaps_or_repetitions(api: Api) -> None:
    for limit in (1, 3, 4, 9, 10):
        seen: list[str] = []
        parameters: dict[str, Any] = {"limit": limit}
        while True:
            body = (await api.get("/v1/parcels", **parameters)).json()
            seen += [row["name"] for row in body["items"]]
            assert len(body["items"]) <= limit
            if body["next"] is None:
                break
            parameters["cursor"] = body["next"]
        assert seen == [f"parcel {n}" for n in range(10, 0, -1)]


async def test_a_list_may_begin_with_the_first(api: Api, database: str) -> None:
    view = TableView(columns=("id", "weight"), order=("weight",), descending=False)
    reading = Reading(database, "parcels")
    app = make_app(
        "parcels",
        tables={"parcels": view},
        reading=reading,
        tenant_id=OURS,
        ready=_ready,
        metrics=Metrics("parcels"),
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://parcels") as client:
        first = (await client.get("/v1/parcels?limit=4")).json()
        then = (await client.get("/v1/parcels?limit=4&cursor=" + first["next"])).json()
    await reading.close()
    assert [row["weight"] for row in first["items"] + then["items"]] == list(range(1, 9))


async def _ready() -> Sequence[str]:
    return ()


async def test_filters_are_equalities_and_one_given_twice_means_any(api: Api) -> None:
    assert await api.names(weight=7) == ["parcel 7"]
    assert await api.names(weight=[7, 2]) == ["parcel 7", "parcel 2"]
    assert await api.names(weight=[7, 2], sent="true") == ["parcel 2"]


@pytest.mark.parametrize(("parameters", "count"), COUNTS)
async def test_a_count_is_of_all_rows_that_a_list_has(
    api: Api, parameters: Sequence[tuple[str, str]], count: int
) -> None:
    answer = await api.client.get("/v1/count/parcels", params=list(parameters))
    assert answer.json() == {"count": count, "exact": True}
    listed = await api.client.get("/v1/parcels", params=list(parameters))
    assert len(listed.json()["items"]) == count


async def test_a_count_ends_where_it_would_take_too_long_and_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (table, http):
        monkeypatch.setattr(module, "COUNT_MAX", 7)
    assert (await api.get("/v1/count/parcels")).json() == {"count": 7, "exact": False}
    assert (await api.get("/v1/count/parcels", sent=True)).json() == {"count": 5, "exact": True}


async def test_a_count_is_of_ones_own_rows_and_has_no_pages(api: Api) -> None:
    theirs = await api.client.get("/v1/count/parcels", headers={"x-perdure-tenant": THEIRS})
    assert theirs.json() == {"count": 1, "exact": True}
    for name in ("limit", "cursor", "q", "nonsense"):
        problem = await api.problem("/v1/count/parcels", 400, **{name: "1"})
        assert problem["code"] == "unknown_parameter"


async def test_a_text_is_looked_for_literally_and_in_any_case(api: Api) -> None:
    assert await api.names(q="CEL 1") == ["parcel 10", "parcel 1"]
    assert await api.names(q="%") == []
    assert await api.names(q="parcel_1") == []


async def test_everybody_sees_his_own_rows_only(api: Api) -> None:
    theirs = {"X-Perdure-Tenant": THEIRS}
    body = (await api.client.get("/v1/parcels", headers=theirs)).json()
    assert [row["name"] for row in body["items"]] == ["100%_theirs"]
    body = (await api.client.get("/v1/parcels?q=%25_", headers=theirs)).json()
    assert len(body["items"]) == 1
    assert "100%_theirs" not in await api.names(limit=LIMIT_MAX)
    path = "/v1/parcels/00000000-0000-0000-0000-00000000000a"
    assert (await api.get(path)).status_code == 404
    assert (await api.client.get(path, headers=theirs)).json()["name"] == "100%_theirs"


WRONG: tuple[tuple[dict[str, str], str, str], ...] = (
    ({"wieght": "1"}, "unknown_parameter", "did you mean 'weight'?"),
    ({"made_at": "x"}, "unknown_parameter", "there are name, weight, sent"),
    ({"limit": "0"}, "invalid_limit", "from 1 to 500"),
    ({"limit": "501"}, "invalid_limit", "from 1 to 500"),
    ({"limit": "²"}, "invalid_limit", "from 1 to 500"),
    ({"cursor": "x"}, "invalid_cursor", "`next` of a page"),
    ({"cursor": "WzFd"}, "invalid_cursor", "`next` of a page"),
    ({"cursor": "WyJub3ciLCAiMSJd"}, "invalid_value", "does not fit"),
    ({"weight": "heavy"}, "invalid_value", "does not fit"),
    ({"weight": "99999999999"}, "invalid_value", "does not fit"),
    ({"name": "a\0b"}, "invalid_value", "does not fit"),
)


async def test_a_question_that_cannot_be_understood_is_a_problem(api: Api) -> None:
    for parameters, code, says in WRONG:
        problem = await api.problem("/v1/parcels", 400, **parameters)
        assert problem["code"] == code, parameters
        assert says in problem["detail"], parameters
        assert problem["retryable"] is False


async def test_what_a_caller_sends_is_never_part_of_a_statement(api: Api) -> None:
    evil = "x'; DROP TABLE parcels; --"
    assert await api.names(name=evil, q=evil) == []
    assert (await api.get(f"/v1/parcels/{evil}")).status_code == 400
    assert len(await api.names()) == 10


# One row, answers -------------------------------------------------------------------


async def test_a_row_is_shown_by_its_key(api: Api) -> None:
    answer = await api.get("/v1/parcels/00000000-0000-0000-0000-000000000004")
    assert answer.json()["name"] == "parcel 4"
    problem = await api.problem("/v1/parcels/00000000-0000-0000-0000-000000000099", 404)
    assert problem["code"] == "not_found"


async def test_what_became_of_a_command_is_told(api: Api) -> None:
    answer = (await api.get("/v1/answers//cli/c 1")).json()
    assert answer["answer"] == {"events": ["parcels.sent.v1"]}
    assert (answer["source"], answer["id"]) == ("/cli", "c 1")
    answer = (await api.get("/v1/answers", source="/cli", id="a/b")).json()
    assert answer["answer"]["rejected"]["code"] == "zero"


async def test_a_command_without_an_answer_is_not_answered(api: Api) -> None:
    assert (await api.problem("/v1/answers//cli/none", 404))["code"] == "not_answered"
    assert (await api.problem("/v1/answers", 400, source="/cli"))["code"] == "invalid_request"


# Health, metrics, the rest ----------------------------------------------------------


async def test_a_service_is_ready_when_nothing_speaks_against_it(api: Api) -> None:
    assert (await api.get("/readyz")).json() == {"service": "parcels", "ok": True}
    api.reasons.append("shard 3 needs a newer version")
    problem = await api.problem("/readyz", 503)
    assert problem["code"] == "not_ready"
    assert problem["reasons"] == ["shard 3 needs a newer version"]
    assert problem["retryable"] is True


async def test_without_a_database_the_process_lives_but_is_not_ready(alone: Api) -> None:
    assert (await alone.get("/healthz")).json()["ok"] is True
    problem = await alone.problem("/readyz", 503)
    assert "PostgreSQL does not answer" in problem["detail"]
    problem = await alone.problem("/v1/parcels", 503)
    assert (problem["code"], problem["retryable"]) == ("database_unreachable", True)
    assert (await alone.get("/metrics")).status_code == 200


async def test_before_the_migrations_a_service_is_not_ready(database: str) -> None:
    reading = Reading(database, "nevermigrated")
    app = made(reading, [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as c:
        answer = await c.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert (await c.get("/v1/parcels")).json()["code"] == "database_unreachable"
    await reading.close()


async def test_a_connection_that_breaks_is_made_again(api: Api) -> None:
    assert len(await api.names()) == 10
    killer: Any = await asyncpg.connect(api.database)
    try:
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'perdure-parcels-api'"
        )
    finally:
        await killer.close()
    await api.get("/v1/parcels")
    assert len(await api.names()) == 10


async def test_rows_are_counted_for_the_metrics(api: Api) -> None:
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'perdure_parcels{sent="true",service="parcels"} 6.0' in answer.text
    assert 'perdure_parcels{sent="false",service="parcels"} 5.0' in answer.text


async def test_the_api_can_read_and_nothing_else(api: Api, database: str) -> None:
    connection: Any = await asyncpg.connect(
        database, server_settings={"role": "parcels_api", "search_path": "parcels"}
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM parcels")
    finally:
        await connection.close()


async def test_a_table_that_the_database_does_not_have_says_so(api: Api) -> None:
    problem = await api.problem("/v1/missing", 503)
    assert problem["code"] == "not_migrated"
    assert "parcels.missing" in problem["detail"]


async def test_a_path_that_is_not_there_is_a_problem_too(api: Api) -> None:
    assert (await api.problem("/v1/nothing", 404))["code"] == "no_such_path"
    answer = await api.client.post("/v1/parcels")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


async def test_a_failure_inside_tells_nothing_of_the_inside(api: Api) -> None:
    def fail() -> None:
        raise RuntimeError("the password is hunter2")

    api.app.add_api_route("/fail", fail)
    problem = await api.problem("/fail", 500)
    assert problem["code"] == "internal_error"
    assert "hunter2" not in str(problem)


async def test_the_api_describes_itself(api: Api) -> None:
    document = (await api.get("/openapi.json")).json()
    listed = document["paths"]["/v1/parcels"]["get"]
    names = [parameter["name"] for parameter in listed["parameters"]]
    assert names == ["X-Perdure-Tenant", "limit", "cursor", "q", "name", "weight", "sent"]
    page = listed["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(page["properties"]["items"]["items"]["properties"]) == set(PARCELS.columns)
    assert "/v1/parcels/{key}" in document["paths"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": ("a",), "order": ("b",)},
        {"columns": ("a",), "order": ()},
        {"columns": ("a", "q"), "order": ("a",), "filters": ("q",), "key": None},
        {"columns": ("a",), "order": ("a",), "key": "id"},
    ],
)
def test_a_view_that_contradicts_itself_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        TableView(**wrong)


# Serving ----------------------------------------------------------------------------


async def test_requests_are_answered_until_the_service_stops(alone: Api) -> None:
    listening = listen(Settings(http_port=0), "parcels")
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(alone.app, listening, stop))
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{address}/healthz")).json()["service"] == "parcels"
        stop.set()
        await serving
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{address}/healthz")


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match="PERDURE_PARCELS_PORT"):
            listen(Settings(http_port=port), "parcels")
