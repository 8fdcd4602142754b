"""What a runner counts of its calls, and which it does not make while a breaker is open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answering_server import Server, answering_server, as_json
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.breaking import LATE_S, TOPIC_BREAKERS, TOPIC_CALLS
from perdure_common.ids import partition_of
from perdure_common.outbound import AllowList
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.breakers import BreakerState, BreakerTurned, DependencyCalls
from perdure_contracts.engine import ErrorFacts, NodeTask
from perdure_contracts.message import NAMES
from perdure_engine.runner.breakers import Breakers
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.dependencies import KEPT_MAX, PROBE_S, Begun, Called, Dependencies
from perdure_engine.runner.depending import dependency_of
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.perform import perform
from perdure_engine.runner.tools import Tools

START = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "http:127.0.0.1"
TENANT = "t1"
CALLED = Called(TENANT, HOST)
LOST = ErrorFacts(type="read_timeout", message="", dependency=HOST)


class Clock:
    """A clock that can be set back, and the time that passes all the same."""

    def __init__(self) -> None:
        self.now = START
        self.behind_s = 0.0

    def __call__(self) -> datetime:
        return self.now

    def time_s(self) -> float:
        return (self.now - START).total_seconds() + self.behind_s

    def set_back(self, seconds: float) -> None:
        self.now -= timedelta(seconds=seconds)
        self.behind_s += seconds


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
        return await perform(tools, task, "r", TENANT)


def counts(dependencies: Dependencies) -> dict[str, tuple[int, int]]:
    return {each.dependency: (heard.ok, heard.failed) for each, heard in dependencies.take()}


def turned(
    state: BreakerState,
    seconds: float | None = None,
    called: Called = CALLED,
    prober: str = "",
    at: datetime = START,
) -> BreakerTurned:
    until = None if seconds is None else (START + timedelta(seconds=seconds)).isoformat()
    return BreakerTurned(
        breaker_id=called.breaker_id, dependency=called.dependency, state=state,
        reason="5 of 5 calls failed", turned_at=at.isoformat(), until=until,
        credential=called.credential, prober=prober,
    )  # fmt: skip


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
    dependencies = Dependencies("r", clock, clock.time_s)
    dependencies.turn(turned("open", 30))
    error = (await ran(dependencies, f"http://127.0.0.1:{port}/")).error
    assert made.asked == []
    assert (error.type, error.effect_state, error.stage) == ("breaker_open", "not_sent", "breaker")
    assert (error.retry_after_s, error.dependency, error.retryable) == (30.0, HOST, True)
    assert counts(dependencies) == {}, "a call that was not made says nothing of the other side"


async def test_a_breaker_lets_calls_through_when_its_time_is_over_or_it_was_closed(
    server: tuple[Server, int], clock: Clock
) -> None:
    made, port = server
    dependencies = Dependencies("r", clock, clock.time_s)
    dependencies.turn(turned("open", 30))
    clock.now += timedelta(seconds=30)
    held = (await ran(dependencies, f"http://127.0.0.1:{port}/")).error
    assert held is not None, "that one may call is on its way: until then nobody does"
    assert held.retry_after_s == 1.0
    clock.now += timedelta(seconds=LATE_S)
    assert (await ran(dependencies, f"http://127.0.0.1:{port}/")).error is None
    dependencies.turn(turned("open", 90))
    assert isinstance(dependencies.begin(CALLED), Failed)
    dependencies.turn(turned("closed"))
    assert (await ran(dependencies, f"http://127.0.0.1:{port}/")).error is None
    assert len(made.asked) == 2


def held_s(dependencies: Dependencies) -> float | None:
    begun = dependencies.begin(CALLED)
    return begun.error.retry_after_s if isinstance(begun, Failed) else None


def test_a_clock_that_is_set_back_makes_no_breaker_stay_open_for_longer(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    dependencies.turn(turned("open", 30))
    clock.now += timedelta(seconds=10)
    clock.set_back(3_600)
    assert held_s(dependencies) == 20.0
    clock.now += timedelta(seconds=20 + LATE_S)
    assert held_s(dependencies) is None


def test_a_clock_that_is_set_back_makes_no_lost_probe_be_waited_for_longer(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    dependencies.turn(turned("half_open", 300))
    assert isinstance(dependencies.begin(CALLED), Begun)
    clock.set_back(3_600)
    assert held_s(dependencies) is not None
    clock.now += timedelta(seconds=PROBE_S)
    assert isinstance(dependencies.begin(CALLED), Begun)


def test_news_from_a_clock_that_is_ahead_holds_up_for_no_longer_than_it_says(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    hour = timedelta(hours=1)
    dependencies.turn(turned("open", hour.total_seconds() + 30, at=START + hour))
    assert held_s(dependencies) == 30.0


def test_others_are_called_while_one_is_down(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    dependencies.turn(turned("open", 30))
    assert isinstance(dependencies.begin(CALLED), Failed)
    assert isinstance(dependencies.begin(Called(TENANT, "llm:anthropic:two")), Begun)
    assert isinstance(dependencies.begin(Called("another", HOST)), Begun), (
        "breakers are a tenant's own"
    )


def test_half_open_one_call_goes_out_and_its_answer_is_told_at_once(clock: Clock) -> None:
    hurried: list[bool] = []
    dependencies = Dependencies("r", clock, clock.time_s, hurry=lambda: hurried.append(True))
    dependencies.turn(turned("half_open", 60, prober="r"))
    probe = dependencies.begin(CALLED)
    assert isinstance(probe, Begun)
    assert isinstance(dependencies.begin(CALLED), Failed), "one probe is under way"
    dependencies.heard(probe)
    assert hurried == [True]
    assert isinstance(dependencies.begin(CALLED), Failed), "until recovery has heard of it"
    dependencies.turn(turned("closed"))
    assert isinstance(dependencies.begin(CALLED), Begun)


def test_half_open_a_call_that_came_to_nothing_lets_another_one_go(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    dependencies.turn(turned("half_open", 60))
    late, probe = Begun(CALLED), dependencies.begin(CALLED)
    assert isinstance(probe, Begun)
    unmade = ErrorFacts(type="name_not_found", message="", dependency=HOST)
    dependencies.heard(late, unmade)
    assert isinstance(dependencies.begin(CALLED), Failed), "it was another one that was to see"
    dependencies.heard(probe, unmade)
    assert counts(dependencies) == {}
    assert isinstance(dependencies.begin(CALLED), Begun)


def test_half_open_only_the_named_runner_may_call_and_a_lost_probe_is_made_again(
    clock: Clock,
) -> None:
    other = Dependencies("other", clock, clock.time_s)
    prober = Dependencies("r", clock, clock.time_s)
    for each in (other, prober):
        each.turn(turned("half_open", 300, prober="r"))
    assert isinstance(other.begin(CALLED), Failed)
    assert isinstance(prober.begin(CALLED), Begun)
    clock.now += timedelta(seconds=61)
    assert isinstance(prober.begin(CALLED), Begun)
    assert isinstance(other.begin(CALLED), Failed)


def test_a_call_that_began_before_the_breaker_was_half_open_is_told_as_no_probe(
    clock: Clock,
) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    before = dependencies.begin(CALLED)
    assert isinstance(before, Begun)
    news = turned("half_open", 60)
    dependencies.turn(news)
    dependencies.heard(before)
    dependencies.heard(before, LOST)
    [(_, heard)] = dependencies.take()
    assert (heard.ok, heard.failed) == (1, 1)
    assert (heard.probe_at, heard.probe_ok, heard.probe_failed) == ("", 0, 0)
    probe = dependencies.begin(CALLED)
    assert isinstance(probe, Begun)
    dependencies.heard(before, LOST)
    dependencies.heard(probe)
    [(_, heard)] = dependencies.take()
    assert (heard.ok, heard.failed) == (1, 1)
    assert (heard.probe_at, heard.probe_ok, heard.probe_failed) == (news.turned_at, 1, 0)


def opened_and_closed(dependencies: Dependencies, clock: Clock, called: Called = CALLED) -> None:
    news: tuple[tuple[BreakerState, float | None], ...] = (
        *(("open", 30.0), ("half_open", 60.0)),
        ("closed", None),
    )
    for state, until_s in news:
        dependencies.turn(turned(state, until_s, called, at=clock.now))
        clock.now += timedelta(seconds=30)


def test_a_call_that_began_before_the_breaker_opened_counts_nowhere_however_it_ends(
    clock: Clock,
) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    before = dependencies.begin(CALLED)
    assert isinstance(before, Begun)
    dependencies.turn(turned("open", 30))
    dependencies.heard(before, LOST)
    assert counts(dependencies) == {}
    dependencies.turn(turned("closed"))
    dependencies.heard(before, LOST)
    dependencies.heard(before)
    assert counts(dependencies) == {}
    after = dependencies.begin(CALLED)
    assert isinstance(after, Begun)
    dependencies.heard(after, LOST)
    assert counts(dependencies) == {CALLED.dependency: (0, 1)}


def test_each_opening_is_one_of_its_own_for_the_calls_before_it(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    opened_and_closed(dependencies, clock)
    between = dependencies.begin(CALLED)
    assert isinstance(between, Begun)
    opened_and_closed(dependencies, clock)
    dependencies.heard(between, LOST)
    assert counts(dependencies) == {}


def test_a_breaker_of_a_credential_that_opened_forgets_no_call_for_the_dependency(
    clock: Clock,
) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    mine = Called(TENANT, HOST, "mine")
    before = dependencies.begin(mine)
    assert isinstance(before, Begun)
    opened_and_closed(dependencies, clock, mine)
    throttled = ErrorFacts(type="rate_limit", message="", dependency=HOST)
    dependencies.heard(before, throttled)
    dependencies.heard(before, LOST)
    found = {each.credential: (heard.ok, heard.failed) for each, heard in dependencies.take()}
    assert found == {"": (1, 1)}


def test_what_opened_is_remembered_for_so_many_breakers_only(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    hosts = [Called(TENANT, f"http:h{n}.example.com") for n in range(KEPT_MAX + 1)]
    for called in hosts:
        dependencies.turn(turned("open", 30, called))
        dependencies.turn(turned("closed", None, called))
    begun = [dependencies.begin(called) for called in (hosts[0], hosts[1])]
    assert [each.opened for each in begun if isinstance(each, Begun)] == [
        (),
        ((hosts[1].breaker_id, START.isoformat()),),
    ]


def test_a_call_says_of_each_breaker_by_itself_whether_it_went_to_see(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    mine = Called(TENANT, HOST, "mine")
    news = turned("half_open", 60, mine)
    dependencies.turn(news)
    probe = dependencies.begin(mine)
    assert isinstance(probe, Begun)
    dependencies.heard(probe, ErrorFacts(type="rate_limit", message="", dependency=HOST))
    found = {each.credential: heard for each, heard in dependencies.take()}
    assert found[""].probe_at == ""
    assert (found["mine"].probe_at, found["mine"].probe_failed) == (news.turned_at, 1)


def test_a_throttled_credential_holds_up_only_its_own_calls(clock: Clock) -> None:
    dependencies = Dependencies("r", clock, clock.time_s)
    mine = Called(TENANT, "llm:openai:one", "mine")
    dependencies.turn(turned("open", 30, mine))
    assert isinstance(dependencies.begin(mine), Failed)
    assert isinstance(dependencies.begin(Called(TENANT, "llm:openai:one", "yours")), Begun)


def test_what_concerns_a_credential_is_counted_for_it_and_not_against_the_dependency() -> None:
    dependencies = Dependencies()
    mine = Called(TENANT, "llm:openai:one", "mine")
    throttled = ErrorFacts(type="rate_limit", message="", dependency=mine.dependency)
    down = ErrorFacts(type="connect_failed", message="", dependency=mine.dependency)
    for error in (None, throttled, throttled, down):
        dependencies.heard(Begun(mine), error)
    found = {each.credential: heard for each, heard in dependencies.take()}
    assert (found[""].ok, found[""].failed, found[""].in_a_row) == (3, 1, 1)
    assert (found["mine"].ok, found["mine"].failed, found["mine"].in_a_row) == (1, 2, 2)


async def test_what_was_heard_is_told_and_what_recovery_says_is_obeyed(clock: Clock) -> None:
    broker = MemoryBroker(now_ms=lambda: int(clock.now.timestamp() * 1_000))
    for topic in (TOPIC_CALLS, TOPIC_BREAKERS):
        broker.create(topic, 2)
    dependencies = Dependencies("r", clock, clock.time_s)
    breakers = Breakers(broker.client("r"), dependencies, 2)
    working = asyncio.create_task(breakers.run())
    dependencies.heard(Begun(CALLED), ErrorFacts(type="read_timeout", message="", dependency=HOST))
    await breakers.tell()
    [record] = broker.records(TOPIC_CALLS)
    told = codec.decode_body(NAMES[DependencyCalls], record.value)
    assert (told.breaker_id, told.failed, told.in_a_row, told.n) == (CALLED.breaker_id, 1, 1, 1)
    event = turned("open", 30)
    place = partition_of(event.breaker_id, 2)
    headers = (("ce_type", NAMES[BreakerTurned].encode()),)
    body = codec.encode_body(event)
    await broker.client("recovery").send([Outbound(TOPIC_BREAKERS, place, body, None, headers)])
    async with asyncio.timeout(10):
        while isinstance(dependencies.begin(CALLED), Begun):
            await asyncio.sleep(0.01)
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


def test_made_up_hosts_do_not_fill_the_memory() -> None:
    dependencies = Dependencies()
    for n in range(KEPT_MAX + 5):
        dependencies.heard(Begun(Called(TENANT, f"http:h{n}.example.com")))
    assert dependencies.dropped == 5
    assert len(dependencies.take()) == KEPT_MAX


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
