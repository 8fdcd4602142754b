"""What tests of requests share: a server that answers as it is told, and a client."""

from collections.abc import AsyncIterator

import httpx
import pytest
from answering_server import Server, answering_server
from perdure_engine.runner.clients import make_client


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    async with answering_server() as made:
        yield made


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as made:
        yield made
