"""What it looks like to asyncpg when PostgreSQL cannot be worked with, whoever asks."""

import asyncpg

from perdure_common.settings import DATABASE_WAIT_S

WAIT_S = DATABASE_WAIT_S
"""How long a statement may take until its connection counts as lost, unless a setting says else.

A server that went without a word, or a firewall that forgot a connection, says nothing ever.
"""

CONNECT_S = 10.0
"""How long it may take until there is a connection."""

UPKEEP_S = 300.0
"""The same for statements that go through whole tables, beside everything else."""

LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
)
"""The server is gone, going, full, or not there yet."""

FAILED = (*LOST, asyncpg.PostgresError)
"""All that a statement may fail with, for those who go on and ask again later."""
