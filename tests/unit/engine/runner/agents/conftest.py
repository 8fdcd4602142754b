"""A stage for agents, for each test its own."""

from collections.abc import AsyncGenerator

import pytest
from agent_stage import LOCAL, TENANT, Stage, Watching
from answering_server import answering_server
from model_server import (
    model_server,
)
from perdure_common.credentials import MemoryCredentials
from perdure_engine.runner.agents.connections import Connections
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.substeps import MemorySubsteps
from perdure_engine.runner.tools import Tools


@pytest.fixture
async def stage() -> AsyncGenerator[Stage]:
    substeps, watching, connections = MemorySubsteps(), Watching(), Connections(LOCAL)
    credentials = MemoryCredentials(
        {
            (TENANT, "llm"): {"api_key": "sk-very-secret-1"},
            (TENANT, "shop"): {"token": "tok-very-secret-2"},
        }
    )
    async with model_server() as models, answering_server() as (server, port), Clients(1) as http:
        tools = Tools(
            http,
            LOCAL,
            credentials=credentials,
            substeps=substeps,
            progress=watching,
            models=connections,
        )
        yield Stage(models, server, port, tools, substeps, watching)
        await connections.close()
