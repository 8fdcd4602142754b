"""What the scheduler's API says when the engine does not give a version out."""

import socket
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest
from perdure_common.api.problem import Problem
from perdure_scheduler.steering.versions import Versions

WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"


@pytest.fixture
def nobody() -> Generator[str]:
    """The address of a port that is taken, and at which nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


async def test_an_engine_that_does_not_answer_is_a_problem_that_may_pass(nobody: str) -> None:
    versions = Versions(nobody, "t", "")
    for asked in (versions.of(WORKFLOW, 1), versions.that_served(WORKFLOW, None)):
        with pytest.raises(Problem) as told:
            await asked
        assert (told.value.status, told.value.code) == (503, "engine_unreachable")
        assert "PERDURE_ENGINE_URL" in told.value.detail


async def test_the_engine_is_not_asked_for_what_is_no_workflow(nobody: str) -> None:
    for name in ("triage", "../v1/secrets", WORKFLOW.upper(), ""):
        with pytest.raises(Problem) as told:
            await Versions(nobody, "t", "").of(name, 1)
        assert (told.value.status, told.value.code) == (404, "workflow_not_found")


async def test_definitions_that_name_no_credential_need_no_database() -> None:
    definition: dict[str, Any] = {"nodes": [{"node_type": "TRIGGER", "parameters": {}}]}
    assert await Versions("", "t", "postgresql://nobody").fields_there(definition) == {}
