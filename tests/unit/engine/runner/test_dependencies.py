"""What a runner counts of its calls, and which it does not make while a breaker is open."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answering_server import Server, answering_server, as_json
from perdure_common.outbound import AllowList
from perdure_contracts.engine import ErrorFacts, NodeTask
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.dependencies import DEPENDENCIES_MAX, Dependencies, is_down
from perdure_engine.runner.depending import dependency_of
from perdure_engine.runner.perform import perform
from perdure_engine.runner.tools import Tools

START = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "http:127.0.0.1"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, int]]:
    async with answering_server() as made:
        yield made


async def ran(dependencies: Dependencies, *urls: str) -> Any:
    task = NodeTask(
        token="t", execution_id="e", workflow_id="w", node_id="n",
        node_type="EXTERNAL_ACTION", node_subtype="HTTP_REQUEST",
        parameters=[{"url": url, "timeout_s": 2} for url in urls], items=[{}] * len(urls),
        effect="pure", length="short", deadline="2099-01-01T00:00:00+00:00", idempotency_key="k",
    )  # fmt: skip
    async with Clients(1) as http:
        tools = Tools(
            http=http, allowed=AllowList.parse(["127.0.0.0/8"]), dependencies=dependencies
        )
        return await perform(tools, task, "r")


def counts(dependencies: Dependencies) -> dict[str, tuple[int, int]]:
    return {name: (each.ok, each.failed) for name, each in dependencies.take().items()}


async def test_calls_are_counted_by_how_the_other_side_took_them(
    server: tuple[Server, int],
) -> None:
    made, port = server
    answers = ["200 OK", "404 Not Found", "429 Too Many", "503 Gone", "500 Oops"]
    made.answer = lambda asked: as_json({}, answers[int(asked.split(b"?n=")[1][:1])])
    dependencies = Dependencies()
    await ran(dependencies, *(f"http://127.0.0.1:{port}/?n={n}" for n in range(5)))
    assert counts(dependencies) == {HOST: (3, 2)}, "who refuses is there"
    assert counts(dependencies) == {}, "each report begins anew"


async def test_what_never_came_to_a_call_is_not_counted() -> None:
    dependencies = Dependencies()
    await ran(dependencies, "http://10.0.0.1/refused", "nonsense", "http://127.0.0.1:1/")
    assert counts(dependencies) == {HOST: (0, 1)}


async def test_an_open_breaker_keeps_a_call_from_being_made(
    server: tuple[Server, int], clock: Clock
) -> None:
    made, port = server
    dependencies = Dependencies(clock)
    dependencies.opened(HOST, START + timedelta(seconds=30))
    result = await ran(dependencies, f"http://127.0.0.1:{port}/")
    error = result.error
    assert made.asked == []
    assert (error.type, error.effect_state, error.stage) == ("breaker_open", "not_sent", "breaker")
    assert (error.retry_after_s, error.dependency, error.retryable) == (30.0, HOST, True)
    assert counts(dependencies) == {}, "a call that was not made says nothing of the other side"


async def test_a_breaker_lets_calls_through_when_its_time_is_over_or_it_was_closed(
    server: tuple[Server, int], clock: Clock
) -> None:
    made, port = server
    dependencies = Dependencies(clock)
    dependencies.opened(HOST, START + timedelta(seconds=30))
    clock.now += timedelta(seconds=30)
    assert (await ran(dependencies, f"http://127.0.0.1:{port}/")).error is None
    dependencies.opened(HOST, clock.now + timedelta(seconds=60))
    dependencies.closed(HOST)
    assert (await ran(dependencies, f"http://127.0.0.1:{port}/")).error is None
    assert len(made.asked) == 2


def test_other_dependencies_are_called_while_one_is_down(clock: Clock) -> None:
    dependencies = Dependencies(clock)
    dependencies.opened("llm:openai:one", START + timedelta(seconds=30))
    assert dependencies.refusal("llm:openai:one") is not None
    assert dependencies.refusal("llm:anthropic:two") is None


@pytest.mark.parametrize(
    ("error", "down"),
    [
        (ErrorFacts(type="connect_failed", message=""), True),
        (ErrorFacts(type="pool_timeout", message=""), False),
        (ErrorFacts(type="rate_limit", message="", status_code=429), False),
        (ErrorFacts(type="dependency_down", message="", status_code=529), True),
        (ErrorFacts(type="http_status", message="", status_code=501), False),
        (ErrorFacts(type="sql_failed", message="", sqlstate="40P01"), False),
        (ErrorFacts(type="sql_failed", message="", sqlstate="57P03"), True),
        (ErrorFacts(type="sql_failed", message="", sqlstate="57014"), False),
        (ErrorFacts(type="output_invalid", message=""), False),
        (ErrorFacts(type="tls_failed", message=""), False),
    ],
)
def test_only_a_failure_of_being_there_counts_against_a_dependency(
    error: ErrorFacts, down: bool
) -> None:
    assert is_down(error) is down


def test_made_up_hosts_do_not_fill_the_memory() -> None:
    dependencies = Dependencies()
    for n in range(DEPENDENCIES_MAX + 5):
        dependencies.heard(f"http:h{n}.example.com")
    assert dependencies.dropped == 5
    assert len(dependencies.take()) == DEPENDENCIES_MAX


@pytest.mark.parametrize(
    ("subtype", "parameters", "dependency"),
    [
        ("HTTP_REQUEST", {"url": "https://API.Example.com:8443/x"}, "http:api.example.com"),
        ("HTTP_REQUEST", {"url": "nonsense"}, ""),
        ("SLACK", {}, "http:slack.com"),
        ("GITHUB", {}, "http:api.github.com"),
        ("SQL", {"credential": "db", "url": "postgresql://u:p@db.test/x"}, "sql:db.test"),
        ("SQL", {"database": "unknown"}, ""),
        ("SEND_EMAIL", {"credential": "m", "url": "smtps://mail.test"}, "smtp:mail.test"),
        ("CODE", {}, ""),
    ],
)
async def test_a_call_is_known_by_its_dependency_before_it_is_made(
    subtype: str, parameters: dict[str, Any], dependency: str
) -> None:
    async with Clients(1) as http:
        tools = Tools(http=http, allowed=AllowList.parse([]))
        assert dependency_of(tools, subtype, parameters) == dependency
