"""Databases: deadlocks, conflicts, full disks, and what is wrong with the statement itself.

The failures are PostgreSQL's own. A small disk would have to be mounted by root, so one table has
its rows on `/dev/full`, where the kernel refuses every write for want of space. A sequence is not
rolled back, so it counts the tries.
"""

from pathlib import Path
from typing import Any

import asyncpg
from definitions_for_tests import Definition, chain, node

from laboratory.scenario import Case, Scenario, cured, told

DATABASE = "laboratory"
STRICT = "laboratory-strict"
"""The same database, whose transactions see what was there when they began."""


def _sql(query: str, **more: Any) -> Any:
    """Return a workflow with one statement; `{mark}` stands for the scenario's own name."""

    def workflow(case: Case) -> Definition:
        given = {
            "database": DATABASE,
            "mode": "write",
            "idempotency_parameter": True,
            "query": query.format(mark=case.mark),
            "timeout_s": 5,
            **more,
        }
        return chain(case.mark, node("sql", "EXTERNAL_ACTION.SQL", **given))

    return workflow


async def _counter(case: Case) -> None:
    """Make a table with two rows, and a sequence that counts tries."""
    await case.execute(
        f"""
        create table {case.mark} (id int primary key, n int not null default 0, key text unique);
        insert into {case.mark} (id) values (1), (2);
        create sequence {case.mark}_tries;
        """
    )


async def _full_disk(case: Case) -> None:
    """Put a table where no space is left. After a checkpoint nobody looks at its file meanwhile."""
    connection = await asyncpg.connect(case.stage.ground.database_url)
    try:
        await connection.execute(f"create table {case.mark} (key text unique)")
        await connection.execute("checkpoint")
        of = "select current_setting('data_directory') || '/' || pg_relation_filepath($1)"
        _without_space(await connection.fetchval(of, case.mark))
    finally:
        await connection.close()


def _without_space(file: str) -> None:
    Path(file).unlink()
    Path(file).symlink_to("/dev/full")


async def _more_space(case: Case) -> None:
    """Give the table another file once a write was refused."""
    await case.until_decided(1)
    await case.execute(f"truncate {case.mark}")


async def _both_rows(case: Case) -> None:
    """A function that takes the first row, waits for a sign, and takes the second."""
    await _counter(case)
    await case.execute(
        f"""
        create function {case.mark}_both(key text) returns int language plpgsql as $$
        begin
            update {case.mark} set n = n + 1 where id = 1;
            perform pg_advisory_xact_lock_shared({case.number});
            update {case.mark} set n = n + 1, key = $1 where id = 2;
            return 1;
        end $$;
        """
    )


async def _opposite_order(case: Case) -> None:
    """Take the rows the other way round, and be patient: the platform is to be the victim."""
    connection = await asyncpg.connect(case.stage.ground.database_url)
    try:
        await connection.execute("set deadlock_timeout = '60s'")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"update {case.mark} set n = n + 1 where id = 2")
        case.names["holding"] = "yes"
        await case.started()
        await _until_waiting(case)
        await connection.execute(f"update {case.mark} set n = n + 1 where id = 1")
        await transaction.commit()
    finally:
        await connection.close()


async def _until_waiting(case: Case) -> None:
    """Wait until the platform's statement waits for a lock that we hold."""
    sql = """
        select pid from pg_stat_activity
         where wait_event_type = 'Lock' and query like '%' || $1 || '%' and pid <> pg_backend_pid()
    """

    async def waits() -> bool:
        return bool(await case.stage.rows(sql, f"{case.mark}_"))

    await case.stage.until(waits, "the statement to wait")


async def _changed_meanwhile(case: Case) -> None:
    """Change the row between the statement's first look and its own change."""
    connection = await asyncpg.connect(case.stage.ground.database_url)
    try:
        await connection.execute("select pg_advisory_lock($1)", case.number)
        case.names["holding"] = "yes"
        await case.started()
        await _until_waiting(case)
        await connection.execute(f"update {case.mark} set n = n + 1 where id = 2")
        await connection.execute("select pg_advisory_unlock($1)", case.number)
    finally:
        await connection.close()


async def _held_row(case: Case) -> None:
    """Hold a row until the first try was refused."""
    connection = await asyncpg.connect(case.stage.ground.database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"update {case.mark} set n = n + 1 where id = 1")
        case.names["holding"] = "yes"
        await case.until_decided(1)
        await transaction.commit()
    finally:
        await connection.close()


async def _once(case: Case) -> None:
    """What was to be written is there once."""
    rows = await case.stage.rows(f"select count(*) as n from {case.mark} where key is not null")
    assert rows[0]["n"] == 1


SCENARIOS = (
    Scenario(
        "two transactions wait for each other",
        "databases",
        _sql("select {mark}_both($1)"),
        [cured("conflict", "retry_now")],
        before=_both_rows,
        during=_opposite_order,
        after=_once,
        waits_for_hold=True,
    ),
    Scenario(
        "a row was changed after it was looked at",
        "databases",
        _sql("select {mark}_both($1)", database=STRICT),
        [cured("conflict", "retry_now")],
        before=_both_rows,
        during=_changed_meanwhile,
        after=_once,
        waits_for_hold=True,
    ),
    Scenario(
        "a lock is not to be had",
        "databases",
        _sql(
            "update {mark} set key = $1 where id in (select id from {mark} where id = 1 "
            "for update nowait) returning id"
        ),
        [cured("conflict", "retry_now")],
        before=_counter,
        during=_held_row,
        after=_once,
        waits_for_hold=True,
    ),
    Scenario(
        "the disk of a database is full for a moment",
        "databases",
        _sql("insert into {mark} values ($1) returning 1"),
        [
            cured("resource_exhausted", "reassign"),
            cured("resource_exhausted", "reassign", "reassign"),
            cured("resource_exhausted", "reassign", "backoff"),
        ],
        before=_full_disk,
        during=_more_space,
        after=_once,
    ),
    Scenario(
        "a statement takes longer than it may",
        "databases",
        _sql(
            "select case when nextval('{mark}_tries') = 1 then pg_sleep(30)::text else $1 end",
            timeout_s=1,
        ),
        [cured("timeout", "backoff")],
        before=_counter,
    ),
    Scenario(
        "a row is there already",
        "databases",
        _sql("insert into {mark} (id, key) values (1, $1)"),
        [told("validation")],
        before=_counter,
    ),
    Scenario(
        "a statement is none",
        "databases",
        _sql("selekt $1"),
        [told("code_bug")],
    ),
    Scenario(
        "a table is not there",
        "databases",
        _sql("select * from {mark}_missing where key = $1"),
        [told("code_bug")],
    ),
    Scenario(
        "a database is not known",
        "databases",
        _sql("select $1", database="nobody-knows-it"),
        [told("data_missing")],
    ),
)
