"""Every scenario of the failure laboratory, on one platform, all at the same time."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from laboratory import measures
from laboratory.canary import CANARIES, places_with
from laboratory.catalogue import KILLED, SCENARIOS
from laboratory.running import Laboratory, Seen, laboratory_stage
from laboratory.storm import Storm
from perdure_common.embedded import Addresses
from platform_stage import Stage
from promises import what_verify_finds

STORM = 100
"""Executions that fail at once; `make bench NAME=recovery` lets 1,000 of them."""

PROBES = 4
"""Attempts that may go to see, one after another, until the dependency is back."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Ran:
    """The platform on which everything was run, and what became of it."""

    stage: Stage
    seen: dict[str, Seen]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(servers: Addresses) -> AsyncGenerator[Ran]:
    async with laboratory_stage(servers) as stage:
        found = await Laboratory(stage).run(SCENARIOS, KILLED)
        yield Ran(stage, {each.scenario.name: each for each in found})


@pytest.mark.parametrize("name", [each.name for each in (*KILLED, *SCENARIOS)])
async def test_what_must_become_of_it_does(ran: Ran, name: str) -> None:
    assert ran.seen[name].problems == [], "\n".join(ran.seen[name].problems)


async def test_a_storm_is_one_incident_and_blows_over(ran: Ran) -> None:
    storm = await Storm(ran.stage, STORM).run()
    assert storm.recovered == STORM, storm.told()
    assert storm.incidents == 1, "many failures are one incident"
    assert storm.calls_after <= STORM + 2, "nobody is called twice once the server is back"
    tried = storm.again_while_down - storm.again_before
    assert tried <= PROBES, f"one is tried to see, the others wait; {tried} did not"
    assert storm.again_while_down <= STORM // 2, "most are held back by the incident"
    assert 1 <= storm.probes <= PROBES, storm.told()


async def test_what_can_be_mended_is_mended_and_little_is_tried_in_vain(ran: Ran) -> None:
    found = measures.measured(list(ran.seen.values()))
    told = "\n".join(measures.lines(found))
    assert found.success.value > 0.9, told
    assert found.false_positives.value < 0.05, told
    assert measures.quantile(found.mttr_s, 0.9) < 300, told


async def test_every_explanation_says_everything_and_nothing_of_its_own(ran: Ran) -> None:
    found = measures.measured(list(ran.seen.values()))
    lacking = {
        name: [(hole, one[hole]) for hole in measures.holes(one)]
        for name, each in ran.seen.items()
        for one in each.explanations
        if measures.holes(one)
    }
    assert lacking == {}
    assert found.faithfulness and sum(found.faithfulness) / len(found.faithfulness) > 0.95


async def test_every_promise_holds_on_what_it_left_behind(ran: Ran) -> None:
    assert await what_verify_finds(ran.stage) == []


async def test_no_secret_of_a_failure_is_anywhere(ran: Ran) -> None:
    asked = [canary for canary in CANARIES if await places_with(ran.stage, canary.word)]
    assert len(asked) == len(CANARIES), "each was said to the platform in words that may be kept"
    assert [await places_with(ran.stage, canary.secret) for canary in CANARIES] == [
        [] for _ in CANARIES
    ]
