"""EXTERNAL_ACTION SQL: one statement for each item, in a transaction of its own."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import asyncpg
from perdure_contracts.engine import EffectState, ErrorFacts

from perdure_engine.nodes.external_action_sql import ROWS_MAX
from perdure_engine.nodes.services import TIMEOUT_S
from perdure_engine.runner.databases import RECEIVED_BYTES_MAX, Databases, Meter
from perdure_engine.runner.dependencies import of_address
from perdure_engine.runner.exchange import BODY_BYTES_MAX
from perdure_engine.runner.failures import Failed, facts_of
from perdure_engine.runner.sql_values import bound, plain

FETCH_ROWS = 100
"""Rows that are asked for at once; fewer where they are large, for all of them come at once."""

GRACE_S = 2.0
"""What the server has beyond its own time-out to say that it gave up."""

RETRYABLE = ("08", "40", "53", "57", "58", "55P03")
"""SQLSTATEs, by their beginnings, after which the same statement may succeed."""

REFUSAL_LENGTH_MAX = 10_000
"""Characters of a refusal that are looked through for secrets; a statement can raise megabytes."""

UNREADABLE = (
    *(ValueError, ArithmeticError, RecursionError),
    *(asyncpg.InternalClientError, asyncpg.UnsupportedClientFeatureError),
)
"""What the driver raises of a value that Python has not, as a day before the year 1."""

LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


class _Refused(Exception):
    """The answer is not kept, and the transaction is undone: a code and a sentence."""


async def query(
    databases: Databases, parameters: Mapping[str, Any], idempotency_key: str
) -> dict[str, Any] | Failed:
    """Run the statement of one item and return `{rows, count}`, or why there is nothing."""
    url = parameters.get("url")  # only a credential has one
    name = str(parameters.get("credential" if url else "database") or "")
    if url is None and name not in databases.names:
        known = ", ".join(databases.names) or "none"
        text = f"there is no database {name!r}; PERDURE_SQL_DATABASES has {known}"
        return Failed(ErrorFacts(type="database_not_known", message=text, stage="run"))
    dependency = of_address("sql", databases.address(name, url), name)
    timeout_s = float(parameters.get("timeout_s") or TIMEOUT_S)
    run = _Run(parameters, idempotency_key, timeout_s)
    busy = False
    try:
        async with asyncio.timeout(timeout_s + GRACE_S):
            pool = await databases.pool(name, url)
            busy = pool.get_size() - pool.get_idle_size() >= pool.get_max_size()
            connection = await pool.acquire()
            busy = False
            try:
                return await run.on(connection)
            finally:
                await _give_back(pool, connection)
    except _Refused as error:
        code, text = error.args
        return Failed(facts_of(error, code, text, retryable=False, dependency=dependency))
    except TimeoutError as error:
        if busy:
            text = f"all connections of this process to {name!r} are in use"
            return Failed(facts_of(error, "pool_timeout", text, retryable=True))
        text = f"no answer within {timeout_s:g} s"
        return Failed(
            facts_of(
                error, "attempt_timeout", text, retryable=True,
                dependency=dependency, effect_state=run.state,
            )
        )  # fmt: skip
    except UNREADABLE as error:
        if not run.began:
            text = f"the address of the database {name!r} is none: {error}"
            return Failed(facts_of(error, "invalid_parameters", text, retryable=False))
        text = f"a value cannot be passed on: {error}; cast it in the statement, to text perhaps"
        return Failed(
            facts_of(
                error, "output_invalid", text, retryable=False,
                dependency=dependency, effect_state=run.state,
            )
        )  # fmt: skip
    except LOST as error:
        code = "connection_reset" if run.began else "connect_failed"
        text = f"the database {name!r} cannot be used: {error}"
        facts = facts_of(
            error, code, text, retryable=True, dependency=dependency, effect_state=run.state
        )
        return Failed(replace(facts, sqlstate=getattr(error, "sqlstate", None)))
    except asyncpg.PostgresError as error:
        return Failed(_refused_by_server(error, dependency, run.state))


class _Run:
    """One statement. `state` says how far its effect had got, should something fail."""

    def __init__(self, parameters: Mapping[str, Any], key: str, timeout_s: float) -> None:
        self._parameters = parameters
        self._key = key
        self._timeout_s = timeout_s
        self.began = False
        self.state: EffectState = "not_sent"

    async def on(self, connection: Any) -> dict[str, Any]:
        """Run it; what it did is undone unless everything of the answer is kept."""
        meter: Meter = connection.meter
        meter.begin()
        reads = self._parameters.get("mode", "read") == "read"
        transaction = connection.transaction(readonly=reads)
        await transaction.start()
        self.began = True
        try:
            limit = f"SET LOCAL statement_timeout = {round(self._timeout_s * 1000)}"
            await connection.execute(limit)
            made = await self._answer(connection)
        except BaseException as error:
            self.state = "not_sent"
            await _undo(transaction)
            if meter.exceeded and isinstance(error, LOST):
                text = f"one row, or those asked for, have more than {RECEIVED_BYTES_MAX:,} bytes"
                raise _Refused("response_too_large", f"{text}; select less") from None
            raise
        self.state = "not_sent" if reads else "unknown"  # until the commit is answered
        await transaction.commit()
        return made

    async def _answer(self, connection: Any) -> dict[str, Any]:
        statement = await connection.prepare(str(self._parameters.get("query") or ""))
        given: Any = self._parameters.get("values") or []
        if not isinstance(given, list):
            raise _Refused("invalid_parameters", "`values` must give a list")
        values = cast("list[Any]", given)
        if self._parameters.get("idempotency_parameter") is True:
            values = [*values, self._key]
        arguments = _arguments(statement, values)
        if not statement.get_attributes():
            await statement.fetch(*arguments)
            words = str(statement.get_statusmsg() or "").split()
            count = int(words[-1]) if words and words[-1].isdecimal() else 0
            return {"rows": [], "count": count}
        rows = await self._rows(statement, arguments)
        return {"rows": rows, "count": len(rows)}

    async def _rows(self, statement: Any, arguments: Sequence[Any]) -> list[dict[str, Any]]:
        most = int(self._parameters.get("rows_max") or ROWS_MAX)
        rows: list[dict[str, Any]] = []
        size = 0
        cursor = await statement.cursor(*arguments)
        wanted, largest = 1, 1
        while records := await cursor.fetch(wanted):
            for record in records:
                row = {name: plain(value) for name, value in record.items()}
                bytes_of_row = len(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
                size, largest = size + bytes_of_row, max(largest, bytes_of_row)
                if len(rows) >= most:
                    text = f"there are more than {most:,} rows; add LIMIT, or raise `rows_max`"
                    raise _Refused("too_many_items", text)
                if size > BODY_BYTES_MAX:
                    text = f"the rows have more than {BODY_BYTES_MAX:,} bytes; select less"
                    raise _Refused("response_too_large", text)
                rows.append(row)
            wanted = max(1, min(4 * wanted, FETCH_ROWS, (BODY_BYTES_MAX - size) // largest))
        return rows


def _arguments(statement: Any, values: Sequence[Any]) -> list[Any]:
    types = [each.name for each in statement.get_parameters()]
    if len(types) != len(values):
        text = f"the statement has {len(types)} values ($1, …), but {len(values)} are given"
        raise _Refused("invalid_parameters", text)
    made: list[Any] = []
    for at, (value, kind) in enumerate(zip(values, types, strict=True), 1):
        try:
            made.append(bound(value, kind))
        except (ValueError, TypeError, ArithmeticError) as error:
            text = f"${at} is {str(value)[:80]!r}, which is no {kind}: {error}"
            raise _Refused("invalid_parameters", text) from None
    return made


async def _give_back(pool: Any, connection: Any) -> None:
    """Give a connection back; one that does not come to rest is closed.

    A server that waits for data (`COPY … FROM STDIN`) hears no cancellation.
    """
    with suppress(TimeoutError, asyncpg.PostgresError, *LOST):
        await pool.release(connection, timeout=GRACE_S)


async def _undo(transaction: Any) -> None:
    """Roll back; where that cannot be said any more, the server does it by itself."""
    try:
        async with asyncio.timeout(GRACE_S):
            await transaction.rollback()
    except (TimeoutError, asyncpg.PostgresError, *LOST):
        return


def _refused_by_server(
    error: asyncpg.PostgresError, dependency: str, state: EffectState
) -> ErrorFacts:
    sqlstate: str = getattr(error, "sqlstate", None) or ""
    facts = facts_of(
        error,
        "sql_failed",
        f"the database refused the statement: {str(error)[:REFUSAL_LENGTH_MAX]}",
        retryable=sqlstate.startswith(RETRYABLE),
        dependency=dependency,
        effect_state=state if state == "unknown" else "refused",
    )
    return replace(facts, sqlstate=sqlstate or None)
