"""Judges what a stage has done by what perdure promises; used after the load has ended.

By everything that `perdure verify` checks on live data, and by what only a test can know: each
effect on the world outside was done once (I1), and each acknowledged trigger event has come to
an end (I2).
"""

from collections.abc import Sequence

from outside_world import World
from perdure_cli import promises as verifying
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_engine.app import service as engine
from perdure_recovery.app import service as recovery
from perdure_scheduler.app import service as scheduler
from platform_stage import ENDED, PARTITIONS, Stage

SERVICES: tuple[Service, ...] = (engine, scheduler, recovery)

# A run of a node ends once, and each of its attempts begins once (I1).
ENDS = """
select stream, data::json->>'node_id' as node, data::json->>'scope' as scope,
       data::json->>'run' as run, count(*) as n
  from engine.journal
 where type in ('engine.node-completed.v1', 'engine.node-errored.v1', 'engine.node-skipped.v1')
 group by 1, 2, 3, 4 having count(*) > 1
"""
ATTEMPTS = """
select stream, data::json->>'token' as token, count(*) as n
  from engine.journal where type = 'engine.node-scheduled.v1'
 group by 1, 2 having count(*) > 1
"""
# The rows say what the journal says: one for each run that ended, and each region passed over.
ROWS = """
select j.stream, j.ended, r.n
  from (select stream, count(*) as ended from engine.journal
         where type in ('engine.node-completed.v1', 'engine.node-errored.v1',
                        'engine.node-skipped.v1', 'engine.node-canceled.v1')
            or (type = 'engine.region-exited.v1' and data::json->>'skipped' = 'true')
         group by stream) j
  left join (select execution_id, count(*) as n from engine.node_executions
              group by execution_id) r on r.execution_id = j.stream
 where r.n is distinct from j.ended
"""
OPEN = "select execution_id, status from engine.workflow_executions where status <> all ($1)"
LOST = """
select d.id, started.id as execution_id
  from scheduler.trigger_deliveries d, jsonb_array_elements_text(d.executions) as started (id)
  left join engine.workflow_executions x on x.execution_id = started.id
 where x.execution_id is null
"""
UNSENT = "select id from {}.shard where published_seq < next_seq - 1"


async def until_settled(stage: Stage) -> None:
    """Wait until everything that was committed is published."""
    for service in SERVICES:

        async def settled(name: str = service.name) -> bool:
            return not await stage.rows(UNSENT.format(name))

        await stage.until(settled, f"{service.name} to publish everything")


async def broken_promises(stage: Stage, accepted: Sequence[str], world: World) -> list[str]:
    """Return every promise that does not hold; `accepted` are acknowledged trigger events."""
    found = await what_verify_finds(stage)
    found += await _steps(stage)
    found += await _effects(stage, world)
    found += await _triggers(stage, accepted)
    return found


async def what_verify_finds(stage: Stage) -> list[str]:
    """Return what `perdure verify` finds on the live data."""
    await until_settled(stage)
    ground, found = stage.ground, list[str]()
    settings = Settings(
        database_url=ground.database_url,
        kafka_bootstrap=ground.kafka_bootstrap,
        topic_prefix=ground.prefix,
        partitions=PARTITIONS,
    )
    verified = await verifying.verified(settings)
    found += [str(each) for each in verified.violations]
    if not await stage.rows("select 1 from engine.journal limit 1"):
        found.append("the engine has no journal to judge")
    return found


async def _steps(stage: Stage) -> list[str]:
    found = [f"I1 ended more than once: {dict(row)}" for row in await stage.rows(ENDS)]
    found += [f"I1 began more than once: {dict(row)}" for row in await stage.rows(ATTEMPTS)]
    found += [f"I1 rows are not the journal's: {dict(row)}" for row in await stage.rows(ROWS)]
    return found


async def _effects(stage: Stage, world: World) -> list[str]:
    """Check that each request that is recorded as done was done outside, under one key."""
    rows = await stage.rows(
        """
        select s.stream, s.data::json->>'idempotency_key' as key
          from engine.journal s join engine.journal c
            on c.stream = s.stream and c.type = 'engine.node-completed.v1'
           and c.data::json->>'node_id' = s.data::json->>'node_id'
         where s.type = 'engine.node-scheduled.v1' and s.data::json->>'idempotency_key' <> ''
           and s.data::json->>'attempt' = '1' and s.data::json->>'effect' = 'keyed'
           and s.data::json->>'node_subtype' = 'HTTP_REQUEST'
        """
    )
    done = world.done()
    found = [
        f"I1 recorded as done but never done: {row['stream']}"
        for row in rows
        if not done[f"{row['key']}-0"]
    ]
    known = {f"{row['key']}-0" for row in rows}
    ended = await stage.rows(
        """
        select s.data::json->>'idempotency_key' as key from engine.journal s
         where s.type = 'engine.node-scheduled.v1'
        """
    )
    known |= {f"{row['key']}-0" for row in ended}
    found += [f"I1 done for nobody: key {key}" for key in done if key not in known]
    return found


async def _triggers(stage: Stage, accepted: Sequence[str]) -> list[str]:
    delivered = await stage.rows("select id, executions from scheduler.trigger_deliveries")
    known = {row["id"] for row in delivered}
    found = [f"I2 accepted and forgotten: event {each}" for each in accepted if each not in known]
    found += [f"I2 started and lost: {dict(row)}" for row in await stage.rows(LOST)]
    found += [f"I2 has no end: {dict(row)}" for row in await stage.rows(OPEN, list(ENDED))]
    return found
