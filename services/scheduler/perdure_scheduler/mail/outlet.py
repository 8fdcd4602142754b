"""From a mail to events: attachments are kept first, then an event for each recipient is sent.

An event says who listens to its address, and in which version: those start, whatever is deployed
before the event is applied (docs/adr/0065-what-was-taken-starts.md).
"""

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import structlog
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import Json

from perdure_scheduler.hear import TRIGGERS
from perdure_scheduler.hook_event import nodes_text, versions_text
from perdure_scheduler.match import keys_of, nearest

from .loops import refusal
from .parsing import Attachment, Mail
from .shown import attachments_of, data_of, reference

TYPE = "perdure.trigger.email"
RECIPIENTS_MAX = 100
TAKERS_MAX = 100
"""How many an event may name; a header has no room for thousands beside a large mail."""

log = structlog.get_logger(__name__)

Takers: TypeAlias = Mapping[tuple[str, str], int]
"""The (workflow, node)s that listen to an address, each with the version that does."""

Delivered = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Outlet:
    """Where mails go. `pool` is the scheduler's database."""

    bus: Bus
    pool: Any
    tenant_id: str

    async def deliver(
        self,
        mail: Mail,
        source: str,
        recipients: Sequence[str],
        arrived: datetime,
        envelope_from: str | None = None,
    ) -> str | None:
        """Let a mail be a trigger event for each recipient; return why it is none, if so.

        When this returns, the events are safely on the topic.

        Raises:
            Unreachable: Kafka or the database does not take it now; nothing is lost, because
                whoever has the mail delivers it again.
        """
        why = refusal(mail, envelope_from)
        if why is not None:
            log.info("mail_refused", source=source, message_id=mail.id, reason=why)
            return why
        kept = await self._keep(mail)
        named = tuple(dict.fromkeys(recipients[:RECIPIENTS_MAX]))
        takers = await self._takers(named)
        records = [
            await self._record(event_of(mail, source, each, arrived, kept, takers[each]))
            for each in named
        ]
        for error in await self.bus.send(records):
            if error is not None:
                raise Unreachable(f"Kafka did not take a mail: {error!r}")
        return None

    async def _record(self, event: CloudEvent) -> Outbound:
        headers, value = encode(event)
        key = (event.subject or "").encode()
        partition = zlib.crc32(key) % await self.bus.partitions(TRIGGERS)
        return Outbound(TRIGGERS, partition, value, key, headers)

    async def _takers(self, recipients: Sequence[str]) -> Mapping[str, Takers]:
        """Return who listens to each recipient's address now.

        Raises:
            Unreachable: The database does not answer.
        """
        keys = {each: keys_of("EMAIL", each) for each in recipients}
        wanted = sorted({key for each in keys.values() for key in each})
        try:
            rows: Any = await self.pool.fetch(_SQL["takers"], self.tenant_id, wanted)
        except FAILED as error:
            raise Unreachable(f"the database does not say who takes a mail: {error}") from error
        return {
            recipient: {
                (row["workflow_id"], row["node_id"]): row["deployment_version"]
                for row in nearest(recipient, [r for r in rows if r["index_key"] in listened])
            }
            for recipient, listened in keys.items()
        }

    async def _keep(self, mail: Mail) -> Sequence[Json]:
        """Keep what came with a mail, and return references to it."""
        found = attachments_of(mail)
        if found:
            await keep(self.pool, self.tenant_id, found)
        return [reference(each) for each in found]


def event_of(
    mail: Mail,
    source: str,
    recipient: str,
    arrived: datetime,
    kept: Sequence[Json],
    takers: Takers | None = None,
) -> CloudEvent:
    """Return the event of a mail for one recipient: the same one whenever the mail is read.

    Its time is when the mail came, whatever its sender says. Where nobody listens yet, as while
    the mailbox of a first version is opened, whoever does when the event is applied takes it.
    """
    extensions: dict[str, str] = {}
    if takers and len(takers) <= TAKERS_MAX:
        extensions = {"nodes": nodes_text(takers), "versions": versions_text(takers.values())}
    identity = hashlib.sha256(f"{mail.id}\n{recipient}".encode()).hexdigest()
    return CloudEvent(
        id=identity,
        source=source,
        type=TYPE,
        subject=recipient,
        time=arrived.isoformat(),
        datacontenttype="application/json",
        data=orjson.dumps(data_of(mail, recipient, kept)),
        extensions=extensions,
    )


_SQL = queries(Path(__file__).with_name("mail.sql"))


async def keep(pool: Any, tenant_id: str, attachments: Sequence[Attachment]) -> None:
    """Keep attachments under their hashes; one that is there stays.

    Raises:
        Unreachable: The database does not answer.
    """
    try:
        for each in attachments:
            await pool.execute(
                _SQL["keep_attachment"],
                tenant_id,
                each.sha256,
                each.content_type,
                each.filename,
                each.content,
            )
    except FAILED as error:
        raise Unreachable(f"the database does not take an attachment: {error}") from error
