"""EXTERNAL_ACTION SQL on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import asyncpg
import pytest
from perdure_common.outbound import AllowList
from perdure_engine.nodes.external_action_sql import effect
from perdure_engine.runner import sql
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.databases import (
    CONNECTIONS_MAX,
    RECEIVED_BYTES_MAX,
    Databases,
    Meter,
)
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.sql import query
from perdure_engine.runner.tools import Tools
from perdure_engine.runner.verifying import happened


@pytest.fixture
async def databases(database: str) -> AsyncIterator[Databases]:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE notes (key text UNIQUE, n int, body jsonb)")
    await connection.close()
    made = Databases({"shop": database, "gone": "postgresql://u:secret@127.0.0.1:1/d"})
    yield made
    await made.close()


async def ask(databases: Databases, text: str, *values: Any, **parameters: Any) -> Any:
    given = {"database": "shop", "query": text, "values": list(values), **parameters}
    answer = await query(databases, given, "key-1")
    return answer.error if isinstance(answer, Failed) else answer


async def rows(databases: Databases) -> list[Any]:
    return (await ask(databases, "SELECT key, n FROM notes ORDER BY n"))["rows"]


CASTS: list[tuple[str, Any, Any]] = [
    ("int", 5, 5),
    ("bigint", 2**53 + 1, 2**53 + 1),
    ("float8", 1.5, 1.5),
    ("boolean", True, True),
    ("text", "a'; DROP TABLE notes; --", "a'; DROP TABLE notes; --"),
    ("numeric", 1.10, "1.1"),
    ("numeric", "12345678901234567890.5", "12345678901234567890.5"),
    ("timestamptz", "2026-03-04T05:06:07+01:00", "2026-03-04T04:06:07Z"),
    ("timestamptz", "2026-03-04", "2026-03-04T00:00:00Z"),
    ("timestamp", "2026-03-04T05:06:07", "2026-03-04T05:06:07"),
    ("date", "2026-03-04", "2026-03-04"),
    ("time", "05:06", "05:06:00"),
    ("uuid", "6f2b1d0e-7a35-5c1e-9d53-0d0a4f6c9b11", "6f2b1d0e-7a35-5c1e-9d53-0d0a4f6c9b11"),
    ("jsonb", {"a": [1, None]}, {"a": [1, None]}),
    ("json", "text", "text"),
    ("bytea", "AP8=", "AP8="),
    ("date", "infinity", "infinity"),
    ("date", "9999-12-31", "9999-12-31"),
    ("date", "0001-01-01", "0001-01-01"),
    ("timestamp", "-infinity", "-infinity"),
    ("timestamp", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"),
    ("timestamptz", "infinity", "infinity"),
    ("timestamptz", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
    ("timestamptz", "1999-12-31T23:59:59.999999Z", "1999-12-31T23:59:59.999999Z"),
    ("timestamptz[]", ["-infinity", None], ["-infinity", None]),
    ("interval", 90.5, 90.5),
    ("interval", "-infinity", "-infinity"),
    ("daterange", ["2026-01-01", "infinity"], "[2026-01-01,infinity]"),
    ("int[]", [1, None, 2], [1, None, 2]),
    ("date[]", ["2026-03-04"], ["2026-03-04"]),
    ("text", None, None),
]


async def test_values_go_in_and_come_out_as_json(databases: Databases) -> None:
    for kind, value, expected in CASTS:
        answer = await ask(databases, f"SELECT $1::{kind} AS r", value)
        assert answer == {"rows": [{"r": expected}], "count": 1}, (kind, value)


async def test_what_has_no_end_is_a_text_of_its_own(databases: Databases) -> None:
    await ask(databases, "CREATE TYPE stay AS (a date, b timestamptz[])", mode="write")
    await ask(databases, "CREATE DOMAIN day AS date", mode="write")
    for text, expected in (
        ("'infinity'::date", "infinity"),
        ("'-infinity'::date", "-infinity"),
        ("'9999-12-31'::date", "9999-12-31"),
        ("'0001-01-01'::date", "0001-01-01"),
        ("'infinity'::timestamp", "infinity"),
        ("'-infinity'::timestamptz", "-infinity"),
        ("'9999-12-31 23:59:59.999999'::timestamp", "9999-12-31T23:59:59.999999"),
        ("'infinity'::interval", "infinity"),
        ("'-infinity'::interval", "-infinity"),
        ("'1 year 2 mons 3 days 4.5 s'::interval", (365 + 60 + 3) * 86_400 + 4.5),
        ("'-1 year -2 mons 3 days'::interval", -(365 + 60 - 3) * 86_400.0),
        ("ARRAY['infinity', '2026-03-04']::date[]", ["infinity", "2026-03-04"]),
        ("ARRAY[['-infinity']]::timestamptz[]", [["-infinity"]]),
        ("ROW('infinity', ARRAY['-infinity'])::stay", {"a": "infinity", "b": ["-infinity"]}),
        ("ROW('infinity'::date, 1)", ["infinity", 1]),
        ("ARRAY[ROW('-infinity', NULL)::stay]", [{"a": "-infinity", "b": None}]),
        ("'infinity'::day", "infinity"),
        ("daterange('2026-01-01', 'infinity')", "[2026-01-01,infinity)"),
        ("tstzrange('-infinity', NULL, '(]')", "(-infinity,)"),
        ("'empty'::tsrange", "empty"),
        ("datemultirange(daterange('2026-01-01', 'infinity'))", ["[2026-01-01,infinity)"]),
        ('\'{"a": "infinity"}\'::jsonb', {"a": "infinity"}),
    ):
        answer = await ask(databases, f"SELECT {text} AS r")
        assert answer == {"rows": [{"r": expected}], "count": 1}, text


async def test_what_json_has_not_is_as_postgresql_writes_it(databases: Databases) -> None:
    await ask(databases, "CREATE TYPE words AS RANGE (subtype = text)", mode="write")
    for text in (
        "numrange(1.5, NULL)", "words('a b', 'c\"\\,')", "words('', 'x')", "int4range(1, 5)",
        "'10110'::varbit", "''::varbit", "'Infinity'::float8", "'-Infinity'::float4",
        "'NaN'::float8", "'NaN'::numeric", "'Infinity'::numeric", "'10.1.2.3/8'::inet",
        "'::1'::inet", "'10.0.0.0/8'::cidr",
    ):  # fmt: skip
        answer = await ask(databases, f"SELECT {text} AS r, to_json({text}) AS j")
        assert answer["rows"][0]["r"] == answer["rows"][0]["j"], text
    path = await ask(databases, "SELECT '[(1,2),(3,4)]'::path AS r, '(1,2)'::point AS p")
    assert path["rows"] == [{"r": [[1.0, 2.0], [3.0, 4.0]], "p": [1.0, 2.0]}]


UNFIT: list[tuple[str, list[Any], str]] = [
    ("SELECT $1::int", ["five"], "sql_failed"),
    ("SELECT $1::date", ["soon"], "invalid_parameters"),
    ("SELECT $1::text", [5], "invalid_parameters"),
    ("SELECT $1::numeric", ["1e"], "invalid_parameters"),
    ("SELECT $1::timestamptz", ["Infinity"], "invalid_parameters"),
    ("SELECT $1::interval", ["1 day"], "invalid_parameters"),
    ("SELECT $1::interval", [1e300], "invalid_parameters"),
    ("SELECT $1::daterange", [["soon", None]], "sql_failed"),
    ("SELECT $1::int[]", [5], "invalid_parameters"),
    ("SELECT $1::int", [], "invalid_parameters"),
    ("SELECT 1", [1], "invalid_parameters"),
]


async def test_values_that_do_not_fit_are_told(databases: Databases) -> None:
    for text, values, code in UNFIT:
        error = await ask(databases, text, *values)
        assert (error.type, error.retryable) == (code, False), (text, values)
        assert error.effect_state in ("not_sent", "refused")


async def test_writing_says_how_much_it_changed_and_stays(databases: Databases) -> None:
    insert = "INSERT INTO notes (key, n) VALUES ($1, $2), ('b', 2)"
    assert await ask(databases, insert, "a", 1, mode="write") == {"rows": [], "count": 2}
    returned = await ask(databases, "UPDATE notes SET n = n + 1 RETURNING n", mode="write")
    assert returned == {"rows": [{"n": 2}, {"n": 3}], "count": 2}
    assert await rows(databases) == [{"key": "a", "n": 2}, {"key": "b", "n": 3}]


WRITES = (
    "INSERT INTO notes (n) VALUES (1)",
    "WITH w AS (DELETE FROM notes RETURNING n) SELECT * FROM w",
    "CREATE TABLE t (a int)",
    "SELECT nextval('s')",
)


async def test_reading_cannot_write(databases: Databases) -> None:
    await ask(databases, "CREATE SEQUENCE s", mode="write")
    for text in WRITES:
        error = await ask(databases, text)
        assert (error.sqlstate, error.effect_state) == ("25006", "refused"), text


async def test_one_statement_is_one_statement(databases: Databases) -> None:
    error = await ask(databases, "SELECT 1; DROP TABLE notes", mode="write")
    assert (error.type, error.sqlstate) == ("sql_failed", "42601")
    assert await rows(databases) == []


async def test_a_key_makes_a_second_attempt_harmless(databases: Databases) -> None:
    text = "INSERT INTO notes (n, key) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING"
    for count in (1, 0):
        answer = await ask(databases, text, 7, mode="write", idempotency_parameter=True)
        assert answer["count"] == count
    assert await rows(databases) == [{"key": "key-1", "n": 7}]


async def test_what_was_written_is_found_and_not_written_again(databases: Databases) -> None:
    parameters: dict[str, Any] = {
        "database": "shop", "mode": "write", "query": "INSERT INTO notes (key) VALUES ($1)",
        "values": ["once"], "verify": "SELECT key FROM notes WHERE key = $1",
        "verify_values": ["once"],
    }  # fmt: skip
    assert effect(parameters) == "verify_first"
    tools = Tools(Clients(0), AllowList.parse([]), databases=databases)
    kind = ("EXTERNAL_ACTION", "SQL")
    assert await happened(tools, kind, parameters, "key", "x") is None
    await query(databases, parameters, "key")
    found = await happened(tools, kind, parameters, "key", "x")
    assert found == {"rows": [{"key": "once"}], "count": 1, "verified": True}
    writes = {**parameters, "verify": "DELETE FROM notes WHERE key = $1 RETURNING key"}
    refused = await happened(tools, kind, writes, "key", "x")
    assert isinstance(refused, Failed), "to look changes nothing"
    assert (refused.error.effect_state, refused.error.stage) == ("unknown", "verify")


async def test_what_is_refused_leaves_nothing(databases: Databases) -> None:
    many = "INSERT INTO notes (n) SELECT generate_series(1, 20) RETURNING n"
    error = await ask(databases, many, mode="write", rows_max=10)
    assert (error.type, error.effect_state) == ("too_many_items", "not_sent")
    large = await ask(databases, "SELECT repeat('x', 6000000) AS x")
    assert (large.type, large.retryable) == ("response_too_large", False)
    twice = "INSERT INTO notes (key) VALUES ('a'), ('a')"
    error = await ask(databases, twice, mode="write")
    assert (error.sqlstate, error.effect_state) == ("23505", "refused")
    assert await rows(databases) == []


UNREADABLE = (
    *("'4713-01-01 BC'::date", "'20000-01-01'::timestamptz", "'24:00'::time"),
    *("'100000000 years'::interval", "'[1e999]'::json", "'[1e400]'::jsonb"),
    *('\'{"a": "\\ud800"}\'::json', "ARRAY['[1e999]'::json]"),
    *("('[' || repeat('9', 5000) || ']')::json", "(repeat('[', 900) || repeat(']', 900))::json"),
)


async def test_a_value_that_cannot_be_passed_on_fails_its_item_and_nothing_is_written(
    databases: Databases,
) -> None:
    for value in UNREADABLE:
        error = await ask(databases, f"INSERT INTO notes (n) VALUES (1) RETURNING {value}",
                          mode="write")  # fmt: skip
        assert (error.type, error.retryable, error.effect_state) == (
            "output_invalid", False, "not_sent",
        ), value  # fmt: skip
    assert await rows(databases) == []


async def test_large_rows_are_not_asked_for_many_at_once(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    cursors: Any = import_module("asyncpg.cursor").Cursor
    fetch = cursors.fetch

    async def counted(self: Any, n: int, **more: Any) -> Any:
        asked.append(n)
        return await fetch(self, n, **more)

    monkeypatch.setattr(cursors, "fetch", counted)
    large = "SELECT repeat('x', 1000000) AS x FROM generate_series(1, 100)"
    assert (await ask(databases, large)).type == "response_too_large"
    assert max(asked) <= 4, "five megabytes are the most that is kept"
    asked.clear()
    assert (await ask(databases, "SELECT generate_series(1, 500) AS n"))["count"] == 500
    assert len(asked) <= 10


BROUGHT = (
    "INSERT INTO notes (n) VALUES (1) RETURNING repeat('x', 200000000) AS x",
    "INSERT INTO notes (n) VALUES (1) RETURNING (SELECT array_agg(repeat('x', 1000000))"
    " FROM generate_series(1, 100))",
    "DO $$ BEGIN FOR n IN 1..20 LOOP RAISE NOTICE '%', repeat('x', 1000000); END LOOP; END $$",
    "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 12000000); END $$",
)


async def test_a_row_that_is_too_large_never_comes_into_memory(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = 0
    receive = Meter.data_received

    def counted(self: Meter, data: bytes) -> None:
        nonlocal brought
        brought += len(data)
        receive(self, data)

    monkeypatch.setattr(Meter, "data_received", counted)
    for text in BROUGHT:
        brought = 0
        error = await ask(databases, text, mode="write")
        assert (error.type, error.retryable, error.effect_state) == (
            "response_too_large", False, "not_sent",
        ), text  # fmt: skip
        assert f"{RECEIVED_BYTES_MAX:,}" in error.message
        assert RECEIVED_BYTES_MAX < brought < RECEIVED_BYTES_MAX + 2**20
    for _ in range(CONNECTIONS_MAX + 1):
        assert await rows(databases) == [], "and the database can be asked as before"


async def test_what_a_connection_brought_before_does_not_count(databases: Databases) -> None:
    for _ in range(4):
        large = await ask(databases, "SELECT repeat('x', 4000000) AS x")
        assert large["count"] == 1, large


async def test_a_statement_that_waits_for_data_ends_in_its_time(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "GRACE_S", 0.1)
    async with asyncio.timeout(20):
        for _ in range(CONNECTIONS_MAX + 1):
            error = await ask(databases, "COPY notes FROM STDIN", mode="write", timeout_s=0.1)
            assert (error.type, error.effect_state) == ("attempt_timeout", "not_sent")
    assert await rows(databases) == [], "and no connection is lost by it"


async def test_a_slow_statement_is_stopped_by_the_server(databases: Databases) -> None:
    error = await ask(databases, "SELECT pg_sleep(60)", timeout_s=0.2)
    assert (error.type, error.sqlstate) == ("sql_failed", "57014")
    assert (error.retryable, error.dependency) == (True, "sql:127.0.0.1")
    assert await rows(databases) == []


async def test_a_transaction_that_loses_a_race_may_be_tried_again(databases: Databases) -> None:
    raised = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"
    error = await ask(databases, raised, mode="write")
    assert (error.sqlstate, error.retryable, error.effect_state) == ("40001", True, "refused")


async def killed(databases: Databases, database: str, text: str, where: str) -> Any:
    """Return the error of a statement whose session is killed while it does `where`."""
    running = asyncio.create_task(ask(databases, text, mode="write"))
    connection = await asyncpg.connect(database)
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perdure'"
        " AND state = 'active' AND query LIKE $1 AND datname = current_database()"
    )
    while not await connection.fetchval(kill, where):
        await asyncio.sleep(0.05)
    await connection.close()
    return await running


async def test_a_session_that_is_killed_before_its_commit_did_nothing(
    databases: Databases, database: str
) -> None:
    await ask(databases, "INSERT INTO notes (n) VALUES (1)", mode="write")
    slow = "UPDATE notes SET n = 2 WHERE pg_sleep(60) IS NOT NULL"
    error = await killed(databases, database, slow, "UPDATE%")
    assert (error.retryable, error.effect_state) == (True, "not_sent")
    assert await rows(databases) == [{"key": None, "n": 1}]


async def test_of_a_session_that_is_killed_in_its_commit_the_effect_is_unknown(
    databases: Databases, database: str
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON notes
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
    """)
    await connection.close()
    insert = "INSERT INTO notes (n) VALUES (1)"
    error = await killed(databases, database, insert, "COMMIT%")
    assert (error.retryable, error.effect_state) == (True, "unknown")


async def test_a_database_that_cannot_be_reached_or_is_not_known_is_told(
    databases: Databases,
) -> None:
    gone = await ask(databases, "SELECT 1", database="gone")
    assert (gone.type, gone.retryable, gone.effect_state) == ("connect_failed", True, "not_sent")
    assert "secret" not in gone.message
    unknown = await ask(databases, "SELECT 1", database="other")
    assert (unknown.type, unknown.retryable) == ("database_not_known", False)
    assert "shop" in unknown.message


def test_only_reading_and_keys_may_be_repeated() -> None:
    assert effect({}) == "pure"
    assert effect({"mode": "write"}) == "unsafe"
    assert effect({"mode": "write", "idempotency_parameter": True}) == "keyed"
