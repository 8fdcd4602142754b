"""A benchmark's servers are its own, and nothing is left of them."""

import asyncio
import os
from pathlib import Path

import asyncpg
import psutil
import pytest
from perdure_common.embedded import Embedded

from bench import stack


async def settings(url: str, *names: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetchval(f"SHOW {name}") for name in names]
    finally:
        await connection.close()


def test_servers_and_folder_are_gone_afterwards_and_the_environment_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERDURE_DATABASE_URL", "postgresql://elsewhere/nothing")
    monkeypatch.delenv("PERDURE_KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.delenv("PERDURE_HOME", raising=False)
    with stack.postgres() as url:
        home = Path(os.environ["PERDURE_HOME"])
        assert "elsewhere" not in url and home.is_dir()
        state = Embedded(home).status()
        assert state.postgres is not None and state.kafka is None
        processes = [psutil.Process(pid) for pid in (state.postgres.pid, state.keeper_pid)]
        assert asyncio.run(settings(url, "fsync", "synchronous_commit")) == ["on", "on"]
    assert not home.exists()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive
    assert os.environ["PERDURE_DATABASE_URL"] == "postgresql://elsewhere/nothing"
    assert "PERDURE_HOME" not in os.environ and "PERDURE_KAFKA_BOOTSTRAP" not in os.environ
