"""The trace of a trigger event (W3C) is on all that the platform tells of what it led to."""

import pytest
from definitions_for_tests import chain, node, request
from outside_world import World
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.ids import partition_of
from perdure_common.shell.ports import Outbound, Record
from perdure_contracts.cloudevents import encode
from perdure_contracts.publish import TRIGGERS, make_event
from perdure_contracts.topology import TRIGGER_PARTITIONS
from platform_stage import MANUAL, SOURCE, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = {
    "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
}
TOLD = ("perdure.engine.events.v1", "perdure.engine.starts.v1", "perdure.engine.tasks.v1")


async def records(stage: Stage, topics: tuple[str, ...]) -> list[Record]:
    """Return all records of topics."""
    bus = KafkaBus(stage.ground.kafka_bootstrap, "reader", stage.ground.prefix)
    try:
        places = [(topic, n) for topic in topics for n in range(await bus.partitions(topic))]
        bounds = await bus.bounds(places)
        bus.read({place: begin for place, (begin, _) in bounds.items()})
        wanted, found = sum(end - begin for begin, end in bounds.values()), list[Record]()
        while len(found) < wanted:
            found.extend(await bus.fetch(1_000, 5.0))
        return found
    finally:
        await bus.close()


async def test_both_headers_of_a_trigger_are_on_all_records_of_its_execution(
    stage: Stage, world: World
) -> None:
    dispatched = {**node("step", "FLOW.NOOP"), "run_in": "runner"}
    flaky = request("ask", world.url("/flaky/1"), json={})
    await stage.deploy(chain("traced", dispatched, node("wait", "FLOW.WAIT", seconds=3), flaky))
    headers, value = encode(make_event(MANUAL, "traced", {}, id="traced", source=SOURCE))
    at = partition_of("traced", TRIGGER_PARTITIONS)
    await stage.put([Outbound(TRIGGERS, at, value, b"traced", (*headers, *TRACE.items()))])
    other = await stage.trigger("traced", {})

    async def waits() -> bool:
        rows = await stage.rows(
            "select 1 from engine.journal where type = 'engine.node-completed.v1' "
            "and data::json->>'node_id' = 'step'"
        )
        return len(rows) == 2

    await stage.until(waits, "two executions that wait")
    await stage.kill("engine")
    stage.begin("engine")
    traced, untraced = await stage.ended("traced"), await stage.ended(other)
    assert (traced["status"], untraced["status"]) == ("SUCCESS", "SUCCESS")
    told = await records(stage, TOLD)
    mine = [r for r in told if _subject(r) == traced["execution_id"]]
    types = {dict(record.headers)["ce_type"].decode() for record in mine}
    assert {"engine.execution-started.v1", "engine.execution-completed.v1"} <= types
    assert {"perdure.engine.events.v1", "perdure.engine.starts.v1"} <= {r.topic for r in mine}
    for record in mine:
        headers = dict(record.headers)
        assert {name: headers.get(name) for name in TRACE} == TRACE, headers
    others = [dict(r.headers) for r in told if _subject(r) == untraced["execution_id"]]
    assert others and all(not TRACE.keys() & each.keys() for each in others)


def _subject(record: Record) -> str:
    return dict(record.headers).get("ce_subject", b"").decode()
