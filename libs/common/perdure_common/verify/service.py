"""Checks all promises of one service, on whatever its archive and the topics are kept in."""

from collections.abc import Callable
from datetime import UTC, datetime

from perdure_common.service import Service
from perdure_common.shell.ports import Bus
from perdure_common.verify import journal
from perdure_common.verify.archive import Archive, Topics
from perdure_common.verify.consumed import consumed
from perdure_common.verify.finding import Findings
from perdure_common.verify.published import published


async def verified(
    service: Service,
    archive: Archive,
    bus: Bus,
    *,
    tenant_id: str,
    partitions: int,
    complete: bool = True,
    now: datetime | None = None,
    grace_s: float = journal.GRACE_S,
    said: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Check I1, I2 (what began ends), I4 to I8, I10, I13 and I14, as far as one service goes.

    The service may work meanwhile: the marks are read first, so that whatever they say must
    be in the topics and journals that are read after them. `complete` as in `published`, `now`
    (None: the clock says) and `grace_s` as in `streams`; `said` hears what is being looked at.

    Raises:
        Unreachable: The store or the bus does not answer.
    """
    found, topics = Findings(), Topics(bus)
    said(f"the streams of {service.name} (I1, I2, I4, I6, I8, I13, I14)")
    began = now or datetime.now(UTC)
    found.extend(await journal.streams(service, archive, began, grace_s))
    said(f"the shards of {service.name} (I4, I7)")
    marks = await archive.marks()
    shards, unused = await journal.shards(service, archive, marks)
    found.extend(shards)
    said(f"the messages of {service.name} (I5)")
    found.extend(
        await published(
            service, archive, topics, marks, partitions, complete=complete, unused=unused
        )
    )
    said(f"what {service.name} has read (I10)")
    found.extend(
        await consumed(service, archive, topics, marks, tenant_id=tenant_id, partitions=partitions)
    )
    return found
