"""Tables of recovery as a version before had them, for what migrations make of their rows."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate

BEFORE = "recovery/0015_held_attempts"
"""The last version that forgot neither what waited in vain nor what is settled."""


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Any]:
    """A connection to the tables of `BEFORE`, in recovery's schema."""
    await migrate.up(database, "recovery")
    await migrate.down(database, "recovery", BEFORE)
    made: Any = await asyncpg.connect(database)
    await made.execute("SET search_path = recovery")
    yield made
    await made.close()
