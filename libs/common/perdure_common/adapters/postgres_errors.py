"""What it looks like to asyncpg when PostgreSQL cannot be worked with, whoever asks."""

import asyncpg

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
