"""What a restore from a backup means for the runners: claims that the backup does not have.

An attempt that must not run twice is claimed before it runs. Was it claimed after the backup, the
tables know nothing of it, and it would run again when its task is sent again. But the topic still
has the task: each one there counts as claimed, by a runner that is gone.
"""

import msgspec
from perdure_common.service import Restored
from perdure_common.shell import codec
from perdure_common.shell.ports import Record
from perdure_contracts.engine import NodeTask
from perdure_contracts.message import NAMES

from perdure_engine.runner.claims import Owner, PostgresClaims
from perdure_engine.runner.work import TASKS

TASK = NAMES[NodeTask]
RECORDS_MAX = 1_000


async def claims_again(restored: Restored) -> str:
    """Claim every attempt in the topic that must not run twice; return a sentence on it.

    Raises:
        Unreachable: A server does not answer.
    """
    claims = PostgresClaims(restored.url)
    known = read = 0
    try:
        places = [(TASKS, n) for n in range(restored.partitions)]
        bounds = await restored.bus.bounds(places)
        left = {place: bounds[place] for place in places if bounds[place][0] < bounds[place][1]}
        restored.bus.read({place: begin for place, (begin, _) in left.items()})
        while left:
            records = await restored.bus.fetch(RECORDS_MAX, 5.0)
            tasks: dict[str, Owner] = {}
            for record in records:
                place = (record.topic, record.partition)
                if place in left and record.offset + 1 >= left[place][1]:
                    del left[place]
                tasks.update(_claimed(record))
            read += len(records)
            if tasks:
                known += await claims.restored(tasks)
        restored.bus.read({})
    finally:
        await claims.close()
    return (
        f"{read:,} tasks are in the topic; {known:,} of them must not run twice and may have run "
        "after the backup: if they are sent again, they are reported as lost instead of run"
    )


def _claimed(record: Record) -> dict[str, Owner]:
    """Return whose attempt a record is, if it is one that runners claim."""
    if codec.header(record.headers, "ce_type") != TASK.encode():
        return {}
    try:
        task: NodeTask = codec.decode_body(TASK, record.value)
    except (msgspec.DecodeError, RecursionError):
        return {}  # the runner makes a dead letter of it
    if task.length == "short" and task.effect in ("pure", "keyed"):
        return {}
    tenant = (codec.header(record.headers, "ce_tenantid") or b"").decode()
    return {task.token: Owner(tenant, task.execution_id)}
