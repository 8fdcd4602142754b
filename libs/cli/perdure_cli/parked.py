"""I10 for parked streams: each waits for a person, so a dead letter must wait for that person.

The stream is parked in one service and the letter is kept by another. What is on its way between
them is waited for.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.verify import Findings
from perdure_common.verify.postgres import connected

SQL = queries(Path(__file__).with_name("verify.sql"))

LETTER_S = 10.0
"""How long a letter, or the word that lets a stream go, may be on its way."""

LOOK_S = 0.5

ADVICE = "let it go with `perdure dead-letters unpark {}`: if it stops again, a dead letter waits"


async def forgotten(url: str, services: Iterable[str], letter_s: float = LETTER_S) -> Findings:
    """Note parked streams of `services` for which no dead letter waits, still after `letter_s`.

    Raises:
        asyncpg.PostgresError, OSError: The server does not answer.
    """
    found = Findings()
    names = sorted(services)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + letter_s
    while True:
        missing: dict[str, list[str]] = {}
        async with connected(url) as connection:
            for name in names:
                await connection.execute(f"SET search_path TO {quoted(name)}")
                rows = await connection.fetch(SQL["streams_forgotten"], name)
                found.checked[f"parked streams of {name}"] = await connection.fetchval(
                    SQL["streams_parked"]
                )
                if rows:
                    missing[name] = [row["stream"] for row in rows]
        if not missing or loop.time() >= until_s:
            break
        await asyncio.sleep(LOOK_S)
    for name, streams in missing.items():
        for stream in streams:
            text = "it is parked, and no dead letter waits that would let it go"
            found.add("I10", f"{name} stream {stream}", text, ADVICE.format(f"{name} {stream}"))
    return found
